"""A refund of all that is left of tokens sends what the second look showed, to the base unit."""

from typing import Any

import attrs
import payd_client
import pytest
from payd_client.messages import payment_of
from unit.test_codec import TOKEN, USDC, a_payment
from unit.test_refund_messages import a_dispute, a_refund

from payd.codec.messages import payment_message
from payd.domain.dispute import DisputeStatus
from payd.domain.next_action import CryptoTransfer, Redirect, Show, ShowField, ShowKind
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundStatus
from payd.transport.console.actions import offered
from payd.transport.console.refund_lines import approval, left, returned, to_send
from payd.transport.console.refunding import _fixed, _is_as_reviewed
from payd.transport.grpc.settled import add_settled

FORM = {"amount": "", "destination": "", "reason": "", "key": "console-1", "left": ""}
PAID = 149_009_999


def paid(*, confirmed: int = PAID, **overrides: Any) -> payd_client.Payment:
    token = {
        "method": "crypto",
        "status": Status.COMPLETED,
        "crypto": USDC,
        "snapshot_received": PAID,
    }
    return shown(a_payment(**token, snapshot_confirmed=confirmed, **overrides))


def shown(payment: Payment) -> payd_client.Payment:
    """The payment as the console gets it."""
    return payment_of(add_settled(payment_message(payment), payment))


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


def test_a_dispute_that_is_open_or_lost_leaves_nothing() -> None:
    for status, rest in (
        (DisputeStatus.INQUIRY, 14_900),
        (DisputeStatus.NEEDS_RESPONSE, 0),
        (DisputeStatus.LOST, 0),
        (DisputeStatus.WON, 14_900),
    ):
        dispute = a_dispute(amount=1_000, status=status)
        payment = shown(
            a_payment(status=Status.COMPLETED, snapshot_confirmed=14_900, disputes=(dispute,))
        )
        assert left(payment).minor_units == rest
        assert ("refund" in offered(payment)) == (rest > 0)


@pytest.mark.parametrize("status", Status)
def test_a_refund_is_offered_once_the_payment_has_ended_with_money(status: Status) -> None:
    for confirmed in (0, 5_000):
        payment = shown(a_payment(status=status, snapshot_confirmed=confirmed))
        assert ("refund" in offered(payment)) == (confirmed > 0 and not status.is_open)


def test_money_that_went_back_without_a_listed_refund_is_not_left() -> None:
    payment = a_payment(
        status=Status.COMPLETED, snapshot_confirmed=14_900, snapshot_refunded=14_900
    )
    assert left(shown(payment)).minor_units == 0
    assert "refund" not in offered(shown(payment))
    some = shown(attrs.evolve(payment, snapshot_refunded=14_000))
    assert left(some).minor_units == 900
    assert "refund" in offered(some)


def test_money_that_is_not_final_cannot_be_refunded_yet() -> None:
    payment = shown(
        a_payment(status=Status.EXPIRED, snapshot_received=14_900, snapshot_confirmed=5_000)
    )
    assert returned(payment)[-1] == ("Left to refund", "50.00 USD")


def test_the_sums_of_tokens_are_exact_and_by_status() -> None:
    refunds = (
        a_refund(amount=1, idempotency_key="a", status=RefundStatus.AWAITING_TRANSFER),
        a_refund(amount=2, idempotency_key="b", status=RefundStatus.PENDING),
        a_refund(amount=3, idempotency_key="c", status=RefundStatus.PENDING),
        a_refund(amount=4, idempotency_key="d", status=RefundStatus.CANCELED),
    )
    assert returned(paid(refunds=refunds)) == [
        ("Received", "149.009999 USDC"),
        ("Refunded", "0.00 USD"),
        ("On its way back", "0.000005 USDC"),
        ("Waits for your transfer", "0.000001 USDC"),
        ("Left to refund", "149.009993 USDC"),
    ]


def test_a_lost_dispute_stands_among_the_sums() -> None:
    dispute = a_dispute(amount=1_000, status=DisputeStatus.LOST)
    payment = shown(a_payment(snapshot_confirmed=14_900, disputes=(dispute,)))
    assert returned(payment)[-2:] == [
        ("Lost in disputes", "10.00 USD"),
        ("Left to refund", "0.00 USD"),
    ]


def test_a_refund_that_waits_for_a_transfer_says_what_to_send() -> None:
    receiver, memo = f"0x{'ab' * 20}", f"0x{'41' * 32}"
    transfer = CryptoTransfer(
        currency="USDC",
        chain_id=42431,
        token_address=TOKEN,
        receiver_address=receiver,
        amount_base_units=1_500_000,
        decimals=6,
        memo=memo,
        calldata="0x",
        payment_uri="ethereum:x",
    )
    bank = Show(
        kind=ShowKind.BANK_TRANSFER,
        payload="Pay.",
        fields=(ShowField(label="IBAN", value="DE02 1203", copyable=True),),
    )
    page = Redirect(url="https://bank.example/1")
    said = []
    for action in (transfer, bank, page, None):
        stored = a_refund(status=RefundStatus.AWAITING_TRANSFER, next_action=action)
        [refund] = paid(refunds=(stored,)).refunds
        said.append([row for row in to_send(refund) if row[1]])
    assert said == [
        [
            ("Amount", "1.500000 USDC"),
            *(
                ("To", receiver),
                ("Memo", memo),
                ("Memo as text", "A" * 32),
                ("Token", TOKEN),
                ("Chain", "42431"),
            ),
        ],
        [("IBAN", "DE02 1203"), ("Text", "Pay.")],
        [("Page", "https://bank.example/1")],
        [],
    ]


def test_the_requester_sees_which_other_operators_may_approve() -> None:
    stored = a_refund(status=RefundStatus.AWAITING_APPROVAL, requester="console/alice")
    [refund] = paid(refunds=(stored,)).refunds
    assert "In the console: bob, carol. On" in approval(refund, "alice", ("carol", "alice", "bob"))
    alone = approval(refund, "alice", ("alice",))
    assert alone.endswith(
        f"payd refunds approve {refund.id}, with a certificate of another operator."
    )
    assert approval(refund, "bob", ("alice", "bob")).startswith("Requested by console/alice.")
    [sent] = paid(refunds=(a_refund(status=RefundStatus.PENDING),)).refunds
    assert approval(sent, "bob", ()) == ""
