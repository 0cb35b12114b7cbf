"""The accounts of a local chain, for the commands that pay on it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click
import httpx
from eth_abi.abi import encode
from eth_utils.abi import function_signature_to_4byte_selector

from tempo_provider.networks import DEVNET, LOCALNET, TESTNET

#: Chain ids of the test networks; the local node of `payd dev` uses one of them.
_LOCAL_CHAINS = frozenset({TESTNET, LOCALNET, DEVNET})
_NATIVE = 10**20
_RECEIPT_S, _POLL_S = 30.0, 0.1

#: Multicall3, which calls several contracts in one transaction.
MULTICALL = "0xca11bde05977b3631167028862be2a173976ca11"
_AGGREGATE = "aggregate((address,bytes)[])"
_APPROVE = "approve(address,uint256)"
_TRANSFER_FROM = "transferFrom(address,address,uint256)"
_TRANSFER_FROM_WITH_MEMO = "transferFromWithMemo(address,address,uint256,bytes32)"


class Move(NamedTuple):
    """A transfer of base units of a token; `memo` in hex."""

    receiver: str
    units: int
    memo: str | None = None


class LocalWallet:
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

    def send_all(self, account: str, token: str, moves: Sequence[Move]) -> Mapping[str, Any]:
        """Send several transfers of a token in one transaction, as `send` does.

        A contract of the chain makes them, after the account has let it move so many tokens.
        """
        total = sum(move.units for move in moves)
        self.send(account, token, _data(_APPROVE, ["address", "uint256"], [MULTICALL, total]))
        calls = [(token, bytes.fromhex(_moved_from(account, move)[2:])) for move in moves]
        return self.send(account, MULTICALL, _data(_AGGREGATE, ["(address,bytes)[]"], [calls]))

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


def _moved_from(account: str, move: Move) -> str:
    """Calldata by which a contract moves tokens of `account`."""
    kinds, values = ["address", "address", "uint256"], [account, move.receiver, move.units]
    if move.memo is None:
        return _data(_TRANSFER_FROM, kinds, values)
    memo = bytes.fromhex(move.memo[2:])
    return _data(_TRANSFER_FROM_WITH_MEMO, [*kinds, "bytes32"], [*values, memo])


def _data(signature: str, kinds: Sequence[str], values: Sequence[Any]) -> str:
    selector = function_signature_to_4byte_selector(signature)
    return "0x" + (selector + encode(kinds, values)).hex()
