"""`payd receipts`: list receipts, those of no payment above all, and attach one to a payment."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from payd.cli import payment_view, render
from payd.cli.call import first, json_option, run
from payd.cli.target import find_operator, operator_options
from payd.cli.typed import Time

if TYPE_CHECKING:
    from payd_client import PaymentClient, Receipt

_HEADINGS = ("time", "receipt", "amount", "asset", "state", "reference", "sender", "likely for")
_PAGE_MAX = 200


@click.group()
def receipts() -> None:
    """List receipts, and attach those without a payment. For operators."""


@receipts.command("list")
@click.option("--all", "everything", is_flag=True, help="Also receipts that a payment has.")
@click.option("--payment", "payment_id", metavar="ID", default="", help="Receipts of this payment.")
@click.option("--provider", default="", help="Receipts of this provider: tempo, …")
@click.option(
    "--since", type=Time(), help="Span in s, m, h or d, such as 24h, today, or an ISO 8601 time."
)
@click.option(
    "--count",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Number of receipts to list.",
)
@json_option
@operator_options
def list_receipts(
    everything: bool,
    payment_id: str,
    provider: str,
    since: datetime | None,
    count: int,
    as_json: bool,
    **target: Any,
) -> None:
    """List receipts without a payment, newest first."""
    from payd_client import ReceiptFilter

    unmatched = not everything and not payment_id
    wanted = ReceiptFilter(
        unmatched=unmatched, payment_id=payment_id, provider=provider, time_from=since
    )

    async def read(client: "PaymentClient") -> "list[Receipt]":
        return await first(count, client.list_receipts(wanted, page_size=min(count, _PAGE_MAX)))

    found = run(find_operator(**target), read, as_json)
    documents = [render.message_json(one.message) for one in found]
    if as_json:
        render.as_json({"receipts": documents})
        return
    if not documents:
        click.echo("no unmatched receipts" if unmatched else "no receipts")
        return
    headings = _HEADINGS if unmatched else (*_HEADINGS, "payment")
    render.table(headings, [_row(one)[: len(headings)] for one in documents])


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        one["time"],
        one["id"],
        render.base_units(one),
        one["asset"],
        one["state"].removeprefix("RECEIPT_STATE_"),
        one["reference"],
        one["details"].get("sender", ""),
        one["details"].get("likely_payment", ""),
        one["payment_id"],
    )


@receipts.command()
@click.argument("receipt_id")
@click.argument("payment_id")
@click.option("--note", default="", help="Reason, stored in the audit trail.")
@json_option
@operator_options
def attach(receipt_id: str, payment_id: str, note: str, as_json: bool, **target: Any) -> None:
    """Attach a receipt to the payment it was meant for. The payment's status may change."""
    payment = run(
        find_operator(**target),
        lambda client: client.attach_receipt(receipt_id, payment_id, note),
        as_json,
    )
    document = render.message_json(payment.message)
    if as_json:
        render.as_json(document)
    else:
        payment_view.payment(document)
