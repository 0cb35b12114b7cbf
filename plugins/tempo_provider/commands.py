"""`payd tempo pay` and `refund`: the customer's and the merchant's wallet on a local chain."""

import re
from collections.abc import Mapping
from typing import Any

import click

from payd.plugins import CommandContext, format_units, parse_units
from tempo_provider.config import TempoConfig
from tempo_provider.local_wallet import LocalWallet, Move

_DECIMALS = 6
_UNITS_MAX = 2**256 - 1
#: transferWithMemo(address,uint256,bytes32) and transfer(address,uint256)
_WITH_MEMO, _PLAIN = "0x95777d59", "0xa9059cbb"
_WORD_BYTES = 32
#: Test accounts that an exchange pays in the same transaction.
_OTHERS = (8, 9)


@click.command()
@click.argument("payment_id")
@click.option("--amount", help="Amount in whole tokens, like 12.50; by default the amount due.")
@click.option("--token", help="Currency code or token address; by default the payment's token.")
@click.option("--memo", help="Memo of 32 bytes as 0x-hex; by default the payment's memo.")
@click.option(
    "--memo-text",
    metavar="TEXT",
    help="Memo as a person types it: at most 32 bytes of text, padded on the right.",
)
@click.option(
    "--plain",
    "--without-memo",
    is_flag=True,
    help="Send a transfer without a memo, as some wallets do.",
)
@click.option(
    "--from-exchange",
    is_flag=True,
    help="Pay in one transaction with transfers to others, as exchanges do.",
)
@click.option(
    "--late",
    is_flag=True,
    help="Pay a payment that is closed, as a customer with its old page may.",
)
@click.option(
    "--from",
    "sender",
    type=click.IntRange(0, 9),
    default=1,
    show_default=True,
    metavar="NUMBER",
    help="Index of the test account that pays, among ten accounts; 0 is payd's own.",
)
@click.pass_obj
def pay(
    context: CommandContext,
    /,
    payment_id: str,
    amount: str | None,
    token: str | None,
    sender: int,
    from_exchange: bool,
    late: bool,
    **memo: Any,
) -> None:
    """Pay PAYMENT_ID as a customer would, on the local chain of `payd dev`."""
    config: TempoConfig = context.config
    due = _due(context.get_payment(payment_id), late)
    units = int(due["amount_base_units"]) if amount is None else _units(amount)
    address = due["token_address"] if token is None else _address(config, token)
    move = Move(due["receiver_address"], units, _memo(due["memo"], **memo))
    wallet = _wallet(context)
    account = wallet.account(sender)
    if account.lower() == config.receiver_address:
        raise click.ClickException(
            f"account {sender} is the one that receives the payments: pay --from another"
        )
    if from_exchange:
        others = [Move(wallet.account(number), 1) for number in _OTHERS]
        receipt = wallet.send_all(account, address, [others[0], move, *others[1:]])
    else:
        receipt = wallet.send(account, address, _transfer(*move))
    _show(units, address, receipt)


def _due(payment: Mapping[str, Any], late: bool) -> Mapping[str, str]:
    """What the payment asks to transfer, or, if it is closed, asked while it was open."""
    due: Mapping[str, str] | None = payment.get("next_action", {}).get("crypto_transfer")
    if due:
        return due
    asked = payment.get("crypto", {})
    if not late or not asked.get("receiver_address"):
        status = payment["status"].removeprefix("PAYMENT_STATUS_")
        raise click.ClickException(
            f"the payment is {status} and expects no transfer: start a new one, or pay it all the"
            " same with --late"
        )
    return {
        "amount_base_units": asked["due_base_units"],
        "token_address": asked["token_address"],
        "receiver_address": asked["receiver_address"],
        "memo": payment["provider_reference"],
    }


def _memo(own: str, memo: str | None, memo_text: str | None, plain: bool) -> str | None:
    """The memo to send, in hex; None for a plain transfer."""
    if sum((memo is not None, memo_text is not None, plain)) > 1:
        raise click.UsageError("--memo, --memo-text and --plain exclude each other")
    if plain:
        return None
    if memo_text is None:
        return f"0x{_word(memo or own)}"
    text = memo_text.encode()
    if len(text) > _WORD_BYTES:
        raise click.BadParameter(
            f"{memo_text!r} has {len(text)} bytes, a memo at most {_WORD_BYTES}",
            param_hint="--memo-text",
        )
    return "0x" + text.ljust(_WORD_BYTES, b"\0").hex()


def _transfer(receiver: str, units: int, memo: str | None) -> str:
    """Calldata of a transfer, with a memo or without."""
    if memo is None:
        return f"{_PLAIN}{_word(receiver)}{units:064x}"
    return f"{_WITH_MEMO}{_word(receiver)}{units:064x}{_word(memo)}"


@click.command()
@click.argument("refund_id")
@click.option("--amount", help="Amount in whole tokens, like 12.50; by default that of the refund.")
@click.option("--token", help="Currency code or token address; by default the refund's token.")
@click.option("--to", help="Address to send to; by default the refund's destination.")
@click.pass_obj
def refund(
    context: CommandContext, refund_id: str, amount: str | None, token: str | None, to: str | None
) -> None:
    """Send REFUND_ID as the merchant would, on the local chain of `payd dev`.

    The receiver account pays: the local chain lets anyone act for it.
    """
    found = context.get_refund(refund_id)
    asked = found.get("next_action", {}).get("crypto_transfer")
    if not asked:
        status = found["status"].removeprefix("REFUND_STATUS_")
        raise click.ClickException(f"the refund is {status} and expects no transfer")
    config: TempoConfig = context.config
    units = int(asked["amount_base_units"]) if amount is None else _units(amount)
    address = asked["token_address"] if token is None else _address(config, token)
    receiver = asked["receiver_address"] if to is None else to
    data = _transfer(receiver, units, asked["memo"])
    wallet = _wallet(context)
    wallet.unlock(config.receiver_address)
    _show(units, address, wallet.send(config.receiver_address, address, data))


def _wallet(context: CommandContext) -> LocalWallet:
    wallet = LocalWallet(context.dev.get("tempo_rpc") or context.config.rpc_url[0])
    wallet.check()
    return wallet


def _show(units: int, token: str, receipt: Mapping[str, Any]) -> None:
    click.echo(f"sent {format_units(units, _DECIMALS)} of {token}")
    click.echo(
        f"transaction {receipt['transactionHash']} in block {int(receipt['blockNumber'], 16)}"
    )


def _units(amount: str) -> int:
    try:
        return parse_units(amount, _DECIMALS)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--amount") from None


def _address(config: TempoConfig, token: str) -> str:
    address = config.offered.get(token, token)
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", address):
        known = ", ".join(config.offered)
        raise click.BadParameter(
            f"{token!r} is neither an address nor one of {known}", param_hint="--token"
        )
    return address


def _word(value: str) -> str:
    try:
        number = int(value, 16)
    except ValueError:
        number = -1
    if not 0 <= number <= _UNITS_MAX:
        raise click.BadParameter(f"{value!r} is not 0x-hex of at most 32 bytes")
    return f"{number:064x}"
