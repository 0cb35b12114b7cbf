"""Forgetting a customer: what goes from a payment, what stays, and what a repeated call gets."""

from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest
from unit.domain.builders import NOW, TERMS, a_dispute, a_payment, a_refund, at, refunded

from payd.domain.attention import Attention, AttentionRecord
from payd.domain.decide import FORGOTTEN, decide
from payd.domain.dispute import DisputeStatus
from payd.domain.errors import CustomerHasOpenPayments
from payd.domain.evidence import CustomerForgotten
from payd.domain.forget import (
    FORGOTTEN_HASH,
    forgotten,
    is_refund_repeated,
    is_repeated,
    refuse_open,
    why_open,
)
from payd.domain.next_action import Redirect
from payd.domain.outcome import Failure
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundStatus
from payd.domain.request import InitiateRequest, Item, RefundRequest

PLANTED = "planted"
RECORD = AttentionRecord(
    reason=Attention.OVERPAID, since=NOW, resolved_time=NOW, resolved_by="eve", note=PLANTED
)


def a_personal_payment(**overrides: Any) -> Payment:
    refund = a_refund(
        RefundStatus.CANCELED,
        request_hash=b"h",
        destination=PLANTED,
        reason=PLANTED,
        next_action=Redirect(url=f"https://send.example/{PLANTED}"),
        failure=Failure(code="no_account", message=PLANTED),
    )
    fields: dict[str, Any] = {
        "request_hash": b"h",
        "return_url": f"https://shop.example/{PLANTED}",
        "cancel_url": f"https://shop.example/{PLANTED}",
        "metadata": {"name": PLANTED},
        "parameters": {"name": PLANTED},
        "next_action": Redirect(url=f"https://pay.example/{PLANTED}"),
        "failure": Failure(code="declined", message=PLANTED),
        "attention_records": (RECORD,),
    }
    return refunded(refund, **(fields | overrides))


def test_personal_values_go_and_the_rest_stays() -> None:
    before = a_personal_payment()
    after = forgotten(before)
    assert PLANTED not in str(after)
    kept = ("id", "status", "amount", "items", "provider_reference", "aliases", "customer")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert after.failure == Failure(code="declined", message="")
    assert [refund.amount for refund in after.refunds] == [100]
    assert forgotten(after) == after


def test_forgetting_is_a_decision_without_an_event_once() -> None:
    payment = a_personal_payment()
    decision = decide(payment, CustomerForgotten(note="request 7"), at(3))
    assert decision is not None
    assert (decision.audit_event, decision.note, decision.events) == (FORGOTTEN, "request 7", ())
    assert decision.payment.version == payment.version + 1
    assert decide(decision.payment, CustomerForgotten(note="again"), at(4)) is None


@pytest.mark.parametrize(
    ("payment", "reason"),
    [
        *((a_payment(status), f"is {status.value}") for status in Status if status.is_open),
        *(
            (refunded(a_refund(status)), f"refund {UUID(int=9)}")
            for status in RefundStatus
            if status.is_open
        ),
        *(
            (a_payment(Status.COMPLETED, disputes=(a_dispute(status),)), "dispute")
            for status in (
                DisputeStatus.INQUIRY,
                DisputeStatus.NEEDS_RESPONSE,
                DisputeStatus.UNDER_REVIEW,
            )
        ),
    ],
)
def test_what_is_open_is_not_forgotten(payment: Payment, reason: str) -> None:
    with pytest.raises(CustomerHasOpenPayments, match=reason) as refused:
        decide(payment, CustomerForgotten(), at(3))
    assert refused.value.metadata == {"open": "1"}


@pytest.mark.parametrize("status", [s for s in Status if not s.is_open])
def test_what_is_closed_may_be_forgotten(status: Status) -> None:
    assert list(why_open(a_payment(status))) == []


def test_what_has_ended_keeps_nothing_open() -> None:
    ended = (a_dispute(DisputeStatus.WON), a_dispute(DisputeStatus.INQUIRY_CLOSED))
    payment = refunded(a_refund(RefundStatus.SUCCEEDED), disputes=ended)
    assert list(why_open(payment)) == []
    assert forgotten(payment).disputes == ended


