"""`payd customers`: erase the personal data of a customer."""

from typing import TYPE_CHECKING, Any

import click

from payd.cli import render
from payd.cli.call import json_option, run
from payd.cli.target import find_operator, operator_options

if TYPE_CHECKING:
    from payd_client import ForgottenCustomer

#: Retained events that are printed; --json prints all that the daemon lists.
_EVENTS_SHOWN = 20


@click.group()
def customers() -> None:
    """Erase a customer's personal data."""


@customers.command()
@click.argument("customer_id")
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@click.option(
    "--note", default="", help="Why, for the audit trail. It stays: write nothing personal."
)
@json_option
@operator_options
def forget(customer_id: str, dry_run: bool, note: str, as_json: bool, **target: Any) -> None:
    """Erase e-mail, wallet, addresses, URLs and metadata of a customer. For operators.

    All payments, refunds and disputes of the customer must be closed. Amounts, times, items,
    references of the provider and the transactions of receipts stay. It may be interrupted and run
    again.
    """
    answer = run(
        find_operator(**target),
        lambda client: client.forget_customer(customer_id, dry_run=dry_run, note=note),
        as_json,
    )
    if as_json:
        render.as_json(render.message_json(answer.message))
    else:
        _show(answer, dry_run=dry_run)


def _show(answer: "ForgottenCustomer", *, dry_run: bool) -> None:
    rows = [(one.table, str(one.rows), one.columns) for one in answer.erased if one.rows]
    click.echo(f"payments of the customer: {answer.payments}")
    if rows:
        render.table(("table", "rows", "would be erased" if dry_run else "erased"), rows)
    else:
        click.echo("nothing personal is stored" if dry_run else "nothing personal was left")
    if events := answer.retained_events:
        click.echo("The event stream keeps these events until its own age limit:")
        shown = events[:_EVENTS_SHOWN]
        headings = ("published", "event", "subject", "payment")
        render.table(
            headings,
            [
                (
                    f"{one.publish_time:%Y-%m-%d %H:%M:%S}",
                    str(one.event_id),
                    one.subject,
                    str(one.payment_id),
                )
                for one in shown
            ],
        )
        if len(events) > len(shown):
            click.echo(f"and {len(events) - len(shown)} more: see --json")
    if answer.waiting_reports:
        click.echo(
            f"{answer.waiting_reports} reports of providers wait to be settled and were left alone:"
            " run this again afterwards",
            err=True,
        )
