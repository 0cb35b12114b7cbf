"""Convert logs to transfers, and transfers to receipts. Pure functions.

Decoded by fixed offsets, which the ABI guarantees for these events; the tests hold it against
web3's own decoding. Each transfer of money is one `Transfer` log. A `TransferWithMemo` is the same
money reported again, always one log later, so that it adds its memo and nothing else.
"""

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from payd.plugins import (
    TEXT_MAX,
    Conflict,
    Observation,
    Outflow,
    Receipt,
    ReceiptState,
    RefundSnapshot,
    RefundState,
)
from tempo_provider.contracts import TRANSFER, TRANSFER_BLOCKED, TRANSFER_WITH_MEMO, ZERO
from tempo_provider.memo import Corrections, reference_of
from tempo_provider.quantities import quantity
from tempo_provider.refund_memo import refund_of

Log = Mapping[str, Any]

_HEX = frozenset(string.hexdigits)
_WORD = 64
_TOPIC = 66
#: ABI of a blocked transfer's receipt, version 1: ten static words, of which these are read.
#: Source: `ClaimReceiptV1` (tempoxyz/tempo,
#: crates/contracts/src/precompiles/receive_policy_guard.rs).
_RECEIPT_WORDS, _VERSION, _ORIGINATOR, _MEMO = 10, 0, 3, 9


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


