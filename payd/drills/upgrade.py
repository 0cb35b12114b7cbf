"""The drill of an upgrade: the previous version and this one on one database, both ways.

The previous version makes the schema and takes payments. The migrations run beside it; then both
versions take payments, each of them payments that the other one has begun. Then the new version
goes away, as after a bad upgrade, and comes back; at last the old one ends, and the migrations run
that only then may.
"""

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import trio
from payd_client import PaymentClient

from payd.config import Config
from payd.dev.run import update_schema
from payd.dev.servers import ServerFailed
from payd.drills.invariants import check_invariants
from payd.drills.observed import observe, until_at_rest
from payd.drills.previous import PreviousVersion
from payd.drills.report import DrillReport
from payd.drills.servers import Daemon, Progress, Site, open_site, running
from payd.drills.traffic import Traffic, problems_of

_BAD = ("error", "critical")
#: What a busy machine does, and neither version.
_BUSY = "provider_held_loop"
_UNKNOWN = re.compile(r"\(environment (\w+)\): unknown setting")
_UNKNOWN_OF_PROVIDER = re.compile(r"providers\.(\w+)\.(\w+)[^\n]*: unknown setting")


async def drill_upgrade(
    folder: Path,
    previous: PreviousVersion,
    progress: Progress,
    *,
    rounds: int = 1,
    seed: int = 1,
    cache: Path | None = None,
) -> DrillReport:
    """Run the drill in an empty folder; each phase makes `rounds` payments of every kind."""
    async with open_site(folder, progress, cache=cache, has_schema=False) as site:
        drill = _Drill(site, previous, progress, Traffic(site, seed), rounds)
        await drill.go_both_ways()
        return await drill.report()


class _Drill:
    """The steps of one drill, in order, and what they have seen."""

    def __init__(
        self,
        site: Site,
        previous: PreviousVersion,
        progress: Progress,
        traffic: Traffic,
        rounds: int,
    ) -> None:
        self._site = site
        self._previous = previous
        self._progress = progress
        self._traffic = traffic
        self._rounds = rounds
        self._began = trio.current_time()
        self._steps: list[tuple[float, str]] = []
        self._counts: Counter[str] = Counter()
        self._waiting = 0
        #: Settings that came later than the previous version.
        self._unknown = frozenset[str]()
        self._old, self._new = self._daemons()

    async def go_both_ways(self) -> None:
        """Upgrade, go back, and upgrade again."""
        site = self._site
        await self._leave_out_unknown()
        await self._migrate_old()
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(running(self._old))
            old = await exits.enter_async_context(site.client(self._old))
            await self._take_payments("the old version alone", self._old, old, old)
            await self._migrate(post=False)
            await self._take_payments("the old version on the new schema", self._old, old, old)
            async with running(self._new), site.client(self._new) as new:
                await self._take_payments("begun by the old, ended by the new", self._new, old, new)
                await self._take_payments("begun by the new, ended by the old", self._old, new, old)
            await self._take_payments("the old version after going back", self._old, old, old)
        async with running(self._new), site.client(self._new) as new:
            await self._migrate(post=True)
            await self._take_payments("the new version alone", self._new, new, new)
            self._waiting = await until_at_rest(site.config())

    async def report(self) -> DrillReport:
        """Read everything, and check it."""
        made = self._traffic.made
        seen = await observe(self._site, made)
        return DrillReport(
            title=f"Upgrade from {self._previous.commit[:12]} to this version, and back",
            steps=self._steps,
            counts={"payments": len(made), **self._counts},
            lists={
                "payments whose callers were not satisfied": problems_of(made),
                "settings that the old version does not know": sorted(self._unknown),
                "errors in the logs": [*_errors_of(self._old), *_errors_of(self._new)],
                "not at rest": [f"{self._waiting} reports or events"] if self._waiting else [],
            },
            invariants=check_invariants(seen),
        )

    async def _migrate_old(self) -> None:
        """Make the schema by the previous version's own command."""
        code, said = await self._old_payd("migrate")
        if code:
            raise ServerFailed(f"the old version's migrate failed:\n{said}")
        self._say("the old version has made the schema")

    async def _leave_out_unknown(self) -> None:
        """Give both versions the settings that both know, as an operator has to."""
        code, said = await self._old_payd("config", "check")
        unknown = {*_UNKNOWN.findall(said)}
        unknown |= {f"{name}_{key}".upper() for name, key in _UNKNOWN_OF_PROVIDER.findall(said)}
        if code and unknown - self._unknown:
            self._unknown |= unknown
            self._old, self._new = self._daemons()
            await self._leave_out_unknown()

    async def _old_payd(self, *arguments: str) -> tuple[int, str]:
        """Run a command of the previous version; return its exit code and what it prints."""
        done = await trio.run_process(
            [sys.executable, "-m", "payd", *arguments],
            env={**os.environ, **self._old.environment},
            cwd="/",
            check=False,
            capture_stdout=True,
            capture_stderr=True,
        )
        return done.returncode, (done.stdout + done.stderr).decode()

    def _daemons(self) -> tuple[Daemon, Daemon]:
        site, unknown = self._site, self._unknown
        old = site.daemon("payd-old", without=unknown, **self._previous.environment)
        return old, site.daemon("payd-new", without=unknown)

    async def _migrate(self, *, post: bool) -> None:
        config: Config = self._site.config()
        await update_schema(config, self._progress, post=post)
        self._say("migrations after the upgrade" if post else "migrations before the upgrade")

    async def _take_payments(
        self, what: str, served: Daemon, begin: PaymentClient, end: PaymentClient
    ) -> None:
        """Payments of every kind; `served` is the daemon that commands find."""
        self._progress(what)
        self._site.announce(served)
        before = len(self._traffic.made)
        made = [
            one for _ in range(self._rounds) for one in await self._traffic.begin_every_kind(begin)
        ]
        async with trio.open_nursery() as nursery:
            for one in made:
                nursery.start_soon(self._traffic.go_through, end, one)
        self._counts[f"of them: {what}"] = len(self._traffic.made) - before
        self._say(what)

    def _say(self, what: str) -> None:
        self._steps.append((trio.current_time() - self._began, what))


def _errors_of(daemon: Daemon) -> Sequence[str]:
    """The errors that the daemon has logged."""
    found = []
    for line in daemon.log.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict) or entry.get("event") == _BUSY:
            continue
        if entry.get("level") in _BAD:
            found.append(f"{daemon.name}: {line[:500]}")
    return found
