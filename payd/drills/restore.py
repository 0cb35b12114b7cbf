"""The drill of a restore: a dump is read beside a stream and providers that went on.

A daemon takes payments; its database is dumped; minutes later the database is lost. The dump is
read into a new cluster, and the procedure of docs/runbook.md is followed with the same commands.
The old database is kept, so that the report can say what was lost for ever.
"""

import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import trio
from payd_client import PaydClientError, PaymentClient

from payd.adapters import bridge
from payd.adapters.postgres.audit_chain import PostgresAuditChain
from payd.adapters.postgres.database import Database
from payd.config import Config
from payd.daemon.builders import database_settings
from payd.dev.ports import HOST, any_free
from payd.dev.postgres import Postgres, dump, postgres, raise_epoch, read_dump
from payd.dev.servers import ServerFailed
from payd.domain.payment import Payment
from payd.drills.invariants import check_invariants
from payd.drills.observed import Stored, observe, stored_in, until_at_rest
from payd.drills.report import DrillReport
from payd.drills.servers import Daemon, Progress, Site, open_passable, open_site, running
from payd.drills.traffic import Made, Traffic, keeping_problem, problems_of

_POLL_S = 0.5
#: Patience until scans and comparisons have ended.
_SCANNED_S = 120.0
#: The same for the next checkpoint, which is due every few seconds.
_SIGNED_S = 60.0


async def drill_restore(
    folder: Path,
    progress: Progress,
    *,
    lost_s: float = 0.0,
    rounds: int = 1,
    seed: int = 1,
    cache: Path | None = None,
) -> DrillReport:
    """Run the drill in an empty folder; at least `lost_s` seconds of work are lost."""
    async with open_site(folder / "site", progress, cache=cache) as site:
        drill = _Drill(site, folder, progress, Traffic(site, seed), rounds)
        await drill.live_until_the_disaster(lost_s)
        async with drill.restored_cluster() as environment:
            await drill.recover(environment)
        return drill.report()


