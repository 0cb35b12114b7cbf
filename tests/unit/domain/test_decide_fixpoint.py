"""A decision is complete: deciding again with the same evidence changes nothing."""

import pytest
from unit.domain.builders import (
    TERMS,
    TOKEN,
    a_payment,
    a_receipt,
    a_snapshot,
    after,
    at,
    created,
    reread,
)

from payd.domain.attention import Attention
from payd.domain.decide import decide
from payd.domain.evidence import (
    Absent,
    AskAgain,
    CancelRequested,
    Evidence,
    NotAttempted,
    NotClosable,
    ProviderStatus,
    ReceiptState,
)
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status

CANCEL = CancelRequested()
CLOSED_WITH_A_PART = a_snapshot(ProviderStatus.CANCELED, received=100, confirmed=100)


def decided_once(payment: Payment, evidence: Evidence, minutes: float = 2) -> Payment:
    decision = decide(reread(payment), evidence, at(minutes))
    assert decision is not None
    assert decide(decision.payment, evidence, at(minutes)) is None
    return decision.payment


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ((a_receipt(amount=100, state=ReceiptState.SEEN),), Status.PROCESSING),
        (a_snapshot(ProviderStatus.PROCESSING), Status.PROCESSING),
        (a_snapshot(ProviderStatus.CANCELED), Status.CANCELED),
    ],
)
def test_a_cancel_request_is_answered_by_what_is_known_already(
    known: Evidence, status: Status
) -> None:
    assert decided_once(after(a_payment(), known), CANCEL).status is status


@pytest.mark.parametrize(
    ("look", "minutes", "status"),
    [
        (CLOSED_WITH_A_PART, 2, Status.FAILED),
        (CLOSED_WITH_A_PART, 31, Status.EXPIRED),
        (NotClosable(snapshot=a_snapshot(minutes=31, received=1, confirmed=1)), 31, Status.EXPIRED),
        (NotClosable(snapshot=a_snapshot(received=1, confirmed=1)), 2, Status.PROCESSING),
    ],
)
def test_a_part_found_while_canceling_ends_as_it_would_without_the_cancel_request(
    look: Evidence, minutes: float, status: Status
) -> None:
    assert decided_once(a_payment(Status.CANCELING), look, minutes).status is status


def test_one_claim_reported_twice_is_one_claim() -> None:
    never_sent = after(a_payment(), NotAttempted())
    assert decided_once(never_sent, AskAgain(deadline=at(5))).asking is Asking.ASKING


def test_nobody_may_ask_again_for_a_closed_payment() -> None:
    expired = after(a_payment(), Absent(), minutes=31)
    assert expired.status is Status.EXPIRED
    assert decide(expired, AskAgain(deadline=at(40)), at(32)) is None


def test_a_token_spelled_in_another_case_is_the_same_token() -> None:
    payment = a_payment(Status.PENDING, crypto=TERMS)
    sum_ = TERMS.due_base_units
    seen = a_receipt(amount=sum_, asset=TOKEN, state=ReceiptState.SEEN)
    final = a_receipt(amount=sum_, asset=TOKEN.upper())
    paid = after(payment, (seen,), (final,))
    assert (paid.status, paid.attention) == (Status.COMPLETED, frozenset[Attention]())


def test_an_answer_after_the_cancel_request_is_still_adopted() -> None:
    wished = after(a_payment(), CANCEL)
    assert decided_once(wished, created()).provider_reference == "ref"
