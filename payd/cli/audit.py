"""`payd audit`: who changed a payment, and proof that nobody altered the trail since."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from payd.cli import render
from payd.cli.operate import read_config
from payd.cli.target import state_dir_option
from payd.cli.typed import Time

if TYPE_CHECKING:
    from payd.adapters.audit.keys import PublicKeys, SigningKey
    from payd.adapters.events import AuditRow
    from payd.adapters.postgres.audit_chain import PostgresAuditChain, StoredTrail

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def audit() -> None:
    """Show who changed what; export the audit trail, and verify an export."""


@audit.command()
@click.argument("payment_id", type=click.UUID)
@json_option
@state_dir_option
def show(payment_id: UUID, as_json: bool, state_dir: Path | None) -> None:
    """Show every change of a payment with its actor, and whether its chain is intact."""

    async def read(chain: "PostgresAuditChain") -> "StoredTrail":
        return await chain.trail(payment_id)

    trail = _run(read, read_config(state_dir))
    if not trail.rows:
        raise click.ClickException(f"no payment {payment_id} has an audit trail")
    if as_json:
        rows = [_document(row) for row in trail.rows]
        render.as_json({"payment_id": payment_id, "rows": rows, "problem": trail.problem})
        return
    headings = ("version", "time", "event", "actor", "certificate", "what changed")
    render.table(headings, [_cells(row) for row in trail.rows])
    click.echo(trail.problem or f"the chain of {len(trail.rows)} rows is intact")


@audit.command()
@click.option("--payment", "payment_id", type=click.UUID, help="Only the trail of this payment.")
@click.option(
    "--since",
    type=Time(),
    help="Only what came after the last checkpoint before this time: today, 30d, or ISO 8601.",
)
@state_dir_option
def export(payment_id: UUID | None, since: datetime | None, state_dir: Path | None) -> None:
    """Write the audit trail to stdout as JSON lines, signed: see `payd audit verify`."""
    config = read_config(state_dir)
    key = _signing_key(config)

    export_id, now = secrets.token_hex(16), datetime.now(UTC)

    async def write(chain: "PostgresAuditChain") -> None:
        await chain.export(_print, key, export_id, now, payment_id=payment_id, since=since)

    _run(write, config)


def _print(line: str) -> None:
    try:
        click.echo(line, nl=False)
    except OSError as error:
        # Not the database's connection.
        raise click.ClickException(f"stdout: {error}") from None


@audit.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--public-key",
    "key_files",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    required=True,
    help="PEM file with the public key; repeatable, for exports from before and after a rotation.",
)
@json_option
def verify(file: IO[bytes], key_files: Sequence[Path], as_json: bool) -> None:
    """Verify an export with a public key and nothing else; FILE may be - for stdin.

    Names the first line that was altered, dropped, swapped, inserted or truncated, and exits
    with 1.
    """
    import attrs

    from payd.adapters.audit.verify import ExportBroken
    from payd.adapters.audit.verify import verify as verify_export

    try:
        found = verify_export(file, _public_keys(key_files))
    except ExportBroken as error:
        raise click.ClickException(f"{file.name}: {error}") from None
    if as_json:
        render.as_json(attrs.asdict(found))
        return
    click.echo(f"{file.name} is intact")
    covers = found.covers
    render.fields(
        [
            ("payments", found.payments),
            ("rows", found.rows),
            ("checkpoints", found.checkpoints),
            ("exported", covers["time"]),
            ("only payment", covers["payment"]),
            ("after checkpoint", covers["after_checkpoint"] or None),
            ("starting heads", found.starting_heads),
            ("final heads", found.final_heads),
        ]
    )


@audit.command("public-key")
@state_dir_option
def public_key(state_dir: Path | None) -> None:
    """Print the public key, for those who verify exports."""
    click.echo(_signing_key(read_config(state_dir)).public_pem(), nl=False)


def _signing_key(config: Any) -> "SigningKey":
    from payd.daemon.builders import audit_key

    key = audit_key(config)
    if key is None:
        raise click.ClickException(
            "audit.signing_key is not set: make one with `openssl rand -hex 32`, see docs/audit.md"
        )
    return key


def _public_keys(files: Sequence[Path]) -> "PublicKeys":
    from payd.adapters.audit.keys import KeyRefused, PublicKeys

    try:
        return PublicKeys(*(file.read_text() for file in files))
    except (KeyRefused, UnicodeDecodeError) as error:
        raise click.BadParameter(str(error), param_hint="--public-key") from None


def _run(act: "Callable[[PostgresAuditChain], Awaitable[T]]", config: Any) -> T:
    """Open the database and act; print an error and exit with 1."""
    import trio

    from payd.adapters.postgres.audit_chain import NotChained
    from payd.domain.errors import StoreUnavailable

    try:
        return trio.run(_opened, act, config)
    except* (StoreUnavailable, NotChained) as errors:
        render.refuse(errors)


async def _opened(act: "Callable[[PostgresAuditChain], Awaitable[T]]", config: Any) -> T:
    from payd.adapters import bridge
    from payd.adapters.postgres.audit_chain import PostgresAuditChain
    from payd.adapters.postgres.database import Database
    from payd.daemon.builders import database_settings

    async with bridge.open_loop(lambda message, error: None):
        database = Database(database_settings(config))
        try:
            return await bridge.aio(act, PostgresAuditChain(database))
        finally:
            await bridge.aio(database.close)


def _document(row: "AuditRow") -> dict[str, Any]:
    import attrs

    return attrs.asdict(row) | {"create_time": row.create_time.isoformat()}


def _cells(row: "AuditRow") -> tuple[str, ...]:
    time = row.create_time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return str(row.version), time, row.event_type, row.actor, row.certificate, _what_changed(row)


#: Columns that change with every version, and say nothing to a person.
_ALWAYS = {"version", "update_time", "looks", "next_look_time", "receipt_sums"}


def _what_changed(row: "AuditRow") -> str:
    """The status, the other columns by name, and how many receipts and refunds."""
    details = row.details
    if "row" in details:
        return "created"
    changes = details.get("changes", {})
    said = [f"status {changes['status']}"] if "status" in changes else []
    said += sorted(changes.keys() - _ALWAYS - {"status"})
    for name in ("receipts", "refunds", "disputes"):
        if count := len(details.get(name, ())):
            said.append(f"{count} {name if count > 1 else name[:-1]}")
    if republished := details.get("republished"):
        names = ", ".join(f"{event['subject']} {event['id']}" for event in republished)
        said.append(f"published again: {names}")
    if details.get("reason"):
        said.append(f"note: {details['reason']}")
    return ", ".join(said)