class _Drill:
    """The steps of one drill, in order, and what they have seen."""

    def __init__(
        self, site: Site, folder: Path, progress: Progress, traffic: Traffic, rounds: int
    ) -> None:
        self._site = site
        self._folder = folder
        self._progress = progress
        self._traffic = traffic
        self._rounds = rounds
        self._began = trio.current_time()
        self._steps: list[tuple[float, str]] = []
        self._dump = folder / "dump.sql"

    async def live_until_the_disaster(self, lost_s: float) -> None:
        """Take payments, dump the database, take more payments, and lose it."""
        daemon = self._site.daemon("payd-before")
        async with running(daemon):
            self._site.announce(daemon)
            async with self._site.client(daemon) as client:
                known = await self._traffic.of_every_kind(client, self._rounds)
                await until_at_rest(self._site.config())
                await _until_signed(self._site.config())
                await trio.to_thread.run_sync(dump, self._site.database, self._dump)
                self._step(f"{len(known)} payments, and a dump of the database")
                dumped = trio.current_time()
                await self._go_on(client, known)
                while trio.current_time() < dumped + lost_s:
                    await self._traffic.of_every_kind(client)
                await until_at_rest(self._site.config())
                lost = len(self._traffic.made) - len(known)
                self._step(f"{lost} more payments, and changes of the others, which will be lost")
                self._lost_s = trio.current_time() - dumped
            daemon.kill()
        await self._pay_meanwhile()
        self._truth = await _stored(self._site.config())
        self._step("the daemon and its database are lost; customers still pay cards")

    async def _go_on(self, client: PaymentClient, known: Sequence[Made]) -> None:
        """What happens to known payments, and new ones, after the dump was made."""
        await self._traffic.of_every_kind(client, self._rounds)
        for one in known:
            with keeping_problem(one):
                await self._change(client, one)

    async def _change(self, client: PaymentClient, one: Made) -> None:
        if one.kind.name == "card, paid":
            await self._traffic.refund(client, one)
        elif one.kind.name == "token, open":
            await self._traffic.pay(client, one)
            await self._traffic.until_completed(client, one)
        elif one.kind.name == "mock, open":
            one.seen = await client.cancel(str(one.payment_id), "drill")

    async def _pay_meanwhile(self) -> None:
        """Customers have their pages open: some pay while no daemon runs."""
        kept_open = [one for one in self._traffic.made if one.kind.name == "card, open"]
        for one in kept_open[:-1]:
            with keeping_problem(one):
                await self._traffic.pay_card(one)

    @asynccontextmanager
    async def restored_cluster(self) -> AsyncIterator[Mapping[str, str]]:
        """A new cluster with the dump, and the settings of daemons on it."""
        with open_passable(self._folder / "restored") as state:
            port = any_free()
            async with postgres(state, port) as cluster:
                await trio.to_thread.run_sync(read_dump, cluster, self._dump)
            raise_epoch(state)
            async with postgres(state, port) as cluster:
                self._step("the dump was read into a new cluster, and its epoch was raised")
                yield _settings(cluster)

    async def recover(self, environment: Mapping[str, str]) -> None:
        """Follow the procedure of the runbook."""
        daemon = self._site.daemon("payd-after", **environment)
        self._step((await _payd(daemon, "restored", "hold", "--yes")).splitlines()[0])
        config = self._site.config(**environment)
        self._backup = await _stored(config)
        async with running(daemon), self._site.client(daemon, attempts_max=1) as client:
            self._site.announce(daemon)
            self._step(f"while sending is held: {await self._try_to_pay(client)}")
            self._shown = await self._until_scanned(daemon)
            self._step("events were scanned, objects and balances compared, the chain read")
            self._step((await _payd(daemon, "restored", "release")).strip())
            await self._look_at_everything(client)
            waiting = await until_at_rest(config)
            self._step(f"{waiting} reports and events wait")
            signed = await _until_signed(config)
            self._step(f"checkpoint {signed} was signed in the new cluster's epoch")
            self._seen = await observe(self._site, self._traffic.made, config)
        self._step("everything was read and compared")

    async def _try_to_pay(self, client: PaymentClient) -> str:
        """Start a payment, as a customer does meanwhile; return why it is refused.

        Raises ServerFailed if it is not.
        """
        kind = next(kind for kind in self._traffic.kinds() if kind.name.endswith("open"))
        one = Made(kind=kind, key="drill-while-held")
        try:
            await self._traffic.start(client, one)
        except PaydClientError as error:
            return str(error)
        except trio.TooSlowError:
            # It was accepted, and only its link does not come.
            pass
        raise ServerFailed(f"sending was held, and payment {one.payment_id} was sent")

    async def _until_scanned(self, daemon: Daemon) -> Mapping[str, Any]:
        nats = self._site.servers.nats
        with trio.move_on_after(_SCANNED_S):
            while True:
                shown: Mapping[str, Any] = json.loads(
                    await _payd(daemon, "restored", "show", "--nats", nats, "--json")
                )
                if shown["scans"] and all(scan["is_read"] for scan in shown["scans"]):
                    return shown
                await trio.sleep(_POLL_S)
        raise ServerFailed(f"events and providers were not read within {_SCANNED_S:g} s")

    async def _look_at_everything(self, client: PaymentClient) -> None:
        """Let payd ask about each payment that its main app knows and the database, too."""
        for one in self._traffic.made:
            try:
                if one.payment_id is not None:
                    await client.sync(one.payment_id)
            except PaydClientError:
                # It is not in the backup: the report names it.
                continue

    def report(self) -> DrillReport:
        """What was lost, what was found again, and what nobody can know."""
        before, backup, after = self._truth, self._backup, self._seen.stored
        forgotten = [one for id_, one in before.payments.items() if id_ not in backup.payments]
        changed = [id_ for id_ in backup.payments if _essence(before, id_) != _essence(backup, id_)]
        found = [id_ for id_ in changed if _essence(after, id_) == _essence(before, id_)]
        named = self._named()
        lists = {
            "payments whose callers were not satisfied": problems_of(self._traffic.made),
            "payments that the database forgot, and what names them": [
                f"{_line(one)}: {'; '.join(named[one.id])}" for one in forgotten if one.id in named
            ],
            "payments that the database forgot, and nobody names": [
                _line(one) for one in forgotten if one.id not in named
            ],
            "changes that the database forgot, and recovery found": [
                _line(after.payments[id_]) for id_ in found
            ],
            "changes that the database forgot, and that ended otherwise": [
                f"{_line(after.payments[id_])}; it was {before.payments[id_].status.value}"
                for id_ in changed
                if id_ not in found
            ],
            "reports that were accepted, and are lost": [
                f"{provider} {event_id}"
                for provider, event_id in sorted(before.inbox.keys() - after.inbox.keys())
            ],
            "receipts that have no payment now": [
                f"{one['provider']} {one['id']}: {one['amount']} {one['asset']}"
                for one in self._shown["receipts"]
            ],
        }
        return DrillReport(
            title="Restore: a dump beside a stream and providers that went on",
            steps=self._steps,
            counts=self._counts(),
            lists=lists,
            invariants=check_invariants(self._seen),
            lost={*changed, *(one.id for one in forgotten)},
        )

    def _named(self) -> Mapping[UUID, Sequence[str]]:
        """Payment → what names it besides the database."""
        found = defaultdict[UUID, list[str]](list)
        for one in self._shown["objects"]:
            if one["kind"] == "object_without_payment":
                what = f"{one['provider']} has {one['reference']} ({one['detail']})"
                found[UUID(one["payment_id"])].append(what)
        for one in self._shown["events"]:
            found[UUID(one["payment_id"])].append(f"the stream has {one['subject']}")
        return found

    def _counts(self) -> Mapping[str, int]:
        before, backup, after = self._truth, self._backup, self._seen.stored
        lost_reports = before.inbox.keys() - backup.inbox.keys()
        return {
            "seconds of work lost": round(self._lost_s),
            "payments before the loss": len(before.payments),
            "payments in the backup": len(backup.payments),
            "reports lost": len(lost_reports),
            "reports found again": len(lost_reports & after.inbox.keys()),
            "events in the stream": len(self._seen.events),
            "signed checkpoints in the backup": backup.audit.checkpoints if backup.audit else 0,
            "signed checkpoints now": after.audit.checkpoints if after.audit else 0,
        }

    def _step(self, what: str) -> None:
        self._progress(what)
        self._steps.append((trio.current_time() - self._began, what))


