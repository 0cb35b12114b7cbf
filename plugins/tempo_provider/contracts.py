"""ABIs of Tempo's contracts, and the topics and calldata that follow from them.

Sources: the TIP-20 and TIP-1028 specifications (docs.tempo.xyz/protocol/tip20/spec) and the
precompiles of the node (tempoxyz/tempo, crates/contracts/src/precompiles).
"""

from typing import Any, Final

import attrs
from eth_abi.abi import decode, encode
from eth_typing import ABIEvent
from eth_utils.abi import event_abi_to_log_topic, function_signature_to_4byte_selector

#: The factory of all TIP-20 tokens. Anyone may create a token called "USDC": names prove nothing.
FACTORY: Final = "0x20fc000000000000000000000000000000000000"
#: The contract that keeps transfers blocked by a receive policy (TIP-1028) until claimed.
GUARD: Final = "0xb10c000000000000000000000000000000000000"
ZERO: Final = "0x" + "0" * 40
#: Decimals of every TIP-20 token (docs.tempo.xyz/protocol/tip20/spec).
DECIMALS: Final = 6


@attrs.frozen
class Function:
    """A function of a contract: its name, the types of its arguments and of its result."""

    name: str
    inputs: tuple[str, ...] = ()
    output: str | None = None

    def calldata(self, *arguments: object) -> str:
        """Encode a call of the function. Addresses are in lower case."""
        selector = function_signature_to_4byte_selector(f"{self.name}({','.join(self.inputs)})")
        return "0x" + (selector + encode(self.inputs, arguments)).hex()

    def result(self, returned: str) -> Any:
        """Decode what a call returned. Raises DecodingError, TypeError or ValueError."""
        (value,) = decode([str(self.output)], bytes.fromhex(returned.removeprefix("0x")))
        return value


def _event(name: str, *inputs: tuple[str, str, bool]) -> ABIEvent:
    return {
        "type": "event",
        "name": name,
        "anonymous": False,
        "inputs": [{"name": n, "type": kind, "indexed": indexed} for n, kind, indexed in inputs],
    }


TRANSFER_EVENT: Final = _event(
    "Transfer", ("from", "address", True), ("to", "address", True), ("amount", "uint256", False)
)
MEMO_EVENT: Final = _event(
    "TransferWithMemo",
    ("from", "address", True),
    ("to", "address", True),
    ("amount", "uint256", False),
    ("memo", "bytes32", True),
)
BLOCKED_EVENT: Final = _event(
    "TransferBlocked",
    ("token", "address", True),
    ("receiver", "address", True),
    ("blockedNonce", "uint64", True),
    ("amount", "uint256", False),
    ("receiptVersion", "uint8", False),
    ("receipt", "bytes", False),
)
IS_TIP20: Final = Function("isTIP20", ("address",), "bool")
# Functions of every TIP-20 token.
DECIMALS_OF: Final = Function("decimals", output="uint8")
CURRENCY_OF: Final = Function("currency", output="string")
IS_PAUSED: Final = Function("paused", output="bool")
BALANCE_OF: Final = Function("balanceOf", ("address",), "uint256")
_TRANSFER_WITH_MEMO: Final = Function("transferWithMemo", ("address", "uint256", "bytes32"))

TRANSFER: Final = "0x" + event_abi_to_log_topic(TRANSFER_EVENT).hex()
TRANSFER_WITH_MEMO: Final = "0x" + event_abi_to_log_topic(MEMO_EVENT).hex()
TRANSFER_BLOCKED: Final = "0x" + event_abi_to_log_topic(BLOCKED_EVENT).hex()


def transfer_calldata(receiver: str, amount: int, memo: str) -> str:
    """Calldata of a wallet's call: `transferWithMemo(receiver, amount, memo)`."""
    return _TRANSFER_WITH_MEMO.calldata(receiver.lower(), amount, bytes.fromhex(memo[2:]))


def topic_of(address: str) -> str:
    """Encode an address as an indexed topic."""
    return "0x" + address[2:].lower().rjust(64, "0")
