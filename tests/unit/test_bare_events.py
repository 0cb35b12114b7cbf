"""An event's body without personal values: what goes, what stays, and what was bare already."""

import json
from uuid import UUID

import attrs
import pytest
from unit.domain.builders import a_payment, a_refund
from unit.domain.test_forget import PLANTED, a_personal_payment

from payd.adapters.personal import bare_body, bare_letter
from payd.codec.messages import event_body
from payd.domain.forget import forgotten
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundStatus


def body_of(payment: Payment) -> bytes:
    return event_body(
        payment,
        event_id=UUID(int=7),
        event_type="payment.refund_failed",
        previous_status=Status.COMPLETED,
        reason="no_account",
        request_id="req-1",
        refund=payment.refunds[0] if payment.refunds else None,
    )


def test_personal_values_go_and_the_rest_stays() -> None:
    payment = a_personal_payment()
    body = body_of(payment)
    assert PLANTED.encode() in body
    bare = bare_body(body)
    assert PLANTED.encode() not in bare
    assert bare == body_of(forgotten(payment))


def test_the_instructions_of_an_open_payment_and_refund_go() -> None:
    refund = attrs.evolve(
        a_refund(RefundStatus.AWAITING_TRANSFER), destination=PLANTED, reason=PLANTED
    )
    payment = attrs.evolve(
        a_personal_payment(), status=Status.PENDING, complete_time=None, refunds=(refund,)
    )
    event = json.loads(body_of(payment))
    assert event["next_action"]
    assert event["refund"]["next_action"]
    bare = bare_body(body_of(payment))
    assert b"next_action" not in bare
    assert PLANTED.encode() not in bare


def test_a_bare_body_stays_the_same_bytes() -> None:
    body = body_of(forgotten(a_payment(Status.COMPLETED)))
    assert bare_body(body) == body
    bare = bare_body(body_of(a_personal_payment()))
    assert bare_body(bare) == bare


def test_the_senders_of_receipts_go() -> None:
    body = json.dumps({"receipts": [{"id": "r", "sender": PLANTED, "transaction": "0xt"}]}).encode()
    assert json.loads(bare_body(body)) == {
        "receipts": [{"id": "r", "sender": "", "transaction": "0xt"}]
    }


def test_of_a_letter_that_is_an_event_the_personal_values_go() -> None:
    body = body_of(a_personal_payment())
    assert bare_letter(body) == bare_body(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"planted",
        b'["planted"]',
        b'{"refund": "planted"}',
        b'{"refunds": 7, "note": "planted"}',
        b'{"failure": null, "note": "planted"}',
        b"[" * 100_000,
    ],
)
def test_of_a_letter_that_is_no_event_nothing_stays(body: bytes) -> None:
    assert bare_letter(body) == b"{}"
