"""quote, pay, get, cancel: a client of the daemon."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import click

from payd.cli import render
from payd.cli.target import Target, find_target, target_options

if TYPE_CHECKING:
    from payd_client import Item, Payment, PaymentClient

T = TypeVar("T")

_FIRST_POLL_S, _POLL_MAX_S = 0.1, 1.0

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
item_option = click.option(
    "--item",
    "items",
    multiple=True,
    required=True,
    metavar="CHAIN/NODE/DURATION",
    help="As in the price list; several are allowed.",
)
method_option = click.option("--method", required=True, help="card, crypto, mock, …")
crypto_option = click.option("--crypto-currency", default="", help="USDC, USDT, …")


@click.command()
@item_option
@method_option
@crypto_option
@json_option
@target_options
def quote(
    items: Sequence[str], method: str, crypto_currency: str, as_json: bool, **target: Any
) -> None:
    """Price items. Nothing is kept."""
    from payd_client import QuoteRequest

    request = QuoteRequest(items=_items(items), method=method, crypto_currency=crypto_currency)
    found = find_target(**target)
    answer = _run(found, lambda client: client.quote(request), as_json)
    document = render.message_json(answer.message)
    if as_json:
        render.as_json(document)
        return
    for item in document["items"]:
        name = f"{item['chain_profile_id']}/{item['node_type']}/{item['duration']}"
        click.echo(f"{name:<44} {render.amount(item['unit_price']):>16}")
    click.secho(f"{'total':<44} {render.amount(document['total']):>16}", bold=True)
    render.fields(
        [("prices", document["pricing_version"][:12]), ("valid until", document["expire_time"])]
    )


@click.command()
@item_option
@method_option
@crypto_option
@click.option("--idempotency-key", help="Made when absent; the same key never pays twice.")
@click.option("--customer", default="cli", show_default=True, help="The main app's user id.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Kept with the payment.")
@click.option("--return-url", help="Where the customer goes after paying; a sample page if absent.")
@click.option("--cancel-url", help="Page for a customer who does not pay.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="For the payment's end.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="Seconds to wait for the end.",
)
@json_option
@target_options
def pay(  # noqa: PLR0913 - one parameter an option
    items: Sequence[str],
    method: str,
    crypto_currency: str,
    idempotency_key: str | None,
    customer: str,
    metadata: Sequence[str],
    return_url: str | None,
    cancel_url: str | None,
    wait: bool,
    timeout_s: float,
    as_json: bool,
    **target: Any,
) -> None:
    """Start a payment, show what the customer has to do, and wait for its end."""
    from payd_client import Customer, InitiateRequest, PaydClientError

    wanted, pairs = _items(items), dict(_pair(pair) for pair in metadata)
    found = find_target(**target)
    request = InitiateRequest(
        idempotency_key=idempotency_key or str(uuid4()),
        customer=Customer(id=customer),
        items=wanted,
        method=method,
        crypto_currency=crypto_currency,
        return_url=return_url or f"{found.shop}/paid",
        cancel_url=cancel_url or f"{found.shop}/back",
        metadata=pairs,
    )

    async def start_and_wait(client: "PaymentClient") -> "Payment":
        try:
            payment = await client.initiate(request)
        except PaydClientError as error:
            # Made here, perhaps: who tries again needs it, not to pay twice.
            error.metadata.setdefault("idempotency_key", request.idempotency_key)
            raise
        if not as_json:
            _show_offer(render.message_json(payment.message), found)
        return await _until_ended(client, payment, timeout_s, as_json) if wait else payment

    answer = _run(found, start_and_wait, as_json)
    if as_json:
        render.as_json(render.message_json(answer.message))
    elif wait and answer.status.is_open:
        later = f"{render.program()} get {answer.id}{found.options}"
        click.echo(f"still {answer.status.value} after {timeout_s:g} s: {later}", err=True)
    sys.exit(1 if wait and answer.status.value != "COMPLETED" else 0)


@click.command()
@click.argument("payment_id", required=False)
@click.option("--idempotency-key", help="Instead of the id.")
@json_option
@target_options
def get(payment_id: str | None, idempotency_key: str | None, as_json: bool, **target: Any) -> None:
    """Show a payment as it stands."""
    if bool(payment_id) == bool(idempotency_key):
        raise click.UsageError("give a PAYMENT_ID or --idempotency-key")

    async def look(client: "PaymentClient") -> "Payment":
        return await (
            client.get(payment_id) if payment_id else client.get_by_key(idempotency_key or "")
        )

    _show(_run(find_target(**target), look, as_json), as_json)


@click.command()
@click.argument("payment_id")
@click.option("--reason", default="", help="For the audit trail.")
@json_option
@target_options
def cancel(payment_id: str, reason: str, as_json: bool, **target: Any) -> None:
    """Cancel a payment that is still open."""
    found = find_target(**target)
    _show(_run(found, lambda client: client.cancel(payment_id, reason), as_json), as_json)


def read_payment(target: Target, payment_id: str) -> dict[str, Any]:
    """A payment as proto3 JSON; an error is told, and ends the command with 1."""
    payment = _run(target, lambda client: client.get(payment_id), False)
    return render.message_json(payment.message)


def _run(target: Target, act: Callable[["PaymentClient"], Awaitable[T]], as_json: bool) -> T:
    """Connect and act; an error is told, and ends the command with 1."""
    from payd_client import CredentialsUnavailable, PaydClientError, PaymentClient, TlsFiles

    async def connected() -> T:
        tls = TlsFiles(ca=target.ca, cert=target.cert, key=target.key)
        async with PaymentClient(target.address, tls) as client:
            return await act(client)

    try:
        return asyncio.run(connected())
    except PaydClientError as error:
        _tell(error, as_json)
    except (CredentialsUnavailable, ValueError) as error:
        _tell(PaydClientError("UNAVAILABLE", str(error)), as_json)
    sys.exit(1)


async def _until_ended(
    client: "PaymentClient", payment: "Payment", timeout_s: float, as_json: bool
) -> "Payment":
    from payd_client import Unavailable

    until = time.monotonic() + timeout_s
    poll_s = _FIRST_POLL_S
    shown = payment.status
    while payment.status.is_open:
        if time.monotonic() >= until:
            return payment
        await asyncio.sleep(poll_s)
        poll_s = min(poll_s * 1.5, _POLL_MAX_S)
        # The payment exists whatever this look says: look again.
        with contextlib.suppress(Unavailable):
            payment = await client.get(payment.id)
        if payment.status != shown and not as_json:
            shown = payment.status
            click.echo(f"→ {render.status(f'PAYMENT_STATUS_{shown.value}')}")
    return payment


def _show_offer(document: dict[str, Any], target: Target) -> None:
    """The payment, and what a wallet reads with its camera."""
    render.payment(document)
    transfer = document.get("next_action", {}).get("crypto_transfer")
    if transfer:
        render.qr_code(transfer["payment_uri"])
    if transfer and target.wallet:
        click.echo(f"\nto pay it on the local chain: {target.wallet} {document['id']}")


def _show(payment: "Payment", as_json: bool) -> None:
    document = render.message_json(payment.message)
    if as_json:
        render.as_json(document)
    else:
        render.payment(document)


def _tell(error: Any, as_json: bool) -> None:
    if as_json:
        names = ("code", "reason", "message", "metadata", "retry_after_s", "request_id")
        render.as_json({"error": {name: getattr(error, name) for name in names}})
        return
    click.echo(f"{click.style(error.reason or error.code, fg='red')}: {error.message}", err=True)
    for name, value in error.metadata.items():
        click.echo(f"  {name}: {value}", err=True)
    if error.retry_after_s is not None:
        click.echo(f"  try again in {error.retry_after_s:g} s, with the same key", err=True)
    if error.request_id:
        click.echo(f"  request id: {error.request_id}", err=True)


def _items(texts: Sequence[str]) -> "tuple[Item, ...]":
    from payd_client import Item

    items = []
    for text in texts:
        parts = text.split("/")
        if len(parts) != 3:
            raise click.BadParameter(f"{text!r} is not CHAIN/NODE/DURATION", param_hint="--item")
        chain, node, duration = parts
        items.append(Item(chain_profile_id=chain, node_type=node, duration=duration))
    return tuple(items)


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--metadata")
    return key, value