class Blocked(NamedTuple):
    """A transfer to us that a receive policy redirected to the guard contract."""

    block: int
    log_index: int
    token: str
    receiver: str
    amount: int
    #: The receipt as emitted, 0x-hex: claiming the money needs it.
    receipt: str
    #: Sender and memo; None if the layout of the receipt is unknown.
    sender: str | None
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
        sender, memo = _sender_and_memo(receipt)
        return Blocked(
            quantity(log["blockNumber"]),
            quantity(log["logIndex"]),
            _address(topics[1]),
            _address(topics[2]),
            int(words[:_WORD], 16),
            _hex("0x" + receipt, 2 + length),
            sender,
            memo,
            _hex(log["blockHash"], _TOPIC),
            _hex(log["transactionHash"], _TOPIC),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnreadableLog(f"not a blocked transfer: {error!r}") from None


def _sender_and_memo(receipt: str) -> tuple[str | None, str | None]:
    """Parse a receipt of version 1. Raises ValueError for an invalid sender."""
    words = [receipt[at : at + _WORD] for at in range(0, len(receipt), _WORD)]
    if len(receipt) != _RECEIPT_WORDS * _WORD or int(words[_VERSION], 16) != 1:
        return None, None
    return _address("0x" + words[_ORIGINATOR]), _hex("0x" + words[_MEMO], _TOPIC)


def _hex(value: str, length: int) -> str:
    if len(value) != length or value[:2] != "0x" or not _HEX.issuperset(value[2:]):
        raise ValueError(f"not {length} characters of 0x-hex: {value!r:.100}")
    return value.lower()


def _address(topic: str) -> str:
    if _hex(topic, _TOPIC)[2:26] != "0" * 24:
        raise ValueError(f"not an address: {topic!r}")
    return "0x" + topic[26:].lower()


# -- observations ------------------------------------------------------------------------------


class Books(NamedTuple):
    """Incoming and outgoing transfers of our accounts."""

    arrivals: list[Observation]
    outflows: list[Outflow]
    #: What the memos of outflows say about refunds.
    refunds: list[Observation]


def books_of(
    transfers: Sequence[Transfer],
    *,
    chain_id: int,
    accounts: frozenset[str],
    times: Mapping[int, datetime],
    keys: Sequence[str] = (),
) -> Books:
    """Split transfers into arrivals at our accounts and outflows from them.

    Zero amounts and transfers between our accounts count as neither. A mint to us is money like any
    other; a burn of ours is an outflow, whatever memo it carries. `keys` prove memos.
    """
    books = Books([], [], [])
    corrections = Corrections(keys)
    for transfer in transfers:
        to_us, from_us = transfer.receiver in accounts, transfer.sender in accounts
        if transfer.amount == 0 or to_us == from_us:
            continue
        name = f"{chain_id}:{transfer.transaction}:{transfer.log_index}"
        time = times[transfer.block]
        if to_us:
            books.arrivals.append(_arrival(name, transfer, time, corrections))
        else:
            details = _details(transfer) | {"receiver": transfer.receiver}
            books.outflows.append(
                Outflow(
                    id=name,
                    asset=transfer.token,
                    amount=transfer.amount,
                    time=time,
                    details=details,
                )
            )
            if transfer.memo is not None and transfer.receiver != ZERO:
                books.refunds.extend(_refund(name, transfer, transfer.memo, time, keys))
    return books


def _refund(
    name: str, transfer: Transfer, memo: str, time: datetime, keys: Sequence[str]
) -> Iterator[Observation]:
    """What an outgoing transfer means for a payment: nothing without a memo of ours.

    The memo of a payment says that a person sent money back without payd.
    """
    named = refund_of(memo, transfer.receiver, keys)
    reference = str(named.refund_id) if named else reference_of(memo)
    if named is not None and not named.is_proven:
        detail = f"an outgoing transfer has its memo, and was not asked for: {name}"
        yield Observation(id=name, reference=reference, fact=Conflict(detail=detail))
    elif reference:
        refund = RefundSnapshot(
            reference=name,
            state=RefundState.SUCCEEDED,
            asset=transfer.token,
            amount=transfer.amount,
            time=time,
            refund_id=named.refund_id if named else None,
        )
        yield Observation(id=name, reference=reference, fact=refund)


def held_of(
    blocked: Sequence[Blocked], *, chain_id: int, times: Mapping[int, datetime]
) -> list[Observation]:
    """Receipts of transfers that the guard keeps: shown to the operator, not counted as paid."""
    return [
        Observation(
            id=(name := f"{chain_id}:{one.transaction}:{one.log_index}"),
            reference="",
            fact=(
                Receipt(
                    id=name,
                    asset=one.token,
                    amount=one.amount,
                    state=ReceiptState.HELD,
                    time=times[one.block],
                    details=_blocked_details(one),
                ),
            ),
        )
        for one in blocked
        if one.amount > 0
    ]


def _arrival(
    name: str, transfer: Transfer, time: datetime, corrections: Corrections
) -> Observation:
    details = _details(transfer)
    meant = corrections.meant_payment(transfer.memo) if transfer.memo else None
    if meant is not None:
        details["likely_payment"] = str(meant)
    receipt = Receipt(
        id=name,
        asset=transfer.token,
        amount=transfer.amount,
        state=ReceiptState.CONFIRMED,
        time=time,
        details=details,
    )
    reference = reference_of(transfer.memo) if transfer.memo else ""
    return Observation(id=name, reference=reference, fact=(receipt,))


def _details(transfer: Transfer) -> dict[str, str]:
    details = {"transaction": transfer.transaction, "block": str(transfer.block)}
    details["sender"] = "mint" if transfer.sender == ZERO else transfer.sender
    if transfer.memo is not None:
        details["memo"] = transfer.memo
    return details


def _blocked_details(blocked: Blocked) -> dict[str, str]:
    details = {
        "transaction": blocked.transaction,
        "block": str(blocked.block),
        "receiver": blocked.receiver,
        "guard_receipt": _guard_receipt(blocked.receipt),
    }
    if blocked.sender is not None:
        details["sender"] = blocked.sender
    if blocked.memo is not None:
        details["memo"] = blocked.memo
    return details


def _guard_receipt(receipt: str) -> str:
    """The receipt for claiming the money, or where to find it: payd stores at most TEXT_MAX
    characters. A receipt of version 1 has 642.
    """
    if len(receipt) <= TEXT_MAX:
        return receipt
    size = len(receipt) // 2 - 1
    return f"too long to keep ({size} bytes): read it from the transaction's TransferBlocked log"
