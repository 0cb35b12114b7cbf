"""A main app reads of refunds, disputes and attention exactly what payd says."""

from typing import Any
from uuid import UUID

import payd_client
import pytest
from payd_client.messages import event_of, payment_of
from payd_client.parts import Failure, Money, Show, ShowField, ShowKind
from payd_client.proto import payment_pb2 as pb
from payd_client.refund_messages import (
    list_refunds_message,
    refund_of,
    refund_page_of,
    refund_payment_message,
)
from payd_client.refunds import AttentionRecord, DisputeStatus, RefundRequest, RefundStatus
from unit.test_codec import NOW, TOKEN, USDC, a_payment
from unit.test_refund_messages import HOUR, a_dispute, a_refund

from payd.codec import refund_requests
from payd.codec.messages import event_body, payment_message
from payd.codec.refunds import refund_message
from payd.domain import attention, dispute, next_action, outcome, refund, request
from payd.domain.evidence import Receipt, ReceiptState
from payd.domain.ledger import PaymentReceipts
from payd.domain.payment import Payment, Status

TEN_USD = Money(currency_code="USD", minor_units=1000)


def test_a_program_that_read_payments_of_an_older_payd_reads_these_too() -> None:
    payment = payment_of(pb.Payment.FromString(payment_message(a_payment()).SerializeToString()))
    assert (payment.refunds, payment.disputes, payment.attention_records) == ((), (), ())
    assert (payment.version, payment.fee) == (1, None)


def test_a_payments_receipts_arrive_where_payd_sends_them() -> None:
    arrived = Receipt(
        id="0xaa:1",
        asset=TOKEN,
        amount=149_000_001,
        state=ReceiptState.HELD,
        time=NOW,
        details={"transaction": "0xaa", "sender": "0x5e"},
    )
    receipts = PaymentReceipts(newest=[arrived], total=7, pages={"0xaa:1": "https://x.example/aa"})
    payment = payment_of(payment_message(a_payment(crypto=USDC), receipts=receipts))
    [one] = payment.receipts
    assert payment.receipts_total == 7
    assert (one.id, one.asset, one.state.value, one.time) == ("0xaa:1", TOKEN, "HELD", NOW)
    assert (one.amount, one.amount_base_units) == (
        Money(currency_code="USD", minor_units=14900),
        149_000_001,
    )
    assert (one.transaction, one.sender, one.explorer_url) == (
        "0xaa",
        "0x5e",
        "https://x.example/aa",
    )


def test_receipts_that_were_left_out_are_not_none_at_all() -> None:
    left_out = payment_of(payment_message(a_payment()))
    none = payment_of(payment_message(a_payment(), receipts=PaymentReceipts()))
    assert (left_out.receipts, left_out.receipts_total) == ((), None)
    assert (none.receipts, none.receipts_total) == ((), 0)


def test_a_payments_refunds_arrive_with_the_payment() -> None:
    failed = a_refund(
        id=UUID(int=4),
        status=refund.RefundStatus.FAILED,
        external=True,
        idempotency_key="",
        provider_reference="re_4",
        failure=outcome.Failure(code="lost", message="The bank refused it."),
        complete_time=NOW,
    )
    first, second = payment_of(payment_message(a_payment(refunds=(a_refund(), failed)))).refunds
    assert (first.id, first.payment_id) == (UUID(int=3), UUID(int=7))
    assert (first.status, first.amount, first.crypto) == (RefundStatus.CREATING, TEN_USD, None)
    assert (first.reason, first.destination, first.idempotency_key) == (
        "damaged",
        "DE02",
        "refund-1",
    )
    assert (first.create_time, first.update_time, first.complete_time) == (NOW, NOW + HOUR, None)
    assert (first.external, first.failure, first.next_action) == (False, None, None)
    assert (second.external, second.complete_time) == (True, NOW)
    assert second.failure == Failure(code="lost", message="The bank refused it.")
    assert second.provider_reference == "re_4"


def test_a_refund_in_tokens_is_exact_and_says_what_to_send() -> None:
    show = next_action.Show(
        kind=next_action.ShowKind.BANK_TRANSFER,
        payload="BCD",
        fields=(next_action.ShowField(label="IBAN", value="DE02", copyable=True),),
        expire_time=NOW,
    )
    awaited = a_refund(
        amount=10_009_999, status=refund.RefundStatus.AWAITING_TRANSFER, next_action=show
    )
    found = refund_of(refund_message(a_payment(method="crypto", crypto=USDC), awaited))
    assert found.amount == TEN_USD
    assert found.crypto is not None
    assert (found.crypto.amount_base_units, found.crypto.token_address) == (10_009_999, TOKEN)
    assert found.next_action == Show(
        kind=ShowKind.BANK_TRANSFER,
        payload="BCD",
        fields=(ShowField(label="IBAN", value="DE02", copyable=True),),
        expire_time=NOW,
    )


