"""`payd reconciliations`: results of comparing the providers' objects with payments."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payd.cli import render
from payd.cli.operate import read_config
from payd.cli.target import state_dir_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payd.ports import Reconciliation


@click.command()
@click.option(
    "--count",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="Number of results to show.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@state_dir_option
def reconciliations(count: int, as_json: bool, state_dir: Path | None) -> None:
    """Show the latest reconciliations, newest first, with their findings."""
    import trio

    from payd.domain.errors import StoreUnavailable

    try:
        results = trio.run(_newest, read_config(state_dir), count)
    except* StoreUnavailable as errors:
        render.refuse(errors)
    documents = [_document(result) for result in results]
    if as_json:
        render.as_json({"reconciliations": documents})
        return
    render.table(
        ("ended", "provider", "objects", "payments", "findings"),
        [
            (d["end_time"], d["provider"], d["objects"], d["payments"], str(len(d["findings"])))
            for d in documents
        ],
    )
    findings = [(d["end_time"], f) for d in documents for f in d["findings"]]
    if findings:
        click.echo()
        render.table(
            ("ended", "finding", "object", "payment", "detail"),
            [(t, f["kind"], f["reference"], f["payment_id"], f["detail"]) for t, f in findings],
        )


async def _newest(config: Any, count: int) -> "Sequence[Reconciliation]":
    from payd.adapters import bridge
    from payd.adapters.postgres.database import Database
    from payd.adapters.postgres.reconciliations import PostgresReconciliations
    from payd.daemon.builders import database_settings

    async with bridge.open_loop(lambda message, error: None):
        database = Database(database_settings(config))
        try:
            return await bridge.aio(PostgresReconciliations(database).newest, count)
        finally:
            await bridge.aio(database.close)


def _document(result: "Reconciliation") -> dict[str, Any]:
    return {
        "provider": result.provider,
        "since": result.since.isoformat(timespec="seconds"),
        "until": result.until.isoformat(timespec="seconds"),
        "end_time": result.end_time.isoformat(timespec="seconds"),
        "objects": str(result.objects),
        "payments": str(result.payments),
        "findings": [dict(finding) for finding in result.findings],
    }