def test_a_long_refusal_is_cut_and_counted() -> None:
    refunds = [a_refund(RefundStatus.PENDING, id=uuid4()) for _ in range(5)]
    with pytest.raises(CustomerHasOpenPayments, match="and 2 more") as refused:
        forgotten(refunded(*refunds))
    assert refused.value.metadata == {"open": "5"}


# -- repeated requests ---------------------------------------------------------------------------


def request_of(payment: Payment, **overrides: Any) -> InitiateRequest:
    fields: dict[str, Any] = {
        "idempotency_key": payment.idempotency_key,
        "customer": payment.customer,
        "items": tuple(
            Item(chain_profile_id=i.chain_profile_id, node_type=i.node_type, duration=i.duration)
            for i in payment.items
        ),
        "method": payment.method,
        "subscription_ids": payment.subscription_ids,
        "metadata": {"name": "any"},
    }
    return InitiateRequest(**(fields | overrides))


def test_before_it_is_forgotten_everything_in_a_request_counts() -> None:
    payment = a_payment(Status.COMPLETED)
    payment = attrs.evolve(payment, request_hash=request_of(payment).fingerprint())
    assert is_repeated(payment, request_of(payment))
    assert not is_repeated(payment, request_of(payment, metadata={"name": "other"}))


@pytest.mark.parametrize(
    ("overrides", "repeated"),
    [
        ({}, True),
        ({"metadata": {"name": "other"}, "return_url": "https://x.example"}, True),
        ({"currency_code": "USD"}, True),
        ({"currency_code": "EUR"}, False),
        ({"method": "other"}, False),
        ({"items": ()}, False),
        ({"subscription_ids": ("other",)}, False),
        ({"crypto_currency": "USDC"}, False),
    ],
)
def test_afterwards_what_was_kept_is_compared(overrides: dict[str, Any], *, repeated: bool) -> None:
    payment = forgotten(a_payment(Status.COMPLETED))
    assert is_repeated(payment, request_of(payment, **overrides)) is repeated


def test_a_request_for_another_customer_is_another_request() -> None:
    payment = forgotten(a_payment(Status.COMPLETED))
    other = attrs.evolve(payment.customer, id="somebody-else")
    assert not is_repeated(payment, request_of(payment, customer=other))


def test_a_repeated_refund_is_known_by_its_payment() -> None:
    payment = refunded(a_refund(RefundStatus.SUCCEEDED))
    request = RefundRequest(payment_id=payment.id, idempotency_key="refund-key")
    [refund] = forgotten(payment).refunds
    assert is_refund_repeated(payment, refund, request)
    assert not is_refund_repeated(payment, refund, attrs.evolve(request, payment_id=uuid4()))
    hashed = attrs.evolve(refund, request_hash=request.fingerprint())
    assert is_refund_repeated(payment, hashed, request)
    assert not is_refund_repeated(payment, hashed, attrs.evolve(request, reason="other"))


def test_a_payment_in_tokens_is_known_by_its_token() -> None:
    payment = forgotten(a_payment(Status.COMPLETED, crypto=TERMS))
    assert is_repeated(payment, request_of(payment, crypto_currency=TERMS.currency))
    assert not is_repeated(payment, request_of(payment))


def test_what_is_erased_is_empty_as_if_it_had_never_been_given() -> None:
    after = forgotten(a_personal_payment())
    assert (after.request_hash, after.return_url, after.cancel_url) == (FORGOTTEN_HASH, "", "")
    assert (after.metadata, after.parameters, after.next_action) == ({}, {}, None)
    assert after.attention_records == (attrs.evolve(RECORD, note=""),)
    [refund] = after.refunds
    assert (refund.request_hash, refund.destination, refund.reason) == (FORGOTTEN_HASH, "", "")
    assert (refund.next_action, refund.failure) == (None, Failure(code="no_account", message=""))


@pytest.mark.parametrize(
    ("count", "named"),
    [(1, "0"), (3, "0; 1; 2"), (4, "0; 1; 2, and 1 more"), (5, "0; 1; 2, and 2 more")],
)
def test_a_refusal_names_three_reasons_and_counts_the_others(count: int, named: str) -> None:
    with pytest.raises(CustomerHasOpenPayments) as refused:
        refuse_open([str(number) for number in range(count)])
    assert str(refused.value) == (f"{named}: wait for the end, or cancel, then forget again")
    assert refused.value.metadata == {"open": str(count)}


def test_nothing_open_is_no_refusal() -> None:
    refuse_open([])
