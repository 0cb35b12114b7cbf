"""Convert transfers to receipts, outflows and news of refunds. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

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
from tempo_provider.contracts import ZERO
from tempo_provider.memo import Corrections, reference_of
from tempo_provider.refund_memo import refund_of
from tempo_provider.transfers import Blocked, Transfer
from tempo_provider.virtual import is_virtual


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
    blocked: Sequence[Blocked],
    *,
    chain_id: int,
    times: Mapping[int, datetime],
    since: Mapping[tuple[str, str], int],
) -> list[Observation]:
    """Receipts of transfers that the guard keeps: shown to the operator, not counted as paid.

    One to a payment's own address belongs to the payment, and a person has to claim it. Not so in a
    token that is not watched, which anybody can make: `since` maps each pair of account and token
    to the block after which it is watched.
    """
    held: list[Observation] = []
    for one in blocked:
        if one.amount == 0:
            continue
        name = f"{chain_id}:{one.transaction}:{one.log_index}"
        receipt = Receipt(
            id=name,
            asset=one.token,
            amount=one.amount,
            state=ReceiptState.HELD,
            time=times[one.block],
            details=_blocked_details(one),
        )
        is_watched = one.block > since.get((one.receiver, one.token), one.block)
        address = one.recipient if is_watched and is_virtual(one.recipient or "") else None
        held.append(Observation(id=name, reference=address or "", fact=(receipt,)))
        if address:
            detail = f"withheld by our receive policy, to be claimed by its receipt: {name}"
            conflict = Conflict(detail=detail)
            held.append(Observation(id=f"{name}:held", reference=address, fact=conflict))
    return held


def _arrival(
    name: str, transfer: Transfer, time: datetime, corrections: Corrections
) -> Observation:
    details = _details(transfer)
    memo, address = transfer.memo, transfer.virtual
    meant = corrections.meant_payment(memo) if memo and not address else None
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
    named = reference_of(memo) if memo else ""
    if address is None:
        return Observation(id=name, reference=named, fact=(receipt,))
    return Observation(id=name, reference=address, also=named, fact=(receipt,))


def _details(transfer: Transfer) -> dict[str, str]:
    details = {"transaction": transfer.transaction, "block": str(transfer.block)}
    details["sender"] = "mint" if transfer.sender == ZERO else transfer.sender
    if transfer.virtual is not None:
        details["address"] = transfer.virtual
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
    if blocked.recipient not in (None, blocked.receiver):
        details["address"] = str(blocked.recipient)
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
