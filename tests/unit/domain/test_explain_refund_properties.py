"""No explanation advises to send more back than is left, or the same money twice."""

import re
import shlex
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.builders import DUE, a_payment, a_refund, a_snapshot, after, at, reread
from unit.domain.test_refund_properties import ANYTHING, requests

from payd.domain.attention import Attention
from payd.domain.decide import decide
from payd.domain.errors import PaydError
from payd.domain.evidence import Evidence, ProviderStatus, RefundRequested
from payd.domain.explain import explain
from payd.domain.explanation import Explanation
from payd.domain.history import Change, Circumstances, History
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundStatus, RefundTerms
from payd.domain.refunds import left, taken

#: When the history is over; each piece of it happened in an earlier minute.
NOW_MINUTE = 60
SURPLUS = frozenset({Attention.OVERPAID, Attention.DUPLICATE_PAYMENT})


def paid(amount: int, status: Status = Status.PENDING) -> Payment:
    """This much is final at the provider, in time or, for a closed payment, days too late."""
    minutes = 1 if status is Status.PENDING else 3 * 24 * 60
    snapshot = a_snapshot(
        ProviderStatus.PAID, minutes=minutes, received=amount, confirmed=amount, due=DUE
    )
    return after(a_payment(status), snapshot, minutes=minutes)


STARTS = st.sampled_from(
    [
        paid(DUE),
        paid(DUE + 150),
        paid(2 * DUE),
        paid(DUE, Status.EXPIRED),
        paid(DUE, Status.CANCELED),
        paid(300, Status.EXPIRED),
    ]
)
#: What a provider can do with refunds.
TERMS = st.sampled_from(
    [
        RefundTerms(),
        RefundTerms(partial=False),
        RefundTerms(several=False),
        RefundTerms(approval_from=100),
        RefundTerms(needs_destination=True),
        None,
    ]
)


def lived(payment: Payment, pieces: Sequence[Evidence]) -> Payment:
    """The payment after all that payd takes; each refund is requested in a minute of its own."""
    for minute, piece in enumerate(pieces, start=2):
        taken_in = piece
        if isinstance(piece, RefundRequested):
            refund = attrs.evolve(piece.refund, create_time=at(minute))
            taken_in = attrs.evolve(piece, refund=refund)
        try:
            decision = decide(reread(payment), taken_in, at(minute))
        except PaydError:
            continue
        payment = decision.payment if decision else payment
    return payment


def explained(payment: Payment, terms: RefundTerms | None, minute: float) -> Explanation:
    change = Change(
        payment=payment,
        audit_event="facts_changed",
        actor="payd",
        time=payment.update_time,
        first_time=payment.update_time,
    )
    around = Circumstances(now=at(minute), refund_terms=terms)
    return explain(History(changes=(change,)), around)


def refunds_advised(payment: Payment, explanation: Explanation) -> list[int]:
    """The amounts of all `payd refund` commands of an explanation."""
    amounts = []
    for one in explanation.advice:
        words = shlex.split(one.command)
        if words[:2] != ["payd", "refund"]:
            continue
        if "--amount" not in words:
            amounts.append(left(payment))
            continue
        amounts.append(int(Decimal(words[words.index("--amount") + 1]) * 100))
    return amounts


def most_to_send(payment: Payment) -> int:
    """The whole of a closed payment; else the surplus, or the largest refund that failed."""
    if payment.status.is_closed:
        return left(payment)
    ended = [one.amount for one in payment.refunds if not one.status.is_live]
    return min(left(payment), max(left(payment) - payment.due, 0, *ended))


@given(STARTS, st.lists(ANYTHING, max_size=20), TERMS)
def test_following_every_advice_to_refund_sends_no_money_twice(
    start: Payment, pieces: Any, terms: RefundTerms | None
) -> None:
    payment = lived(start, pieces)
    most, sent = most_to_send(payment), 0
    for number in range(4):
        advised = refunds_advised(payment, explained(payment, terms, NOW_MINUTE + number))
        assert len(advised) <= 1
        if not advised:
            break
        assert terms is not None
        draft = a_refund(
            id=UUID(int=90 + number),
            amount=advised[0],
            destination="ADDRESS",
            create_time=at(NOW_MINUTE + number),
        )
        wanted = RefundRequested(refund=draft, terms=terms)
        decision = decide(reread(payment), wanted, at(NOW_MINUTE + number))
        assert decision is not None
        payment, sent = decision.payment, sent + advised[0]
    else:
        raise AssertionError("the explanation never stops advising refunds")
    assert sent <= most


@given(st.sampled_from([paid(DUE + 150), paid(2 * DUE)]), st.lists(requests(), max_size=4))
def test_a_surplus_that_goes_back_as_advised_never_takes_what_was_due(
    start: Payment, pieces: Any
) -> None:
    payment = lived(start, pieces)
    assert payment.attention & SURPLUS
    advised = refunds_advised(payment, explained(payment, RefundTerms(), NOW_MINUTE))
    assert sum(advised) == max(0, left(payment) - payment.due)


@given(STARTS, st.lists(ANYTHING, max_size=20), TERMS)
def test_an_explanation_speaks_of_no_empty_amount_and_never_of_sending_what_is_gone(
    start: Payment, pieces: Any, terms: RefundTerms | None
) -> None:
    payment = lived(start, pieces)
    explanation = explained(payment, terms, NOW_MINUTE)
    for one in explanation.advice:
        assert not re.search(r"\b0\.00 USD", one.text), one.text
    waiting = [one for one in payment.refunds if one.status is RefundStatus.AWAITING_TRANSFER]
    to_send = [one for one in explanation.advice if one.command.startswith("payd refunds get ")]
    if taken(payment) > payment.confirmed:
        assert to_send == []
    assert len(to_send) <= len(waiting)
