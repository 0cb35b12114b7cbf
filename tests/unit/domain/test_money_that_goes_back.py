"""Refunds and disputes as values: which statuses still hold money, and which are only questions."""

from datetime import datetime
from typing import Any

import pytest
from unit.domain.builders import NOW

from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.refund import RefundSnapshot, RefundState, RefundStatus


def test_a_refund_holds_its_amount_until_it_failed_or_was_canceled() -> None:
    assert {status for status in RefundStatus if not status.is_live} == {
        RefundStatus.FAILED,
        RefundStatus.CANCELED,
    }


def test_a_refund_is_open_until_its_outcome_is_known() -> None:
    assert {status for status in RefundStatus if not status.is_open} == {
        RefundStatus.SUCCEEDED,
        RefundStatus.FAILED,
        RefundStatus.CANCELED,
    }


def test_an_inquiry_is_no_open_dispute() -> None:
    for status in DisputeStatus:
        assert not (status.is_inquiry and status.is_open)
    assert DisputeStatus.INQUIRY.is_inquiry
    assert DisputeStatus.NEEDS_RESPONSE.is_open
    assert not DisputeStatus.LOST.is_open


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("reference", ""),
        ("amount", -1),
        ("time", datetime(2026, 1, 1)),  # noqa: DTZ001 - that is the point
        ("refund_id", "no uuid"),
        ("failure_message", "NUL \0"),
    ],
)
def test_a_report_of_a_refund_is_checked(field: str, wrong: Any) -> None:
    good: dict[str, Any] = {
        "reference": "re_1",
        "state": RefundState.SUCCEEDED,
        "asset": "USD",
        "amount": 500,
        "time": NOW,
    }
    RefundSnapshot(**good)
    with pytest.raises((ValueError, TypeError), match=field):
        RefundSnapshot(**good | {field: wrong})


@pytest.mark.parametrize(("field", "wrong"), [("id", ""), ("status", "LOST"), ("amount", 0.5)])
def test_a_report_of_a_dispute_is_checked(field: str, wrong: Any) -> None:
    good: dict[str, Any] = {
        "id": "dp_1",
        "status": DisputeStatus.LOST,
        "asset": "USD",
        "amount": 500,
        "open_time": NOW,
        "as_of": NOW,
    }
    Dispute(**good)
    with pytest.raises((ValueError, TypeError), match=field):
        Dispute(**good | {field: wrong})
