"""`payd payments list` and `payd attention list`: find payments by what a person knows of them."""

import csv
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from payd.cli import payment_view, render
from payd.cli.call import first, json_option, run
from payd.cli.target import Target, find_operator, find_target, operator_options, target_options
from payd.cli.typed import Time, minor_units, pair

if TYPE_CHECKING:
    from payd_client import Payment, PaymentClient, PaymentFilter

F = TypeVar("F", bound=Callable[..., Any])
Documents = Sequence[Mapping[str, Any]]
Listing = Callable[..., AsyncGenerator["Payment", None]]

_STATUSES = (
    *("CREATING", "PENDING", "PROCESSING", "COMPLETED"),
    *("CANCELING", "CANCELED", "EXPIRED", "FAILED"),
)
_PAGE_MAX = 200
_COLUMNS = (
    *("id", "status", "method", "provider", "currency", "amount", "received", "refunded"),
    *("customer_id", "idempotency_key", "provider_reference", "subscription_ids", "attention"),
    *("create_time", "update_time", "complete_time"),
)


def _many(name: str, field: str, text: str, **attributes: Any) -> Any:
    text = f"{text}; repeat the option for several."
    return click.option(name, field, multiple=True, help=text, **attributes)


_FILTER = (
    click.option(
        "--reference",
        default="",
        metavar="TEXT",
        help="Anything that names the payment: payment id, cs_…, pi_…, re_…, transaction hash, "
        "memo, receipt id, idempotency key.",
    ),
    click.option("--customer", "customer_id", default="", help="User id in the main app."),
    click.option("--email", default="", help="Customer's present e-mail address."),
    click.option(
        "--metadata", metavar="KEY=VALUE", help="Pair of the metadata, such as order=1042."
    ),
    click.option("--subscription", "subscription_id", default="", help="Subscription id."),
    _many("--status", "statuses", "Status", type=click.Choice(_STATUSES, case_sensitive=False)),
    _many("--method", "methods", "Payment method: card, crypto, …"),
    _many("--provider", "providers", "Provider: stripe, tempo, …"),
    _many("--attention", "attention", "Open reason for attention, such as UNDERPAID"),
    click.option(
        "--since",
        "create_time_from",
        type=Time(),
        help="Created since then: a span such as 90s, 10m, 24h or 30d, today, or an ISO 8601 time.",
    ),
    click.option(
        "--before",
        "create_time_before",
        type=Time(),
        help="Created before then, in the same forms.",
    ),
    click.option("--min", "least", metavar="AMOUNT", help="Least amount, in units of --currency."),
    click.option("--max", "most", metavar="AMOUNT", help="Largest amount, in units of --currency."),
    click.option(
        "--currency",
        "currency_code",
        default="",
        metavar="CODE",
        help="Payments in this currency only: USD, EUR, …",
    ),
    click.option(
        "--limit",
        type=click.IntRange(1, 1_000_000),
        default=50,
        show_default=True,
        help="Number of payments to list.",
    ),
    click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values."),
)


def filter_options(command: F) -> F:
    """Add the options of a list of payments to a command."""
    for option in reversed(_FILTER):
        command = option(command)
    return command


@click.command("list")
@filter_options
@json_option
@target_options
def list_payments(limit: int, as_csv: bool, as_json: bool, **options: Any) -> None:
    """List payments, newest first.

    Every option narrows the list. --min, --max and --currency need another one that leaves few
    payments over: --since within the last 92 days, --customer, --email, --subscription,
    --reference, --metadata or --attention.
    """
    if as_csv and as_json:
        raise click.UsageError("pass either --json or --csv")
    wanted = _filter_of(options)
    _show(
        _read(find_target(**options), lambda client: client.list_payments, wanted, limit, as_json),
        limit,
        payment_view.table,
        as_csv=as_csv,
        as_json=as_json,
    )


@click.command("list")
@filter_options
@json_option
@operator_options
def list_attention(limit: int, as_csv: bool, as_json: bool, **options: Any) -> None:
    """List payments with open attention, the longest waiting first. For operators."""
    if as_csv and as_json:
        raise click.UsageError("pass either --json or --csv")
    wanted = _filter_of(options)
    _show(
        _read(
            find_operator(**options), lambda client: client.list_attention, wanted, limit, as_json
        ),
        limit,
        payment_view.attention_table,
        as_csv=as_csv,
        as_json=as_json,
    )


def _filter_of(options: dict[str, Any]) -> "PaymentFilter":
    """Build the filter from its options, which leaves those of the target."""
    from payd_client import PaymentFilter, Status

    least, most = options.pop("least"), options.pop("most")
    metadata = options.pop("metadata")
    options["currency_code"] = currency = options["currency_code"].upper()
    if (least or most) and not currency:
        raise click.UsageError("--min and --max need --currency, which says their unit")
    fields = {
        name: options.pop(name)
        for name in (
            *("reference", "customer_id", "email", "subscription_id", "methods", "providers"),
            *("attention", "create_time_from", "create_time_before", "currency_code"),
        )
    }
    return PaymentFilter(
        **fields,
        statuses=[Status(name.upper()) for name in options.pop("statuses")],
        metadata=pair(metadata) if metadata is not None else None,
        min_minor_units=minor_units(least, currency, "--min") if least else 0,
        max_minor_units=minor_units(most, currency, "--max") if most else 0,
    )


def _read(
    target: Target,
    listing_of: Callable[["PaymentClient"], Listing],
    wanted: "PaymentFilter",
    limit: int,
    as_json: bool,
) -> Documents:
    """Read so many payments, and one more if there is one."""

    async def read(client: "PaymentClient") -> "list[Payment]":
        most = limit + 1
        return await first(most, listing_of(client)(wanted, page_size=min(_PAGE_MAX, most)))

    return [render.message_json(one.message) for one in run(target, read, as_json)]


def _show(
    found: Documents,
    limit: int,
    show_table: Callable[[Documents], None],
    *,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print so many payments; say if there are more."""
    documents = found[:limit]
    if as_json:
        render.as_json({"payments": documents})
    elif as_csv:
        _write_csv(documents)
    elif documents:
        show_table(documents)
    else:
        click.echo("no payments")
    if len(found) > limit:
        click.echo(
            f"there are more than {limit}: pass a larger --limit, or narrow the list", err=True
        )


def _write_csv(documents: Documents) -> None:
    """Print a row for each payment; amounts in units of the currency."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in documents:
        values = {
            **one,
            "status": one["status"].removeprefix("PAYMENT_STATUS_"),
            "currency": one["amount"]["currency_code"],
            **{name: render.number(one[name]) for name in ("amount", "received", "refunded")},
            "subscription_ids": " ".join(one["subscription_ids"]),
            "attention": " ".join(one["attention"]),
        }
        writer.writerow([values.get(name, "") for name in _COLUMNS])
