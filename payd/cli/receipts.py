"""`payd receipts`: list receipts that match no payment, and attach them to one."""

import os
import pwd
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from payd.cli import render
from payd.cli.operate import read_config
from payd.cli.target import state_dir_option
from payd.cli.tokens import tokens_of

if TYPE_CHECKING:
    from payd.daemon.builders import Adapters
    from payd.domain.payment import Origin, Payment
    from payd.ports import Providers, StoredReceipt

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def receipts() -> None:
    """List and assign receipts that match no payment."""


@receipts.command("list")
@click.option(
    "--count",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Number of receipts to list.",
)
@json_option
@state_dir_option
def list_unmatched(count: int, as_json: bool, state_dir: Path | None) -> None:
    """List receipts without a payment, newest first."""

    async def read(adapters: "Adapters") -> "Sequence[StoredReceipt]":
        return await adapters.receipts.unmatched(count)

    config = read_config(state_dir)
    documents = [_document(one) for one in _run(read, config)]
    if as_json:
        render.as_json({"receipts": documents})
        return
    if not documents:
        click.echo("no unmatched receipts")
        return
    tokens = tokens_of(config)
    for one in documents:
        one["amount"] = render.units(one["asset"], int(one["amount"]), tokens)
    headings = ("time", "receipt", "amount", "asset", "state", "reference", "sender")
    render.table(headings, [tuple(str(one[name]) for name in _SHOWN) for one in documents])


#: Keys in the order of the headings.
_SHOWN = ("time", "id", "amount", "asset", "state", "reference", "sender")


@receipts.command()
@click.argument("receipt_id")
@click.argument("payment_id", type=click.UUID)
@click.option("--note", default="", help="Reason, stored in the audit trail.")
@json_option
@state_dir_option
def attach(
    receipt_id: str, payment_id: UUID, note: str, as_json: bool, state_dir: Path | None
) -> None:
    """Attach a receipt to the payment it was meant for. The payment's status may change."""
    config = read_config(state_dir)

    async def place(adapters: "Adapters") -> "Payment":
        return await _attach(config, adapters, receipt_id, payment_id, note)

    payment = _run(place, config)
    document = {
        "payment_id": str(payment.id),
        "status": payment.status.value,
        "due": str(payment.due),
        "confirmed": str(payment.confirmed),
        "attention": sorted(reason.value for reason in payment.attention),
    }
    if as_json:
        render.as_json(document)
        return
    tokens = tokens_of(config)
    amounts = {
        "due": render.units(payment.asset, payment.due, tokens),
        "confirmed": render.units(payment.asset, payment.confirmed, tokens),
    }
    render.fields([*(document | amounts).items()])


async def _attach(
    config: Any, adapters: "Adapters", receipt_id: str, payment_id: UUID, note: str
) -> "Payment":
    from payd.adapters.system import SystemClock
    from payd.adapters.turns import AsyncioTurns
    from payd.daemon.preflight import crash_points
    from payd.service.attach import Attach
    from payd.service.settle import Settle

    settle = Settle(
        store=adapters.store,
        providers=_methods(config),
        clock=SystemClock(),
        crash=crash_points(config),
        turns=AsyncioTurns(),
        rules=adapters.rules,
    )
    use_case = Attach(receipts=adapters.receipts, settle=settle)
    return await use_case.attach(receipt_id, payment_id, operator(), note)


def operator() -> "Origin":
    """The user that runs this process, by uid: LOGNAME and USER could contain any text."""
    from payd.domain.actors import operator_actor
    from payd.domain.payment import Origin

    number = os.getuid()
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:
        user = str(number)
    return Origin(actor=operator_actor(user))


def _methods(config: Any) -> "Providers":
    """Describe the enabled providers' methods for settling, without starting a provider."""
    from payd import telemetry
    from payd.daemon.preflight import enabled_plugins
    from payd.providers.loader import described_methods

    return described_methods(enabled_plugins(config), telemetry.get_logger(__name__))


def _run(act: "Callable[[Adapters], Awaitable[T]]", config: Any) -> T:
    """Open the database and act; print an error and exit with 1."""
    import trio

    from payd.domain.errors import PaydError

    try:
        return trio.run(_opened, act, config)
    except* PaydError as errors:
        render.refuse(errors)


async def _opened(act: "Callable[[Adapters], Awaitable[T]]", config: Any) -> T:
    from payd.adapters import bridge
    from payd.daemon.builders import build_adapters, new_metrics

    async with bridge.open_loop(lambda message, error: None):
        adapters = build_adapters(config, new_metrics())
        try:
            return await bridge.aio(act, adapters)
        finally:
            await bridge.aio(adapters.close)


def _document(one: "StoredReceipt") -> dict[str, Any]:
    receipt = one.receipt
    return {
        "provider": one.provider,
        "id": receipt.id,
        "time": receipt.time.isoformat(timespec="seconds"),
        "asset": receipt.asset,
        "amount": str(receipt.amount),
        "state": receipt.state.value,
        "reference": one.reference,
        "sender": receipt.details.get("sender", ""),
        "details": dict(receipt.details),
    }
