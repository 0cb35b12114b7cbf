"""Lists of operators: filters that nothing can match are refused; results have one order."""

from datetime import timedelta
from uuid import UUID

import pytest
from unit.service.fakes import NOON

from payd.domain.errors import InvalidFilter
from payd.domain.ledger import ReceiptFilter, Reconciliation
from payd.domain.published import DeadLetter


def test_a_filter_that_a_receipt_can_match_is_accepted() -> None:
    ReceiptFilter().check()
    ReceiptFilter(unmatched=True, provider="tempo", time_from=NOON).check()
    ReceiptFilter(payment_id=UUID(int=7), time_before=NOON).check()
    ReceiptFilter(time_from=NOON, time_before=NOON + timedelta(seconds=1)).check()


@pytest.mark.parametrize(
    ("wanted", "field", "said"),
    [
        (ReceiptFilter(unmatched=True, payment_id=UUID(int=7)), "payment_id",
         "an unmatched receipt is of no payment: leave out payment_id or unmatched"),
        (ReceiptFilter(time_from=NOON, time_before=NOON), "time_from",
         "time_from must be before time_before"),
    ],
)  # fmt: skip
def test_a_filter_that_contradicts_itself_is_refused(
    wanted: ReceiptFilter, field: str, said: str
) -> None:
    with pytest.raises(InvalidFilter) as refused:
        wanted.check()
    assert (str(refused.value), refused.value.metadata) == (said, {"filter": field})


def test_a_dead_letter_of_another_sender_has_no_event_id() -> None:
    letter = DeadLetter(
        sequence=1, subject="s", reason="r", time=NOON, deliveries=1, headers={}, data=b""
    )
    assert letter.event_id == ""


def test_of_two_results_that_ended_together_the_later_one_comes_first() -> None:
    first, second = (
        Reconciliation(
            id=number,
            provider="stripe",
            since=NOON,
            until=NOON,
            start_time=NOON,
            end_time=NOON,
            objects=0,
            payments=0,
            findings=(),
        )
        for number in (1, 2)
    )
    assert first == second
    assert first.position < second.position
