"""`payd overview`: payments and money by day, open attention, health, and what waits."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from payd.cli import render
from payd.cli.call import json_option, run
from payd.cli.target import find_operator, operator_options

if TYPE_CHECKING:
    from payd_client import Overview

#: The daemon counts rows of the audit trail so far.
_ROWS_COUNTED_MAX = 10_000

Document = Mapping[str, Any]


@click.command()
@click.option(
    "--days",
    type=click.IntRange(1, 92),
    default=7,
    show_default=True,
    help="Number of days (UTC), today included.",
)
@json_option
@operator_options
def overview(days: int, as_json: bool, **target: Any) -> None:
    """Show payments by day, what a person has to look at, and how payd stands. For operators."""
    answer = run(find_operator(**target), lambda client: client.overview(days), as_json)
    document = render.message_json(answer.message)
    if as_json:
        render.as_json(document)
        return
    _payments(document["sums"])
    _attention(document["attention"])
    _backlog(document["backlog"])
    # A daemon of the previous version does not say.
    if "trail" in document:
        _trail(document["trail"], answer)
    _health(document)


def _payments(sums: Sequence[Document]) -> None:
    if not sums:
        click.echo("no payments")
        return
    rows = [
        (
            one["day"],
            one["method"],
            one["status"].removeprefix("PAYMENT_STATUS_"),
            str(one["payments"]),
            render.amount(one["amount"]),
        )
        for one in sums
    ]
    render.table(("created", "method", "status", "payments", "asked for"), rows)


def _attention(attention: Sequence[Document]) -> None:
    click.echo()
    if not attention:
        click.echo("nothing to look at")
        return
    rows = [(one["reason"], str(one["payments"]), one["since"]) for one in attention]
    render.table(("attention", "payments", "oldest since"), rows)


def _backlog(backlog: Document) -> None:
    click.echo()
    events = int(backlog["events"])
    age = f", the oldest for {backlog['oldest_event_age']}" if events else ""
    render.fields(
        [
            ("events to publish", f"{events}{age}"),
            ("reports to settle", backlog["reports"]),
            ("unmatched receipts", backlog["unmatched_receipts"]),
        ]
    )


def _trail(trail: Document, overview: "Overview") -> None:
    newest = "none was signed yet"
    if (time := overview.trail.checkpoint_time) is not None:
        minutes = int((overview.time - time).total_seconds() // 60)
        newest = f"{trail['checkpoint']} of {trail['checkpoint_time']}, {minutes} minutes ago"
    rows, payments = int(trail["unsigned_rows"]), str(trail["unsigned_payments"])
    # Payments are counted in the counted rows only.
    more = " or more" if rows >= _ROWS_COUNTED_MAX else ""
    unsigned = f"{_counted(rows)} of {payments}{more} payments"
    unchained = int(trail["unchained_rows"])
    remedy = ": run `payd migrate --post` when no daemon of the previous version runs"
    render.fields(
        [
            ("audit checkpoint", newest),
            ("audit rows since", unsigned if rows else "0"),
            ("unchained audit rows", f"{_counted(unchained)}{remedy}" if unchained else "0"),
        ]
    )


def _counted(rows: int) -> str:
    return f"{rows} or more" if rows >= _ROWS_COUNTED_MAX else str(rows)


def _health(document: Document) -> None:
    click.echo()
    for check in document["checks"]:
        state = click.style("ok", fg="green") if check["ok"] else click.style("FAILED", fg="red")
        click.echo(f"{state}  {check['name']}{': ' if check['detail'] else ''}{check['detail']}")
    for loop in document["loops"]:
        restarts, failures = int(loop["restarts"]), int(loop["failures"])
        if restarts or failures:
            click.echo(f"{loop['name']}: restarted {restarts} times, failed on {failures} items")
