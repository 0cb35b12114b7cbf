"""`payd restored`: hold sending after a backup was read in, see what it lacks, and release it."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from payd.cli import render
from payd.cli.call import json_option
from payd.cli.operate import read_config
from payd.cli.target import state_dir_option

if TYPE_CHECKING:
    from payd.adapters.postgres.database import Database
    from payd.adapters.postgres.restores import Restore

T = TypeVar("T")

#: A backup may have been made by a daemon whose clock was wrong.
_SKEW = timedelta(hours=1)
_KINDS = {
    "events": "scan of events",
    "objects": "comparison of objects",
    "audit": "comparison of balances",
    "watch": "watch of transfers",
}


@click.group()
def restored() -> None:
    """Hold sending after a backup of PostgreSQL was read in, until it is known what it lacks."""


@restored.command()
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask first.")
@state_dir_option
def hold(is_sure: bool, state_dir: Path | None) -> None:
    """Hold sending. Run it after reading the backup, before a daemon starts.

    Daemons then create nothing at providers, refund nothing and publish no event. They answer
    reads, take reports, and ask the providers about everything that is open: at once.
    """

    async def act(database: "Database") -> "tuple[Restore, str]":
        from payd.adapters.postgres.audit_chain import PostgresAuditChain
        from payd.adapters.postgres.restores import PostgresRestores

        held = await PostgresRestores(database).hold()
        return held, await PostgresAuditChain(database).restore_problem()

    config = read_config(state_dir)
    if not is_sure:
        click.confirm("Hold payments, refunds and events until they are released?", abort=True)
    held, problem = _run(act, config)
    newest = held.newest_change_time
    click.echo("sending is held: start the daemons, then see `payd restored show`")
    click.echo(f"the backup's newest change is of {newest}" if newest else "the backup is empty")
    if problem:
        click.echo(problem)


@restored.command()
@click.option("--nats", envvar="NATS_URL", show_envvar=True, help="Stream to compare with.")
@json_option
@state_dir_option
def show(nats: str | None, as_json: bool, state_dir: Path | None) -> None:
    """Show what was scanned since, and which payments the database lacks."""
    document = _run(lambda database: _document(database, nats), read_config(state_dir))
    if as_json:
        render.as_json(document)
        return
    _print(document)


@restored.command()
@click.option("--unscanned", is_flag=True, help="Release although something was not scanned.")
@state_dir_option
def release(unscanned: bool, state_dir: Path | None) -> None:
    """Let daemons send again, once everything was scanned."""

    async def act(database: "Database") -> "tuple[list[str], bool]":
        from payd.adapters.postgres.restores import PostgresRestores

        restores = PostgresRestores(database)
        newest = await restores.newest()
        if newest is None or not newest.is_held:
            return [], False
        missing = [
            f"{one.provider}: {_KINDS.get(one.name, one.name)}: not yet"
            for one in await restores.positions()
            if not one.is_read(newest)
        ]
        if missing and not unscanned:
            return missing, False
        return [], await restores.release()

    missing, is_released = _run(act, read_config(state_dir))
    for line in missing:
        click.echo(line, err=True)
    if missing:
        click.echo(
            "not released: wait until `payd restored show` says done, or give --unscanned", err=True
        )
        sys.exit(1)
    click.echo("released: daemons send again" if is_released else "nothing is held")


async def _document(database: "Database", nats: str | None) -> dict[str, Any]:
    from payd.adapters.postgres.restores import PostgresRestores

    restores = PostgresRestores(database)
    newest = await restores.newest()
    if newest is None:
        return {}
    positions = await restores.positions()
    return {
        "hold_time": newest.hold_time,
        "newest_change_time": newest.newest_change_time,
        "release_time": newest.release_time,
        "scans": [
            {"provider": one.provider, "name": one.name, "is_read": one.is_read(newest)}
            for one in positions
        ],
        "objects": await _objects(database, newest, {one.provider for one in positions}),
        "receipts": [
            {
                **{name: getattr(one, name) for name in ("provider", "id", "reference", "asset")},
                "amount": str(one.amount),
            }
            for one in await restores.strays(newest.hold_time)
        ],
        "events": await _events(restores, newest, nats) if nats else None,
    }


async def _objects(
    database: "Database", newest: "Restore", providers: set[str]
) -> list[dict[str, str]]:
    """Findings of the comparisons since the hold."""
    from payd.adapters.postgres.reconciliations import PostgresReconciliations

    results, found = PostgresReconciliations(database), list[dict[str, str]]()
    for provider in sorted(providers):
        for one in await results.newest(provider, None, 100):
            if one.start_time >= newest.hold_time:
                found += [{"provider": provider, **finding} for finding in one.findings]
    return [dict(pairs) for pairs in dict.fromkeys(tuple(one.items()) for one in found)]


async def _events(restores: Any, newest: "Restore", nats: str) -> list[dict[str, Any]]:
    """Payments whose newest event is newer than what the database has."""
    from contextlib import aclosing
    from uuid import UUID

    from payd_client.events import tail

    since = (newest.newest_change_time or newest.hold_time) - _SKEW
    bodies: dict[UUID, Mapping[str, Any]] = {}
    async with aclosing(tail(nats, since=since, follow=False)) as found:
        async for event in found:
            bodies[UUID(event.body["id"])] = {**event.body, "subject": event.subject}
    versions = await restores.versions(list(bodies))
    return [
        {
            "payment_id": str(id_),
            "idempotency_key": body["idempotency_key"],
            "subject": body["subject"],
            "status": body["status"],
            "amount": body["amount"],
            "provider_reference": body.get("provider_reference", ""),
            "is_unknown": id_ not in versions,
        }
        for id_, body in bodies.items()
        if int(body["version"]) > versions.get(id_, 0)
    ]


def _print(document: Mapping[str, Any]) -> None:
    if not document:
        click.echo("no restore was noted: see `payd restored hold`")
        return
    released = document["release_time"]
    click.echo(f"released at {released}" if released else "sending is held")
    render.fields(
        [
            ("held since", document["hold_time"]),
            ("backup's newest change", document["newest_change_time"]),
        ]
    )
    for scan in document["scans"]:
        mark = "done" if scan["is_read"] else "not yet"
        click.echo(f"{scan['provider']}: {_KINDS.get(scan['name'], scan['name'])}: {mark}")
    for one in document["objects"]:
        click.echo(
            f"{one['provider']}: {one['kind']} {one['reference']}, payment {one['payment_id']}:"
            f" {one['detail']}"
        )
    for one in document["receipts"]:
        click.echo(
            f"{one['provider']}: receipt {one['id']} of {one['amount']} {one['asset']} has no"
            f" payment; its reference is {one['reference'] or 'empty'}"
        )
    if document["events"] is None:
        click.echo("the stream was not compared: pass --nats")
    for one in document["events"] or ():
        what = "is unknown" if one["is_unknown"] else "is behind"
        click.echo(
            f"payment {one['payment_id']} {what}: the stream has {one['subject']}, key"
            f" {one['idempotency_key']}, {render.amount(one['amount'])}"
        )


def _run(act: "Callable[[Database], Awaitable[T]]", config: Any) -> T:
    """Open the database and act; print an error and exit with 1."""
    import trio

    from payd.domain.errors import StoreUnavailable

    async def opened() -> T:
        from payd.adapters import bridge
        from payd.adapters.postgres.database import Database
        from payd.daemon.builders import database_settings

        async with bridge.open_loop(lambda message, error: None):
            database = Database(database_settings(config))
            try:
                return await bridge.aio(act, database)
            finally:
                await bridge.aio(database.close)

    try:
        return trio.run(opened)
    except* StoreUnavailable as errors:
        render.refuse(errors)
