"""Refunds, disputes and attention as callers and consumers see them."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
from payd_client.parts import Money
from payd_client.proto import payment_pb2 as pb
from payd_client.refund_messages import dispute_of
from unit.test_codec import NOW, TOKEN, USDC, a_payment

from payd.codec.messages import event_body, payment_message
from payd.codec.refunds import dispute_message, refund_message
from payd.domain.attention import Attention, AttentionRecord
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.next_action import Redirect
from payd.domain.outcome import Failure
from payd.domain.payment import Status
from payd.domain.refund import Refund, RefundStatus

HOUR = timedelta(hours=1)


def a_refund(**overrides: Any) -> Refund:
    """A refund of 10.00 USD, whose answer is not known yet."""
    fields: dict[str, Any] = {
        "id": UUID(int=3),
        "status": RefundStatus.CREATING,
        "amount": 1000,
        "idempotency_key": "refund-1",
        "reason": "damaged",
        "destination": "DE02",
        "requester": "console/alice",
        "create_time": NOW,
        "update_time": NOW + HOUR,
    }
    return Refund(**(fields | overrides))


def a_dispute(**overrides: Any) -> Dispute:
    """A dispute of 10.00 USD that the merchant has to answer."""
    fields: dict[str, Any] = {
        "id": "dp_1",
        "status": DisputeStatus.NEEDS_RESPONSE,
        "asset": "USD",
        "amount": 1000,
        "reason": "fraudulent",
        "open_time": NOW,
        "as_of": NOW + HOUR,
    }
    return Dispute(**(fields | overrides))


# -- refunds ---------------------------------------------------------------------------------


def test_a_refund_says_whose_it_is_and_how_much() -> None:
    message = refund_message(a_payment(), a_refund())

    assert (message.id, message.payment_id) == (str(UUID(int=3)), str(UUID(int=7)))
    assert (message.amount.currency_code, message.amount.minor_units) == ("USD", 1000)
    assert (message.idempotency_key, message.reason) == ("refund-1", "damaged")
    assert (message.destination, message.provider_reference) == ("DE02", "")
    assert message.status == pb.REFUND_STATUS_CREATING
    assert message.update_time.ToDatetime(NOW.tzinfo) == NOW + HOUR
    assert message.requester == "console/alice"
    assert not message.external
    for unset in ("crypto", "next_action", "failure", "complete_time"):
        assert not message.HasField(unset)


@pytest.mark.parametrize("status", RefundStatus)
def test_only_a_refund_that_awaits_a_transfer_says_what_to_send(status: RefundStatus) -> None:
    refund = a_refund(status=status, next_action=Redirect(url="https://bank.example/1"))

    message = refund_message(a_payment(), refund)

    assert pb.RefundStatus.Name(message.status) == f"REFUND_STATUS_{status.value}"
    assert message.HasField("next_action") == (status is RefundStatus.AWAITING_TRANSFER)


def test_a_refund_in_tokens_is_exact() -> None:
    message = refund_message(a_payment(crypto=USDC), a_refund(amount=1_239_999))

    assert message.amount.minor_units == 123
    assert message.crypto == pb.RefundCrypto(
        currency="USDC", token_address=TOKEN, decimals=6, amount_base_units="1239999"
    )


def test_an_ended_refund_says_when_and_why() -> None:
    failure = Failure(code="expired_card", message="The card has expired.")
    refund = a_refund(
        status=RefundStatus.FAILED,
        external=True,
        provider_reference="re_1",
        complete_time=NOW,
        failure=failure,
    )

    message = refund_message(a_payment(), refund)

    assert (message.external, message.provider_reference) == (True, "re_1")
    assert message.complete_time.ToDatetime(NOW.tzinfo) == NOW
    assert (message.failure.code, message.failure.message) == ("expired_card", failure.message)


# -- disputes --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", DisputeStatus)
def test_a_dispute_that_ended_says_when(status: DisputeStatus) -> None:
    message = dispute_message(a_payment(), a_dispute(status=status))

    assert pb.DisputeStatus.Name(message.status) == f"DISPUTE_STATUS_{status.value}"
    waits = status.is_open or status is DisputeStatus.INQUIRY
    assert message.HasField("close_time") == (not waits)
    assert message.open_time.ToDatetime(NOW.tzinfo) == NOW
    assert (message.id, message.reason, message.amount.minor_units) == ("dp_1", "fraudulent", 1000)


def test_a_dispute_says_until_when_the_merchant_can_answer() -> None:
    due = a_dispute(evidence_due_time=NOW + HOUR)

    assert not dispute_message(a_payment(), a_dispute()).HasField("evidence_due_time")
    message = dispute_message(a_payment(), due)
    assert message.evidence_due_time.ToDatetime(NOW.tzinfo) == NOW + HOUR


def test_a_dispute_in_another_currency_says_which() -> None:
    foreign = dispute_message(a_payment(), a_dispute(asset="EUR"))

    assert (foreign.amount.currency_code, foreign.amount.minor_units) == ("EUR", 1000)
    assert dispute_of(foreign).amount == Money(currency_code="EUR", minor_units=1000)


@pytest.mark.parametrize("asset", ["0x" + "11" * 20, ""])
def test_a_dispute_about_an_unknown_asset_has_no_amount(asset: str) -> None:
    unknown = dispute_message(a_payment(crypto=USDC), a_dispute(asset=asset))

    assert not unknown.HasField("amount")
    assert dispute_of(unknown).amount is None


# -- the payment and its events --------------------------------------------------------------


def test_a_payment_has_its_refunds_its_disputes_and_the_fee() -> None:
    payment = a_payment(refunds=(a_refund(),), disputes=(a_dispute(),), fee=0)

    message = payment_message(payment)

    assert list(message.refunds) == [refund_message(payment, a_refund())]
    assert list(message.disputes) == [dispute_message(payment, a_dispute())]
    assert (message.HasField("fee"), message.fee.minor_units) == (True, 0)
    assert not payment_message(a_payment()).HasField("fee")


def test_a_payment_has_the_reasons_that_a_person_has_looked_at() -> None:
    open_one = AttentionRecord(reason=Attention.OVERPAID, since=NOW, facts=frozenset({"1 USD"}))
    by_person = attrs.evolve(
        open_one, resolved_time=NOW + HOUR, resolved_by="operator:x/y", note="sent back"
    )
    by_itself = attrs.evolve(open_one, resolved_time=NOW + HOUR, resolved_by="payd")

    for record, by in ((open_one, ""), (by_person, "operator:x/y"), (by_itself, "")):
        message = payment_message(a_payment(attention_records=(record,)))
        [shown] = message.attention_records
        assert (shown.reason, shown.since.ToDatetime(NOW.tzinfo)) == ("OVERPAID", NOW)
        assert shown.HasField("resolved_time") == (record.resolved_time is not None)
        assert (shown.resolved_by, shown.note) == (by, record.note)
        assert list(message.attention) == (["OVERPAID"] if record.is_open else [])


@pytest.mark.parametrize("about", ["refund", "dispute"])
def test_an_event_has_the_refund_or_the_dispute_that_it_is_about(about: str) -> None:
    matter: dict[str, Any] = {"refund": a_refund(), "dispute": a_dispute()}
    payment = a_payment(refunds=(a_refund(),), disputes=(a_dispute(),))

    event = json.loads(
        event_body(
            payment,
            event_id=UUID(int=9),
            event_type="payment.something",
            previous_status=Status.COMPLETED,
            reason="",
            request_id="req-1",
            **{about: matter[about]},
        )
    )

    assert event[about] == event[f"{about}s"][0]
    assert event.keys() & matter.keys() == {about}


def test_an_event_names_no_operator() -> None:
    refund = attrs.evolve(a_refund(), requester="console/alice")
    resolved = AttentionRecord(
        reason=Attention.OVERPAID,
        since=NOW,
        resolved_time=NOW + HOUR,
        resolved_by="operator:console/alice",
        note="sent back",
    )
    payment = a_payment(refunds=(refund,), attention_records=(resolved,))
    assert payment_message(payment).refunds[0].requester == "console/alice"
    assert payment_message(payment).attention_records[0].resolved_by == "operator:console/alice"

    body = event_body(
        payment,
        event_id=UUID(int=9),
        event_type="payment.refund_succeeded",
        previous_status=Status.COMPLETED,
        reason="",
        request_id="req-1",
        refund=refund,
    )

    assert b"alice" not in body
    assert json.loads(body)["refund"]["requester"] == ""
    assert json.loads(body)["attention_records"][0]["note"] == "sent back"
