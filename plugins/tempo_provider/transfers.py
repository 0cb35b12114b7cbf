"""Convert logs to transfers. Pure functions.

Decoded by fixed offsets, which the ABI guarantees for these events; the tests hold it against
web3's own decoding. Each transfer of money is one `Transfer` log. A `TransferWithMemo` is the same
money reported again, always one log later, so that it adds its memo and nothing else.
"""

import string
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tempo_provider.contracts import TRANSFER, TRANSFER_BLOCKED, TRANSFER_WITH_MEMO
from tempo_provider.quantities import quantity

Log = Mapping[str, Any]

_HEX = frozenset(string.hexdigits)
_WORD = 64
_TOPIC = 66
#: ABI of a blocked transfer's receipt, version 1: ten static words, of which these are read.
#: Source: `ClaimReceiptV1` (tempoxyz/tempo,
#: crates/contracts/src/precompiles/receive_policy_guard.rs).
_RECEIPT_WORDS, _VERSION, _ORIGINATOR, _RECIPIENT, _MEMO = 10, 0, 3, 4, 9


class UnreadableLog(ValueError):
    """A log that the chain cannot have emitted, so the endpoint is wrong."""


class Transfer(NamedTuple):
    """A transfer of tokens; addresses and hashes are 0x-hex in lower case."""

    block: int
    log_index: int
    token: str
    sender: str
    receiver: str
    amount: int
    #: None for a transfer without a memo.
    memo: str | None
    block_hash: str
    transaction: str
    #: The virtual address that it was sent to and that forwarded it; None without one.
    virtual: str | None = None


class Blocked(NamedTuple):
    """A transfer to us that a receive policy redirected to the guard contract."""

    block: int
    log_index: int
    token: str
    receiver: str
    amount: int
    #: The receipt as emitted, 0x-hex: claiming the money needs it.
    receipt: str
    #: Sender, where it was sent to (the receiver, or its virtual address) and memo; None if the
    #: layout of the receipt is unknown.
    sender: str | None
    recipient: str | None
    memo: str | None
    block_hash: str
    transaction: str


def read_transfers(logs: Iterable[Log]) -> list[Transfer]:
    """Read the transfers of `Transfer` and `TransferWithMemo` logs, each once, in order.

    Raises UnreadableLog.
    """
    transfers: list[Transfer] = []
    previous: Transfer | None = None
    for log in _ordered(logs):
        transfer = _read_transfer(log)
        if transfer.memo is None:
            transfers.append(transfer)
        elif previous is None or not _is_repeated(previous, transfer):
            raise UnreadableLog(f"a memo without its transfer: {transfer.transaction}")
        else:
            transfers[-1] = transfer._replace(log_index=previous.log_index)
        previous = transfer
    return transfers


def read_blocked(logs: Iterable[Log]) -> list[Blocked]:
    """Read the transfers that the guard keeps. Raises UnreadableLog."""
    return [_read_blocked(log) for log in _ordered(logs)]


def amount_of(log: Log) -> int:
    """Read the amount of a transfer's log. Raises UnreadableLog."""
    try:
        return int(_hex(log["data"], _TOPIC), 16)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableLog(f"not a transfer: {error!r:.200}") from None


def memo_in(log: Log) -> str:
    """Read the memo of a `TransferWithMemo` log. Raises UnreadableLog."""
    try:
        return _hex(log["topics"][3], _TOPIC)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnreadableLog(f"not a transfer with a memo: {error!r:.200}") from None


def _ordered(logs: Iterable[Log]) -> list[Log]:
    try:
        return sorted(
            logs, key=lambda log: (quantity(log["blockNumber"]), quantity(log["logIndex"]))
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableLog(f"a log without its place: {error!r}") from None


def _read_transfer(log: Log) -> Transfer:
    try:
        topics, data = log["topics"], log["data"]
        kind = topics[0]
        has_memo = kind == TRANSFER_WITH_MEMO
        if not (has_memo or kind == TRANSFER) or len(topics) != (4 if has_memo else 3):
            raise UnreadableLog(f"not a transfer: {topics!r:.200}")
        return Transfer(
            quantity(log["blockNumber"]),
            quantity(log["logIndex"]),
            _hex(log["address"], 42),
            _address(topics[1]),
            _address(topics[2]),
            int(_hex(data, _TOPIC), 16),
            _hex(topics[3], _TOPIC) if has_memo else None,
            _hex(log["blockHash"], _TOPIC),
            _hex(log["transactionHash"], _TOPIC),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnreadableLog(f"not a transfer: {error!r}") from None


def _is_repeated(plain: Transfer, with_memo: Transfer) -> bool:
    """Whether `with_memo` repeats `plain`, the previous log of the same call, with its memo."""
    return with_memo._replace(memo=None, log_index=with_memo.log_index - 1) == plain


def _read_blocked(log: Log) -> Blocked:
    try:
        topics, words = log["topics"], log["data"][2:]
        if topics[0] != TRANSFER_BLOCKED or len(topics) != 4:
            raise UnreadableLog(f"not a blocked transfer: {topics!r:.200}")
        start = 2 * int(words[2 * _WORD : 3 * _WORD], 16)
        length = 2 * int(words[start : start + _WORD], 16)
        receipt = words[start + _WORD : start + _WORD + length]
        sender, recipient, memo = _people_and_memo(receipt)
        return Blocked(
            quantity(log["blockNumber"]),
            quantity(log["logIndex"]),
            _address(topics[1]),
            _address(topics[2]),
            int(words[:_WORD], 16),
            _hex("0x" + receipt, 2 + length),
            sender,
            recipient,
            memo,
            _hex(log["blockHash"], _TOPIC),
            _hex(log["transactionHash"], _TOPIC),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnreadableLog(f"not a blocked transfer: {error!r}") from None


def _people_and_memo(receipt: str) -> tuple[str | None, str | None, str | None]:
    """Sender, recipient and memo of a receipt of version 1. Raises ValueError."""
    words = [receipt[at : at + _WORD] for at in range(0, len(receipt), _WORD)]
    if len(receipt) != _RECEIPT_WORDS * _WORD or int(words[_VERSION], 16) != 1:
        return None, None, None
    sender, recipient = (_address("0x" + words[at]) for at in (_ORIGINATOR, _RECIPIENT))
    return sender, recipient, _hex("0x" + words[_MEMO], _TOPIC)


def _hex(value: str, length: int) -> str:
    if len(value) != length or value[:2] != "0x" or not _HEX.issuperset(value[2:]):
        raise ValueError(f"not {length} characters of 0x-hex: {value!r:.100}")
    return value.lower()


def _address(topic: str) -> str:
    if _hex(topic, _TOPIC)[2:26] != "0" * 24:
        raise ValueError(f"not an address: {topic!r}")
    return "0x" + topic[26:].lower()
