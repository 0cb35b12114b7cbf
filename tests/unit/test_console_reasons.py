"""An operator reads what a reason means, what to do, and how much is missing or too much."""

from datetime import UTC, datetime
from typing import Any

import pytest
from payd_client.messages import payment_of
from unit.test_codec import USDC, a_payment

from payd.codec.messages import payment_message
from payd.domain.attention import Attention, AttentionRecord
from payd.transport.console.reason_lines import ReasonLine, reason_lines, reason_means

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def lines_of(*reasons: Attention, **overrides: Any) -> tuple[ReasonLine, ...]:
    records = tuple(AttentionRecord(reason=one, since=NOW) for one in reasons)
    payment = a_payment(attention_records=records, **overrides)
    return reason_lines(payment_of(payment_message(payment)))


@pytest.mark.parametrize("reason", Attention)
def test_each_reason_says_what_it_means_and_what_to_do(reason: Attention) -> None:
    means = reason_means(reason.value)
    assert means.endswith(".")
    assert means.count(". ") + means.count("; ") + means.count(", ") >= 1


def test_a_reason_of_a_newer_version_stands_without_a_sentence() -> None:
    assert reason_means("NEW_ONE") == ""


@pytest.mark.parametrize(
    ("reason", "received", "said"),
    [
        (Attention.UNDERPAID, 14_000, "9.00 USD too little"),
        (Attention.OVERPAID, 15_000, "1.00 USD too much"),
        (Attention.AMOUNT_MISMATCH, 100, "148.00 USD too little"),
        (Attention.AMOUNT_MISMATCH, 14_900, ""),
        (Attention.DISPUTED, 14_000, ""),
    ],
)
def test_a_reason_about_an_amount_says_the_difference(
    reason: Attention, received: int, said: str
) -> None:
    [line] = lines_of(reason, snapshot_received=received)
    assert (line.difference, line.since) == (said, NOW)


def test_the_difference_of_tokens_is_exact() -> None:
    token: dict[str, Any] = {"method": "crypto", "crypto": USDC}
    due = USDC.due_base_units
    for received, said in (
        (due - 1, "0.000001 USDC too little"),
        (due + 1, "0.000001 USDC too much"),
    ):
        [line] = lines_of(Attention.UNDERPAID, snapshot_received=received, **token)
        assert line.difference == said