def _essence(stored: Stored, payment_id: UUID) -> tuple[object, ...]:
    one = stored.payments[payment_id]
    return one.status, one.confirmed, one.refunded


def _line(payment: Payment) -> str:
    return f"{payment.id} {payment.method} {payment.status.value}"


def _settings(cluster: Postgres) -> Mapping[str, str]:
    """The settings of a daemon on another cluster."""
    return {"DB_HOST": HOST, "DB_PORT": str(cluster.port), "DB_PASSWORD": cluster.password}


async def _stored(config: Config) -> Stored:
    async with bridge.open_loop(lambda message, error: None):
        return await bridge.aio(stored_in, config)


async def _until_signed(config: Config) -> int:
    """Wait until a checkpoint covers what was written so far; return its number."""
    async with bridge.open_loop(lambda message, error: None):
        database = Database(database_settings(config))
        chain, began = PostgresAuditChain(database), datetime.now(UTC)
        try:
            with trio.move_on_after(_SIGNED_S):
                while True:
                    newest = await bridge.aio(chain.newest_checkpoint)
                    if newest is not None and newest.time > began:
                        return newest.number
                    await trio.sleep(_POLL_S)
            raise ServerFailed(f"no checkpoint was signed within {_SIGNED_S:g} s")
        finally:
            await bridge.aio(database.close)


async def _payd(daemon: Daemon, *arguments: str) -> str:
    """Run a command on the daemon's host, with its settings."""
    argv = [sys.executable, "-m", "payd", *arguments]
    done = await trio.run_process(
        argv,
        env={**os.environ, **daemon.environment},
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    if done.returncode:
        raise ServerFailed(f"payd {' '.join(arguments)}: {done.stderr.decode()}")
    return done.stdout.decode()
