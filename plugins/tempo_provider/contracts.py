"""ABIs of Tempo's contracts, and the topics and calldata that web3 derives from them.

Sources: the TIP-20 and TIP-1028 specifications (docs.tempo.xyz/protocol/tip20/spec) and the
precompiles of the node (tempoxyz/tempo, crates/contracts/src/precompiles).
"""

from collections.abc import Sequence
from typing import Any, Final

import attrs
from eth_abi.exceptions import DecodingError
from eth_typing import ABIEvent
from eth_utils.abi import event_abi_to_log_topic, function_signature_to_4byte_selector
from web3 import Web3

#: The factory of all TIP-20 tokens. Anyone may create a token called "USDC": names prove nothing.
FACTORY: Final = "0x20fc000000000000000000000000000000000000"
#: The registry of transfer policies (TIP-403).
POLICIES: Final = "0x403c000000000000000000000000000000000000"
#: The contract that keeps transfers blocked by a receive policy (TIP-1028) until claimed.
GUARD: Final = "0xb10c000000000000000000000000000000000000"
#: The registry of virtual addresses (TIP-1022).
REGISTRY: Final = "0xfdc0000000000000000000000000000000000000"
ZERO: Final = "0x" + "0" * 40
#: Decimal places of every TIP-20 token.
DECIMALS: Final = 6

_CODEC: Final = Web3().codec


@attrs.frozen
class View:
    """A contract's function that only reads."""

    name: str
    output: str
    inputs: tuple[str, ...] = ()

    def call(self, to: str, *arguments: Any, block: str = "latest") -> tuple[str, Sequence[Any]]:
        """The JSON-RPC call of this function at a contract."""
        signature = f"{self.name}({','.join(self.inputs)})"
        data = function_signature_to_4byte_selector(signature)
        data += _CODEC.encode(self.inputs, arguments)
        return "eth_call", ({"to": to, "data": "0x" + data.hex()}, block)

    def read(self, answer: Any) -> Any:
        """Decode its result. Raises an exception of `UNREADABLE` for anything else."""
        (value,) = _CODEC.decode((self.output,), bytes.fromhex(answer.removeprefix("0x")))
        return value


#: What `View.read` raises for an invalid response.
UNREADABLE: Final = (DecodingError, ArithmeticError, AttributeError, TypeError, ValueError)

IS_TIP20: Final = View("isTIP20", "bool", ("address",))
DECIMALS_OF: Final = View("decimals", "uint8")
CURRENCY_OF: Final = View("currency", "string")
PAUSED: Final = View("paused", "bool")
BALANCE_OF: Final = View("balanceOf", "uint256", ("address",))
TRANSFER_POLICY_ID: Final = View("transferPolicyId", "uint64")
#: Since T2 a policy may differ for senders and recipients (TIP-1015).
IS_AUTHORIZED_RECIPIENT: Final = View("isAuthorizedRecipient", "bool", ("uint64", "address"))


#: Zero for an id that nobody has registered.
GET_MASTER: Final = View("getMaster", "address", ("bytes4",))


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
_TRANSFER_WITH_MEMO: Final[dict[str, Any]] = {
    "type": "function",
    "name": "transferWithMemo",
    "stateMutability": "nonpayable",
    "inputs": [
        {"name": "to", "type": "address"},
        {"name": "amount", "type": "uint256"},
        {"name": "memo", "type": "bytes32"},
    ],
    "outputs": [],
}

TRANSFER: Final = "0x" + event_abi_to_log_topic(TRANSFER_EVENT).hex()
TRANSFER_WITH_MEMO: Final = "0x" + event_abi_to_log_topic(MEMO_EVENT).hex()
TRANSFER_BLOCKED: Final = "0x" + event_abi_to_log_topic(BLOCKED_EVENT).hex()

_OFFLINE: Final = Web3().eth.contract(abi=[_TRANSFER_WITH_MEMO])


def transfer_calldata(receiver: str, amount: int, memo: str) -> str:
    """Calldata of a wallet's call: `transferWithMemo(receiver, amount, memo)`."""
    arguments = [Web3.to_checksum_address(receiver), amount, bytes.fromhex(memo[2:])]
    return str(_OFFLINE.encode_abi("transferWithMemo", args=arguments))


def register_calldata(salt: int) -> str:
    """Calldata of `registerVirtualMaster(salt)`, by which an account becomes a master."""
    selector = function_signature_to_4byte_selector("registerVirtualMaster(bytes32)")
    return "0x" + (selector + salt.to_bytes(32)).hex()


def topic_of(address: str) -> str:
    """Encode an address as an indexed topic."""
    return "0x" + address[2:].lower().rjust(64, "0")
