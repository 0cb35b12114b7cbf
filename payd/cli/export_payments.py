"""`payd payments export`: the accounting for a period, as a table, CSV or JSON lines."""

import csv
import json
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from payd.cli import render
from payd.cli.call import run
from payd.cli.target import find_operator, operator_options

if TYPE_CHECKING:
    from payd_client import DaySums, ExportAmounts, ExportUnit, Movement, PaymentClient

#: For one page: the sums of a day of a million payments take about twenty seconds.
_DEADLINE_S = 600.0

Row = Mapping[str, str | int]
Write = Callable[[Row], object]

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command("export")
@click.option("--from", "first", type=_DAY, required=True, help="First day, such as 2026-01-01.")
@click.option("--to", "last", type=_DAY, required=True, help="Last day, included.")
@click.option(
    "--by",
    type=click.Choice(["day", "payment"]),
    default="day",
    show_default=True,
    help="Sums of each day by provider, method and currency or token; or a row for every movement "
    "of money, with the provider's ids.",
)
@click.option(
    "--timezone",
    "zone",
    default="UTC",
    show_default=True,
    help="Time zone of the days, such as Europe/Berlin.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line.")
@operator_options
def export_payments(
    first: datetime,
    last: datetime,
    by: str,
    zone: str,
    as_csv: bool,
    as_json: bool,
    **target: Any,
) -> None:
    """Export the money of a period: gross, refunded, disputed, fees and net. For operators.

    A payment counts on the day on which it was completed, a refund on the day on which it
    succeeded, a dispute on the day on which it was opened, and again, with the opposite sign, if
    the money comes back. Amounts are exact, in units of the currency or token.
    """
    if as_csv and as_json:
        raise click.UsageError("pass either --json or --csv")
    if last < first:
        raise click.UsageError("--to must not be before --from")
    found = find_operator(**target)
    period = first.date(), last.date(), "" if zone == "UTC" else zone
    rows: list[Row] = []
    write = _json_line if as_json else _CsvWriter() if as_csv else rows.append
    run(found, lambda client: _export(client, by, period, write), as_json)
    if not (as_json or as_csv):
        _show(rows)


async def _export(
    client: "PaymentClient", by: str, period: tuple[date, date, str], write: Write
) -> None:
    """Write each row as soon as its page is there."""
    if by == "day":
        async with aclosing(client.export_days(*period, deadline_s=_DEADLINE_S)) as days:
            async for one in days:
                write(_day_row(one))
        return
    moved: AsyncGenerator[Movement, None]
    moved = client.export_movements(*period, deadline_s=_DEADLINE_S)
    async with aclosing(moved) as movements:
        async for movement in movements:
            write(_movement_row(movement))


def _day_row(one: "DaySums") -> Row:
    return {
        "day": str(one.day),
        "provider": one.provider,
        "method": one.method,
        **_unit(one.unit),
        "payments": one.payments,
        "refunds": one.refunds,
        "disputes": one.disputes,
        "dispute_returns": one.dispute_returns,
        **_amounts(one.amounts, one.unit),
        "payments_with_fee": one.payments_with_fee,
    }


def _movement_row(one: "Movement") -> Row:
    return {
        "day": str(one.day),
        "time": one.time.isoformat().replace("+00:00", "Z"),
        "kind": one.kind.value,
        "payment_id": str(one.payment_id),
        "refund_id": str(one.refund_id or ""),
        "provider": one.provider,
        "method": one.method,
        "reference": one.reference,
        "payment_reference": one.payment_reference,
        "aliases": " ".join(one.aliases),
        **_unit(one.unit),
        **_amounts(one.amounts, one.unit),
        "customer_id": one.customer_id,
        "idempotency_key": one.idempotency_key,
    }


def _unit(unit: "ExportUnit") -> Row:
    return {
        "currency": unit.currency,
        "chain_id": unit.chain_id or "",
        "token_address": unit.token_address,
    }


def _amounts(amounts: "ExportAmounts", unit: "ExportUnit") -> Row:
    from payd.domain.decimals import format_units

    return {
        name: ""
        if (value := getattr(amounts, name)) is None
        else format_units(value, unit.decimals)
        for name in ("gross", "refunded", "disputed", "fee", "net")
    }


def _json_line(row: Row) -> None:
    click.echo(json.dumps(row, ensure_ascii=False))


class _CsvWriter:
    """Writes a row of values, and the names before the first one."""

    def __init__(self) -> None:
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._has_names = False

    def __call__(self, row: Row) -> None:
        if not self._has_names:
            self._writer.writerow(row)
            self._has_names = True
        self._writer.writerow(row.values())


def _show(rows: Sequence[Row]) -> None:
    """Print a table without the columns that no row needs."""
    if not rows:
        click.echo("no movements of money")
        return
    shown = [name for name in rows[0] if any(row[name] not in ("", 0) for row in rows)]
    render.table(shown, [[str(row[name]) for name in shown] for row in rows])