def test_a_payments_disputes_and_attention_arrive_with_the_payment() -> None:
    resolved = attention.AttentionRecord(
        reason=attention.Attention.UNDERPAID,
        since=NOW,
        resolved_time=NOW + HOUR,
        resolved_by="operator:ada",
        note="the customer pays in cash",
    )
    lost = a_dispute(status=dispute.DisputeStatus.LOST, evidence_due_time=NOW)
    payment = payment_of(
        payment_message(a_payment(disputes=(lost,), attention_records=(resolved,)))
    )
    [found] = payment.disputes
    assert (found.id, found.status, found.amount) == ("dp_1", DisputeStatus.LOST, TEN_USD)
    assert (found.reason, found.open_time, found.close_time) == ("fraudulent", NOW, NOW + HOUR)
    assert found.evidence_due_time == NOW
    assert payment.attention == ()
    assert payment.attention_records == (
        AttentionRecord(
            reason="UNDERPAID",
            since=NOW,
            resolved_time=NOW + HOUR,
            resolved_by="operator:ada",
            note="the customer pays in cash",
        ),
    )


def an_event(payment: Payment, kind: str, **about: Any) -> payd_client.Event:
    body = event_body(
        payment,
        event_id=UUID(int=9),
        event_type=kind,
        previous_status=Status.COMPLETED,
        reason="",
        request_id="",
        **about,
    )
    return event_of(body, {}, delivery=1)


def test_an_event_names_the_refund_or_the_dispute_that_it_is_about() -> None:
    one, other = a_refund(), a_dispute()
    payment = a_payment(status=Status.COMPLETED, refunds=(one,), disputes=(other,))

    refunded = an_event(payment, "payment.refunded", refund=one)
    assert refunded.type is payd_client.EventType.REFUNDED
    assert (refunded.refund, refunded.dispute) == (refunded.payment.refunds[0], None)

    disputed = an_event(payment, "payment.disputed", dispute=other)
    assert (disputed.refund, disputed.dispute) == (None, disputed.payment.disputes[0])

    completed = an_event(payment, "payment.completed")
    assert (completed.refund, completed.dispute) == (None, None)


@pytest.mark.parametrize("amount", [None, TEN_USD])
def test_a_request_for_a_refund_arrives_as_it_was_made(amount: Money | None) -> None:
    wanted = RefundRequest(
        payment_id=UUID(int=7),
        idempotency_key="key-1",
        amount=amount,
        reason="damaged",
        destination="0x1",
    )
    taken = refund_requests.refund_request(refund_payment_message(wanted))
    assert (taken.payment_id, taken.idempotency_key) == (UUID(int=7), "key-1")
    assert (taken.reason, taken.destination) == ("damaged", "0x1")
    assert (taken.amount is None) == (amount is None)
    if taken.amount is not None:
        assert taken.amount.minor_units == 1000


def test_a_list_is_asked_for_as_it_was_wanted() -> None:
    message = list_refunds_message(UUID(int=7), [RefundStatus.PENDING], 20, "")
    taken = refund_requests.list_request(message)
    statuses = frozenset({refund.RefundStatus.PENDING})
    assert taken.filter == request.RefundFilter(payment_id=UUID(int=7), statuses=statuses)
    assert (taken.after, taken.size) == (None, 20)
    answer = pb.ListRefundsResponse(
        refunds=[refund_message(a_payment(), a_refund())], next_page_token="next"
    )
    page = refund_page_of(answer)
    assert ([one.id for one in page.refunds], page.next_page_token) == ([UUID(int=3)], "next")


def test_payd_and_the_client_name_the_same_statuses() -> None:
    assert {one.value for one in RefundStatus} == {one.value for one in refund.RefundStatus}
    assert {one.value for one in DisputeStatus} == {one.value for one in dispute.DisputeStatus}
    assert {one.value for one in ShowKind} == {one.value for one in next_action.ShowKind}
    for status in refund.RefundStatus:
        assert RefundStatus(status.value).is_open == status.is_open


@pytest.mark.parametrize(
    ("wrong", "value"),
    [("token_address", "0x12"), ("token_address", ""), ("decimals", 37), ("decimals", -1)],
)
def test_a_token_that_cannot_be_is_refused_in_payments_and_refunds(
    wrong: str, value: object
) -> None:
    token: dict[str, Any] = {"currency": "USDC", "token_address": TOKEN, "decimals": 6}
    sums = dict.fromkeys(("due_base_units", "received_base_units", "confirmed_base_units"), 1)
    token[wrong] = value
    with pytest.raises(ValueError, match=wrong):
        payd_client.RefundCrypto(amount_base_units=1, **token)
    with pytest.raises(ValueError, match=wrong):
        payd_client.CryptoFacts(**token | sums)
