"""`payd tempo pay` and `refund`: the customer's and the merchant's wallet on a local chain."""

import re
import time
from collections.abc import Mapping
from typing import Any

import click
import httpx

from payd.plugins import CommandContext, format_units, parse_units
from tempo_provider.config import DEVNET, LOCALNET, TESTNET, TempoConfig

_DECIMALS = 6
_UNITS_MAX = 2**256 - 1
#: Chain ids of the test networks; the local node of `payd dev` uses one of them.
_LOCAL_CHAINS = frozenset({TESTNET, LOCALNET, DEVNET})
#: transferWithMemo(address,uint256,bytes32) and transfer(address,uint256)
_WITH_MEMO, _PLAIN = "0x95777d59", "0xa9059cbb"
_NATIVE = 10**20
_RECEIPT_S, _POLL_S = 30.0, 0.1


@click.command()
@click.argument("payment_id")
@click.option("--amount", help="Amount in whole tokens, like 12.50; by default the amount due.")
@click.option("--token", help="Currency code or token address; by default the payment's token.")
@click.option("--memo", help="Memo of 32 bytes as 0x-hex; by default the payment's memo.")
@click.option("--without-memo", is_flag=True, help="Send a plain transfer, as some wallets do.")
@click.option(
    "--from",
    "sender",
    type=click.IntRange(0, 9),
    default=0,
    show_default=True,
    metavar="NUMBER",
    help="Index of the test account that pays, among ten accounts.",
)
@click.pass_obj
def pay(
    context: CommandContext,
    payment_id: str,
    amount: str | None,
    token: str | None,
    memo: str | None,
    without_memo: bool,
    sender: int,
) -> None:
    """Pay PAYMENT_ID as a customer would, on the local chain of `payd dev`."""
    payment = context.get_payment(payment_id)
    due = payment.get("next_action", {}).get("crypto_transfer")
    if not due:
        raise click.ClickException(
            f"the payment is {payment['status']} and expects no transfer: start a new one"
        )
    config: TempoConfig = context.config
    units = int(due["amount_base_units"]) if amount is None else _units(amount)
    address = due["token_address"] if token is None else _address(config, token)
    receiver = _word(due["receiver_address"])
    data = f"{_PLAIN}{receiver}{units:064x}"
    if not without_memo:
        data = f"{_WITH_MEMO}{receiver}{units:064x}{_word(memo or due['memo'])}"
    wallet = _wallet(context)
    _show(units, address, wallet.send(wallet.account(sender), address, data))


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

    The receiver account pays; the local chain lets anyone act for it.
    """
    found = context.get_refund(refund_id)
    asked = found.get("next_action", {}).get("crypto_transfer")
    if not asked:
        raise click.ClickException(f"the refund is {found['status']} and expects no transfer")
    config: TempoConfig = context.config
    units = int(asked["amount_base_units"]) if amount is None else _units(amount)
    address = asked["token_address"] if token is None else _address(config, token)
    receiver = asked["receiver_address"] if to is None else to
    data = f"{_WITH_MEMO}{_word(receiver)}{units:064x}{_word(asked['memo'])}"
    wallet = _wallet(context)
    wallet.unlock(config.receiver_address)
    _show(units, address, wallet.send(config.receiver_address, address, data))


def _wallet(context: CommandContext) -> "_Wallet":
    wallet = _Wallet(context.dev.get("tempo_rpc") or context.config.rpc_url[0])
    wallet.check()
    return wallet


def _show(units: int, token: str, receipt: Mapping[str, Any]) -> None:
    click.echo(f"sent {format_units(units, _DECIMALS)} of {token}")
    click.echo(
        f"transaction {receipt['transactionHash']} in block {int(receipt['blockNumber'], 16)}"
    )


class _Wallet:
    """The accounts of a local node: those that it unlocked, and any other."""

    def __init__(self, url: str) -> None:
        self._url = url

    def check(self) -> None:
        """Refuse every node that is not local: elsewhere the accounts may hold real money."""
        client = str(self._call("web3_clientVersion"))
        if not client.startswith("anvil/"):
            raise click.ClickException(
                f"{self._url} is {client}, not a local chain: pay from a wallet"
            )
        chain_id = int(self._call("eth_chainId"), 16)
        if chain_id not in _LOCAL_CHAINS:
            raise click.ClickException(f"{self._url} is chain {chain_id}: pay from a wallet")

    def account(self, number: int) -> str:
        """Return the address of a test account."""
        return str(self._call("eth_accounts")[number])

    def unlock(self, account: str) -> None:
        """Let the node send for an account whose key nobody has."""
        self._call("anvil_impersonateAccount", account)
        # Fees are paid in tokens, but anvil asks for a native balance, too.
        self._call("anvil_setBalance", account, hex(_NATIVE))

    def send(self, account: str, to: str, data: str) -> Mapping[str, Any]:
        """Send a transaction, wait for its block, and return its receipt."""
        sent = self._call("eth_sendTransaction", {"from": account, "to": to, "data": data})
        until = time.monotonic() + _RECEIPT_S
        while (receipt := self._call("eth_getTransactionReceipt", sent)) is None:
            if time.monotonic() > until:
                raise click.ClickException(
                    f"transaction {sent} is in no block after {_RECEIPT_S:g} s: check the chain"
                )
            time.sleep(_POLL_S)
        if int(receipt["status"], 16) != 1:
            raise click.ClickException(f"transaction {sent} was reverted")
        return dict(receipt)

    def _call(self, method: str, *params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            answer = httpx.post(self._url, json=request, timeout=10).json()
        except (httpx.HTTPError, ValueError) as error:
            raise click.ClickException(
                f"no chain at {self._url}: {error}; start `payd dev` with tempo enabled"
            ) from None
        if "error" in answer:
            raise click.ClickException(f"{method}: {answer['error'].get('message')}")
        return answer["result"]


def _units(amount: str) -> int:
    try:
        return parse_units(amount, _DECIMALS)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--amount") from None


def _address(config: TempoConfig, token: str) -> str:
    address = config.tokens.get(token, token)
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", address):
        known = ", ".join(config.tokens)
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
