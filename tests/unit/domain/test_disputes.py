"""Disputes: the end wins over the opening, in every order, and each is published once."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import attrs
import pytest
from unit.domain.builders import DUE, NOW, a_dispute, a_payment, after, at

from payd.domain.attention import Attention, AttentionRecord
from payd.domain.decide import EventType, decide
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.disputes import is_disputed
from payd.domain.payment import Payment, Status
from payd.domain.refunds import left

PAID = a_payment(Status.COMPLETED)
INQUIRY = a_dispute(DisputeStatus.INQUIRY, minutes=1)
OPENED = a_dispute(DisputeStatus.NEEDS_RESPONSE, minutes=2)
REVIEWED = a_dispute(DisputeStatus.UNDER_REVIEW, minutes=3)
LOST = a_dispute(DisputeStatus.LOST, minutes=4)


def published(payment: Payment, *reports: Dispute) -> list[EventType]:
    kinds = []
    for report in reports:
        decision = decide(payment, report, at(9))
        if decision is not None:
            payment = decision.payment
            kinds += [event.type for event in decision.events if event.dispute_id == "dp_1"]
    return kinds


@pytest.mark.parametrize("reports", [*permutations([INQUIRY, OPENED, REVIEWED, LOST])])
def test_every_order_of_the_reports_ends_alike(reports: tuple[Dispute, ...]) -> None:
    payment = after(PAID, *reports, *reports)
    [dispute] = payment.disputes
    assert dispute.status is DisputeStatus.LOST
    assert payment.attention == {Attention.LOST_DISPUTE}
    assert published(PAID, *reports, *reports) == [EventType.DISPUTED, EventType.DISPUTE_CLOSED]


@pytest.mark.parametrize("status", [DisputeStatus.WON, DisputeStatus.WITHDRAWN])
def test_a_dispute_that_ends_well_takes_its_reason_away(status: DisputeStatus) -> None:
    open_ = after(PAID, OPENED)
    assert open_.attention == {Attention.DISPUTED}
    decision = decide(open_, a_dispute(status, minutes=4), at(5))
    assert decision is not None
    assert decision.payment.attention == frozenset()
    assert [(event.type, event.reason) for event in decision.events] == [
        (EventType.DISPUTE_CLOSED, status.value)
    ]
    assert decision.audit_event == "dispute_changed"


def test_the_end_of_a_dispute_is_published_once_whatever_it_becomes() -> None:
    won = a_dispute(DisputeStatus.WON, minutes=3)
    assert published(PAID, OPENED, won, LOST) == [EventType.DISPUTED, EventType.DISPUTE_CLOSED]
    assert after(PAID, OPENED, won, LOST).attention == {Attention.LOST_DISPUTE}


def test_an_inquiry_is_published_only_when_it_becomes_a_dispute() -> None:
    closed = a_dispute(DisputeStatus.INQUIRY_CLOSED, minutes=2)
    assert published(PAID, INQUIRY, closed) == []
    assert after(PAID, closed, INQUIRY).disputes[0].status is DisputeStatus.INQUIRY_CLOSED
    assert published(PAID, INQUIRY, closed, REVIEWED) == [EventType.DISPUTED]


def test_of_two_open_statuses_the_newer_one_wins() -> None:
    for order in ((OPENED, REVIEWED), (REVIEWED, OPENED)):
        assert after(PAID, *order).disputes[0].status is DisputeStatus.UNDER_REVIEW


def test_a_lost_dispute_takes_its_amount_and_one_in_another_currency_does_not() -> None:
    assert left(after(PAID, a_dispute(DisputeStatus.LOST, amount=100))) == DUE - 100
    foreign = a_dispute(DisputeStatus.LOST, amount=100, asset="EUR")
    assert left(after(PAID, foreign)) == DUE


def test_a_dispute_names_the_payment_and_is_kept_without_the_names() -> None:
    payment = after(PAID, a_dispute(aliases=("ch_1",)), a_dispute(id="dp_0"))
    assert payment.aliases == ("ch_1",)
    assert [dispute.id for dispute in payment.disputes] == ["dp_0", "dp_1"]
    assert all(not dispute.aliases for dispute in payment.disputes)


@pytest.mark.parametrize(
    "change",
    [
        {"status": DisputeStatus.UNDER_REVIEW},
        {"amount": DUE + 1},
        {"asset": "USE"},
        {"reason": "fraudulent"},
        {"open_time": at(0.5)},
        {"evidence_due_time": at(9)},
        {"evidence_due_time": OPENED.open_time},
    ],
    ids=lambda change: next(iter(change)),
)
def test_of_two_reports_of_one_moment_the_same_one_is_kept_in_every_order(
    change: dict[str, Any],
) -> None:
    heavier = attrs.evolve(OPENED, **change)
    for order in permutations([OPENED, heavier]):
        assert after(PAID, *order).disputes == (heavier,)


def test_of_two_times_until_which_the_bank_takes_an_answer_the_later_one_is_kept() -> None:
    sooner, later = (attrs.evolve(OPENED, evidence_due_time=at(minutes)) for minutes in (8, 9))
    for order in permutations([sooner, later]):
        assert after(PAID, *order).disputes == (later,)


def test_the_dispute_that_was_opened_first_comes_first() -> None:
    later = a_dispute(id="dp_0", open_time=NOW + timedelta(minutes=1))
    for order in permutations([later, OPENED]):
        assert [dispute.id for dispute in after(PAID, *order).disputes] == ["dp_1", "dp_0"]


@pytest.mark.parametrize("status", DisputeStatus)
def test_a_payment_is_disputed_while_a_dispute_is_open_or_when_it_is_lost(
    status: DisputeStatus,
) -> None:
    stops = status in (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW, DisputeStatus.LOST)
    assert is_disputed(after(PAID, a_dispute(status))) is stops
    won = a_dispute(DisputeStatus.WON, id="dp_0")
    assert is_disputed(after(PAID, won, a_dispute(status))) is stops


def test_the_reason_of_an_old_dispute_counts_only_where_no_dispute_is_known() -> None:
    disputed = AttentionRecord(reason=Attention.DISPUTED, since=NOW, published=True)
    won = a_dispute(DisputeStatus.WON)
    assert not is_disputed(PAID)
    assert is_disputed(attrs.evolve(PAID, attention_records=(disputed,)))
    assert not is_disputed(attrs.evolve(PAID, attention_records=(disputed,), disputes=(won,)))
    resolved = attrs.evolve(disputed, resolved_time=NOW)
    assert not is_disputed(attrs.evolve(PAID, attention_records=(resolved,)))
