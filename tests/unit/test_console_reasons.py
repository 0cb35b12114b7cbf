"""An operator reads what a reason means, what to do, and how much is missing or too much."""

from datetime import UTC, datetime
from typing import Any

import pytest
from payd_client.messages import payment_of
from unit.test_codec import USDC, a_payment
from unit.test_refund_messages import a_refund

from payd.codec.messages import payment_message
from payd.domain.attention import Attention, AttentionRecord
from payd.domain.payment import Status
from payd.domain.refund import RefundStatus
from payd.transport.console.actions import offered
from payd.transport.console.reason_lines import ReasonLine, reason_lines, reason_means
from payd.transport.grpc.settled import add_settled

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def lines_of(*reasons: Attention, **overrides: Any) -> tuple[ReasonLine, ...]:
    records = tuple(AttentionRecord(reason=one, since=NOW) for one in reasons)
    payment = a_payment(**{"status": Status.COMPLETED} | overrides, attention_records=records)
    return reason_lines(payment_of(add_settled(payment_message(payment), payment)))


@pytest.mark.parametrize("reason", Attention)
def test_each_reason_says_what_it_means_and_what_to_do(reason: Attention) -> None:
    means = reason_means(reason.value)
    assert means.endswith(".")
    assert means.count(". ") + means.count("; ") + means.count(", ") >= 1


@pytest.mark.parametrize(
    ("status", "is_offered"),
    [(Status.CREATING, True), (Status.PENDING, True), (Status.PROCESSING, False)],
)
def test_canceling_is_offered_only_while_payd_would_do_it(status: Status, is_offered: bool) -> None:
    payment = a_payment(status=status)
    answer = payment_of(add_settled(payment_message(payment), payment))
    assert ("cancel" in offered(answer)) is is_offered


def test_a_reason_of_a_newer_version_stands_without_a_sentence() -> None:
    assert reason_means("NEW_ONE") == ""


@pytest.mark.parametrize(
    ("reason", "confirmed", "said"),
    [
        (Attention.UNDERPAID, 14_000, "9.00 USD too little"),
        (Attention.OVERPAID, 15_000, "1.00 USD too much"),
        (Attention.DUPLICATE_PAYMENT, 29_800, "149.00 USD too much"),
        (Attention.AMOUNT_MISMATCH, 0, ""),
        (Attention.DISPUTED, 14_000, ""),
    ],
)
def test_a_reason_about_an_amount_says_the_difference(
    reason: Attention, confirmed: int, said: str
) -> None:
    # Money that is not final may still vanish: it neither fills a gap nor is too much.
    [line] = lines_of(reason, snapshot_received=confirmed + 5_000, snapshot_confirmed=confirmed)
    assert (line.difference, line.since) == (said, NOW)


def test_the_difference_of_tokens_is_exact() -> None:
    token: dict[str, Any] = {"method": "crypto", "crypto": USDC}
    due = USDC.due_base_units
    for reason, confirmed, said in (
        (Attention.UNDERPAID, due - 1, "0.000001 USDC too little"),
        (Attention.OVERPAID, due + 1, "0.000001 USDC too much"),
    ):
        [line] = lines_of(reason, snapshot_confirmed=confirmed, **token)
        assert line.difference == said


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (RefundStatus.SUCCEEDED, "the surplus was sent back, or a dispute holds it"),
        (RefundStatus.PENDING, "the surplus was sent back, or a dispute holds it"),
        (RefundStatus.FAILED, "10.00 USD too much"),
        (RefundStatus.CANCELED, "10.00 USD too much"),
    ],
)
def test_a_surplus_that_went_back_is_not_sent_back_again(status: RefundStatus, said: str) -> None:
    [line] = lines_of(
        Attention.OVERPAID, snapshot_confirmed=15_900, refunds=(a_refund(status=status),)
    )
    assert line.difference == said


def test_a_surplus_that_went_back_before_refunds_were_kept_is_not_sent_back_again() -> None:
    [line] = lines_of(Attention.OVERPAID, snapshot_confirmed=15_900, snapshot_refunded=900)
    assert line.difference == "1.00 USD too much"
