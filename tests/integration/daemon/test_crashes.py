"""Killed at a named point and started again: nothing is lost, nothing is made twice (I10)."""

import os
import random
import uuid

import grpc
import pytest
from payd_client.proto import payment_pb2 as pb
from support.daemon import (
    Client,
    Daemon,
    Place,
    a_request,
    rows,
    running_daemon,
    wait_until_published,
)
from support.waiting import wait_until

from payd.adapters.system import CRASH_POINTS

#: A payment that is only paid or canceled comes by these.
PAYMENT_POINTS = sorted(point for point in CRASH_POINTS if not point.startswith("refund."))
REFUND_POINTS = sorted(point for point in CRASH_POINTS if point.startswith("refund."))
CAMPAIGN_KILLS = int(os.environ.get("PAYD_CAMPAIGN_KILLS", "50"))
#: Reports of many payments are stored in one go, so that this is reached less often than others.
REACHED_ONCE = ("intake.before_inbox", "intake.after_inbox")
CANCEL_POINTS = {"cancel.after_wish", "cancel.after_provider"}


@pytest.mark.parametrize("point", PAYMENT_POINTS)
def test_a_crash_changes_nothing_but_the_time(place: Place, point: str) -> None:
    crash_and_recover(place, point, nth=1)


@pytest.mark.parametrize("point", REFUND_POINTS)
def test_a_crash_while_refunding_refunds_once(place: Place, point: str) -> None:
    request = pb.RefundPaymentRequest(
        idempotency_key=str(uuid.uuid4()), amount=pb.Money(currency_code="USD", minor_units=100)
    )
    daemon = Daemon(place, PAYD_CRASH_AT=point).wait_started()
    with daemon.client() as client:
        payment = client.wait_for(client.initiate().id, "COMPLETED")
        request.payment_id = payment.id
        with pytest.raises(grpc.RpcError) as error:
            client.call("RefundPayment", request)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert daemon.wait_ended() == -9, "the crash point was not reached"
    with running_daemon(place) as daemon, daemon.client() as client:
        # What only time would bring: the end of claims and leases.
        rows(place, "UPDATE refunds SET ask_deadline = now() WHERE ask_deadline IS NOT NULL")
        rows(place, "UPDATE refunds SET next_look_time = now() WHERE next_look_time IS NOT NULL")
        rows(place, "UPDATE inbox SET locked_until = now()")
        rows(place, "UPDATE outbox SET locked_until = now()")

        def is_refunded() -> bool:
            client.call("RefundPayment", request)
            return bool(client.get(payment.id).refunded.minor_units == 100)

        wait_until(is_refunded, "refunded")
        assert len(client.get(payment.id).refunds) == 1
        published = wait_until_published(place)
    mine = [event.subject for event in published if event.body["id"] == payment.id]
    assert sorted(mine) == ["payment.completed", "payment.refunded"]
    assert_explained(place)


@pytest.mark.campaign
@pytest.mark.parametrize("point", PAYMENT_POINTS)
def test_a_crash_at_any_time_under_load_changes_nothing(place: Place, point: str) -> None:
    seeded = random.Random(point)
    for _ in range(CAMPAIGN_KILLS):
        nth = 1 if point in REACHED_ONCE else seeded.randint(1, 12)
        crash_and_recover(place, point, nth=nth, payments=12)


def crash_and_recover(place: Place, point: str, nth: int, payments: int = 1) -> None:
    """Every payment that a caller asked for, and asks for again, completes or is canceled once."""
    wants_cancel = point in CANCEL_POINTS
    scenario = "pending" if wants_cancel else "complete"
    requests = [a_request(key=str(uuid.uuid4()), scenario=scenario) for _ in range(payments)]
    daemon = Daemon(place, PAYD_CRASH_AT=f"{point}:{nth}").wait_started()
    with daemon.client() as client:
        assert drive(client, requests, wants_cancel) <= {grpc.StatusCode.UNAVAILABLE}
        assert daemon.wait_ended() == -9, "the crash point was not reached"
    with running_daemon(place) as daemon, daemon.client() as client:
        # What only time would bring: the end of claims and leases.
        rows(place, "UPDATE payments SET ask_deadline = now() WHERE ask_deadline IS NOT NULL")
        rows(place, "UPDATE payments SET next_look_time = now() WHERE next_look_time IS NOT NULL")
        rows(place, "UPDATE inbox SET locked_until = now()")
        rows(place, "UPDATE outbox SET locked_until = now()")
        started = [client.call("InitiatePayment", request).payment for request in requests]
        for payment in started:
            if wants_cancel:
                client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=payment.id))
            client.wait_for(payment.id, "CANCELED" if wants_cancel else "COMPLETED")
        published = wait_until_published(place)
    ids = [payment.id for payment in started]
    subject = "payment.canceled" if wants_cancel else "payment.completed"
    mine = [event for event in published if event.body["id"] in ids]
    assert sorted(event.body["id"] for event in mine) == sorted(ids)
    assert {event.subject for event in mine} == {subject}
    assert_explained(place)


def drive(
    client: Client, requests: list[pb.InitiatePaymentRequest], wants_cancel: bool
) -> set[grpc.StatusCode]:
    """Make calls until the daemon dies; return the errors that the caller sees."""
    errors = set()
    for call in [client.future("InitiatePayment", request) for request in requests]:
        try:
            payment = call.result().payment
            if wants_cancel:
                client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=payment.id))
        except grpc.RpcError as error:
            errors.add(error.code())
    return errors


def assert_explained(place: Place) -> None:
    """I2, I3 and I8, asked of the database."""
    twice = """
        SELECT payment_id FROM outbox WHERE subject = 'payment.completed'
        GROUP BY payment_id HAVING count(*) > 1
    """
    assert not rows(place, twice)
    unexplained = """
        SELECT p.id FROM payments AS p
        WHERE p.version <> (SELECT count(*) FROM payment_events AS e WHERE e.payment_id = p.id)
    """
    assert not rows(place, unexplained)
