"""ABIs of Tempo's contracts, and the topics and calldata that web3 derives from them.

Sources: the TIP-20 and TIP-1028 specifications (docs.tempo.xyz/protocol/tip20/spec) and the
precompiles of the node (tempoxyz/tempo, crates/contracts/src/precompiles).
"""

from typing import Any, Final

from eth_typing import ABIEvent
from eth_utils.abi import event_abi_to_log_topic
from web3 import AsyncWeb3, Web3
from web3.contract import AsyncContract

#: The factory of all TIP-20 tokens. Anyone may create a token called "USDC": names prove nothing.
FACTORY: Final = "0x20fc000000000000000000000000000000000000"
#: The contract that keeps transfers blocked by a receive policy (TIP-1028) until claimed.
GUARD: Final = "0xb10c000000000000000000000000000000000000"
ZERO: Final = "0x" + "0" * 40
#: ABI of every TIP-20 token (docs.tempo.xyz/protocol/tip20/spec).
DECIMALS: Final = 6


def _view(name: str, output: str, *inputs: str) -> dict[str, Any]:
    return {
        "type": "function",
        "name": name,
        "stateMutability": "view",
        "inputs": [{"name": f"_{kind}", "type": kind} for kind in inputs],
        "outputs": [{"name": "", "type": output}],
    }


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
_TIP20: Final = [
    _view("decimals", "uint8"),
    _view("currency", "string"),
    _view("paused", "bool"),
    _view("balanceOf", "uint256", "address"),
    _TRANSFER_WITH_MEMO,
    TRANSFER_EVENT,
    MEMO_EVENT,
]

TRANSFER: Final = "0x" + event_abi_to_log_topic(TRANSFER_EVENT).hex()
TRANSFER_WITH_MEMO: Final = "0x" + event_abi_to_log_topic(MEMO_EVENT).hex()
TRANSFER_BLOCKED: Final = "0x" + event_abi_to_log_topic(BLOCKED_EVENT).hex()

_OFFLINE: Final = Web3().eth.contract(abi=_TIP20)


def transfer_calldata(receiver: str, amount: int, memo: str) -> str:
    """Calldata of a wallet's call: `transferWithMemo(receiver, amount, memo)`."""
    arguments = [Web3.to_checksum_address(receiver), amount, bytes.fromhex(memo[2:])]
    return str(_OFFLINE.encode_abi("transferWithMemo", args=arguments))


def token_contract(web3: "AsyncWeb3[Any]", address: str) -> AsyncContract:
    """The contract of a TIP-20 token, for reading."""
    return web3.eth.contract(address=Web3.to_checksum_address(address), abi=_TIP20)


def factory_contract(web3: "AsyncWeb3[Any]") -> AsyncContract:
    """The contract of the token factory, for reading."""
    abi = [_view("isTIP20", "bool", "address")]
    return web3.eth.contract(address=Web3.to_checksum_address(FACTORY), abi=abi)


def topic_of(address: str) -> str:
    """Encode an address as an indexed topic."""
    return "0x" + address[2:].lower().rjust(64, "0")
