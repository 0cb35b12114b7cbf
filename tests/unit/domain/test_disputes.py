"""Disputes: the end wins over the opening, in every order, and each is published once."""

from itertools import permutations

import pytest
from unit.domain.builders import DUE, a_dispute, a_payment, after, at

from payd.domain.attention import Attention
from payd.domain.decide import EventType, decide
from payd.domain.dispute import Dispute, DisputeStatus
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
