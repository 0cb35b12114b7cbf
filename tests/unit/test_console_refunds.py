"""A refund of all that is left of tokens sends what the second look showed, to the base unit."""

from typing import Any

import payd_client
from payd_client.messages import payment_of
from unit.test_codec import USDC, a_payment
from unit.test_refund_messages import a_dispute, a_refund

from payd.codec.messages import payment_message
from payd.domain.dispute import DisputeStatus
from payd.domain.refund import RefundStatus
from payd.transport.console.refunding import _fixed, _is_as_reviewed, _left

FORM = {"amount": "", "destination": "", "reason": "", "key": "console-1", "left": ""}
PAID = 149_009_999


def paid(*, confirmed: int = PAID, **overrides: Any) -> payd_client.Payment:
    token = {"method": "crypto", "crypto": USDC, "snapshot_received": PAID}
    return payment_of(
        payment_message(a_payment(**token, snapshot_confirmed=confirmed, **overrides))
    )


def test_all_that_is_left_of_tokens_is_kept_to_the_base_unit() -> None:
    reviewed = _fixed(paid(), FORM)
    assert reviewed == {**FORM, "left": str(PAID)}
    assert _is_as_reviewed(paid(), reviewed)
    assert not _is_as_reviewed(paid(), FORM)


def test_tokens_that_became_more_or_less_need_another_look() -> None:
    reviewed = _fixed(paid(confirmed=100_000_000), FORM)
    assert not _is_as_reviewed(paid(), reviewed)
    other = a_refund(amount=1, idempotency_key="other")
    assert not _is_as_reviewed(paid(confirmed=100_000_000, refunds=(other,)), reviewed)
    failed = a_refund(amount=1, idempotency_key="other", status=RefundStatus.CANCELED)
    assert _is_as_reviewed(paid(confirmed=100_000_000, refunds=(failed,)), reviewed)


def test_the_same_form_sent_again_is_the_same_refund() -> None:
    reviewed = _fixed(paid(), FORM)
    made = a_refund(amount=PAID, idempotency_key="console-1")
    assert _is_as_reviewed(paid(refunds=(made,)), reviewed)


def test_a_lost_dispute_leaves_less() -> None:
    for status, left in ((DisputeStatus.LOST, 13_900), (DisputeStatus.WON, 14_900)):
        payment = a_payment(
            snapshot_received=14_900, disputes=(a_dispute(amount=1_000, status=status),)
        )
        assert _left(payment_of(payment_message(payment))).minor_units == left
