"""Fold reports into a payment by payd's own rules, in many orders, and compare it. Pure.

`learn` and `decide` of payd's domain make the payment, as in the service: nothing here adds up
money by rules of its own.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

import attrs

from payd.domain.attention import Attention
from payd.domain.decide import Rules, decide_set
from payd.domain.evidence import Evidence
from payd.domain.outcome import Asking
from payd.domain.payment import Customer, Payment, Status
from payd.domain.refund import RefundStatus
from payd.domain.refund_reports import SAME_REFUND
from payd.domain.sums import StaleSums, sum_receipts
from payd.plugins import CreateOperation, Method
from payd.plugins.testing.registry import Failed

#: Up to so many reports every order is tried; of more, so many drawn ones.
_PERMUTED_MAX = 4
_DRAWN = 24
#: Reports that payd decides on at once: one by one, in small batches, all.
_BATCHES = (1, 3, 1000)
#: Attention that says that a report contradicts the payment or another report, and how.
_CONTRADICTIONS = {
    Attention.WRONG_TOKEN: "a receipt is in another asset than the one that is due",
    Attention.AMOUNT_MISMATCH: (
        "a snapshot has another asset or another due amount than the payment, or is PAID with less"
        " confirmed than is due"
    ),
    Attention.CONFLICTING_EVIDENCE: "two reports cannot both be true",
}


@attrs.frozen(kw_only=True)
class Piece:
    """One piece of evidence, and the channel that reported it."""

    channel: str
    evidence: Evidence


@attrs.frozen(kw_only=True)
class Truth:
    """What a check has caused at the remote side, in the unit of what is due."""

    due: int
    #: Paid, and final.
    confirmed: int = 0
    #: Paid, and not final yet: it may be reported or not.
    unfinal: int = 0
    #: Amounts and statuses of the refunds, in any order.
    refunds: tuple[tuple[int, RefundStatus], ...] = ()
    #: Amounts of the disputes, in any order.
    disputes: tuple[int, ...] = ()
    #: Whether the customer's payment was refused for good.
    refused: bool = False
    #: Whether money in another asset came, which payd shows to a person.
    other_asset: bool = False

    @property
    def statuses(self) -> tuple[Status, ...]:
        """The statuses that the payment may have before its expiry."""
        if self.refused:
            return (Status.FAILED,)
        if self.confirmed >= self.due:
            return (Status.COMPLETED,)
        if self.confirmed:
            return (Status.PROCESSING,)
        return (Status.PENDING, Status.PROCESSING) if self.unfinal else (Status.PENDING,)


def stored(operation: CreateOperation, provider: str) -> Payment:
    """The payment of a create operation as payd stores it before it sends the operation."""
    return Payment(
        id=operation.payment_id,
        idempotency_key=operation.operation_id,
        request_hash=b"",
        customer=Customer(id=operation.customer_id),
        method=operation.method,
        provider=provider,
        amount=operation.amount,
        crypto=operation.crypto,
        items=operation.items,
        metadata=operation.metadata,
        parameters=operation.parameters,
        pricing_version="",
        create_time=operation.create_time,
        update_time=operation.create_time,
        expire_time=operation.expire_time,
        asking=Asking.ASKING,
    )


def rules_of(method: Method) -> Rules:
    """The rules for a method's late money, with payd's own settings."""
    return Rules(late_payments_complete=method.late_payments_complete)


def fold(
    payment: Payment, pieces: Sequence[Piece], now: datetime, rules: Rules, batch: int = 1
) -> Payment:
    """Decide on the pieces in their order, at most `batch` of them at once."""
    left = [piece.evidence for piece in pieces]
    while left:
        try:
            made = decide_set(payment, left[:batch], now, rules)
        except StaleSums:
            # As the store does when it reads the payment again.
            late_end = payment.late_end(rules.late_window)
            sums = sum_receipts(payment.receipts, payment.expire_time, late_end)
            payment = attrs.evolve(payment, sums=sums)
            continue
        payment = made.decision.payment if made.decision is not None else payment
        left = left[len(made.news) :]
    return payment


def orders(pieces: Sequence[Piece]) -> Iterator[tuple[str, Sequence[Piece], int]]:
    """Orders of the pieces, with repetitions: a description, the pieces, how many at once."""
    for batch in _BATCHES:
        yield "as they came", pieces, batch
    yield "all of them twice", [*pieces, *pieces], 1
    yield "each of them twice", [one for one in pieces for _ in range(2)], 3
    if len(pieces) <= _PERMUTED_MAX:
        for order in itertools.permutations(pieces):
            yield "in another order", order, 1
        return
    yield "the last one first", pieces[::-1], 1
    draw = random.Random(len(pieces))  # noqa: S311 - the same orders in every run
    for number in range(_DRAWN):
        drawn = [*pieces, draw.choice(pieces)]
        draw.shuffle(drawn)
        yield "in another order", drawn, _BATCHES[number % len(_BATCHES)]


def compare(
    payment: Payment, truth: Truth, how: str, *, partial: bool = False, one_channel: bool = False
) -> None:
    """Compare the payment with the truth; raise Failed.

    With `partial` the reports may have less money than what came, and never more; those of one
    channel may have fewer refunds and disputes.
    """
    made = f"{how}, payd's payment is {payment.status.value}"
    paid = f"{truth.confirmed} of {truth.due} were paid"
    if truth.unfinal:
        paid += f", and {truth.unfinal} that is not final yet"
    _compare_attention(payment, truth, f"{paid}; but {made}")
    least, most = (0 if partial else truth.confirmed), truth.confirmed + truth.unfinal
    for name, value, limit in (
        ("confirmed", payment.confirmed, truth.confirmed),
        ("received", payment.received, most),
    ):
        if not least <= value <= limit:
            raise Failed(f"{paid}; but {made}, with {name} {value}")
    statuses = truth.statuses
    if truth.refused:
        paid = "the customer's payment was refused"
        # A channel that does not report it says nothing wrong.
        statuses += (Status.PENDING,) if one_channel else ()
    if not partial and payment.status not in statuses:
        wanted = " or ".join(status.value for status in statuses)
        raise Failed(f"{paid}; but {made}, expected {wanted}")
    shown = sorted(one.amount for one in payment.disputes)
    if shown != sorted(truth.disputes) and (shown or not one_channel):
        raise Failed(f"the disputed amounts are {sorted(truth.disputes)}; but {made}, with {shown}")
    _compare_refunds(payment, truth, made, one_channel=one_channel)


def _compare_attention(payment: Payment, truth: Truth, made: str) -> None:
    expected = {Attention.WRONG_TOKEN, Attention.AMOUNT_MISMATCH} if truth.other_asset else set()
    for record in payment.attention_records:
        if record.reason in _CONTRADICTIONS and record.reason not in expected:
            raise Failed(
                f"{made}, with {record.reason.value} ({', '.join(sorted(record.facts))}), expected"
                f" no contradiction: {_CONTRADICTIONS[record.reason]}"
            )


def _compare_refunds(payment: Payment, truth: Truth, made: str, *, one_channel: bool) -> None:
    shown = [
        (one.amount, one.status)
        for one in payment.refunds
        if one.failure is None or one.failure.code != SAME_REFUND
    ]
    missing, more = Counter(truth.refunds) - Counter(shown), Counter(shown) - Counter(truth.refunds)
    if one_channel:
        # What this channel has not reported yet is still on its way.
        on_its_way = Counter((amount, RefundStatus.PENDING) for amount, _ in missing.elements())
        missing, more = Counter(), more - on_its_way
    if missing or more:
        raise Failed(f"the refunds are {_named(truth.refunds)}; but {made}, with {_named(shown)}")


def _named(refunds: Sequence[tuple[int, RefundStatus]]) -> str:
    parts = (f"{amount} {status.value}" for amount, status in sorted(refunds, key=str))
    return " and ".join(parts) or "none"
