"""Killed while cards are paid, and started again: one session, one end, one event (I2, I10)."""

import os
import random
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import grpc
import pytest
from payd_client.proto import payment_pb2 as pb
from support.cards import RETURN_URL, StandIn, a_card_request, running_with_cards
from support.daemon import Client, Place, rows, wait_until_published

from payd.adapters.system import CRASH_POINTS

#: A payment that is only paid or canceled comes by these.
PAYMENT_POINTS = sorted(point for point in CRASH_POINTS if not point.startswith("refund."))
CAMPAIGN_KILLS = int(os.environ.get("PAYD_CAMPAIGN_KILLS", "50"))
CAMPAIGN_PAYMENTS = 10
#: So many of them may meet a fault, and then need more than the first daemon to come to an end.
FAULTS_MAX = 3
CANCEL_POINTS = {"cancel.after_wish", "cancel.after_provider"}
#: A payment by card is settled twice: by the answer to its creation, then by the webhook.
SETTLE_POINTS = {"settle.before_commit", "settle.after_commit"}
#: Two webhooks tell that it is paid.
PASSED_TWICE = {*SETTLE_POINTS, "intake.before_inbox", "intake.after_inbox"}
#: Creating a session, and closing it.
WRITES = r"/v1/checkout/sessions(/\w+/expire)?"
FAULTS = ("500_after", "timeout_after", "reset")


@attrs.frozen(kw_only=True)
class Kill:
    """Where the daemon dies, and what else goes wrong."""

    point: str
    nth: int = 1
    payments: int = 1
    #: Of the stand-in, and how often.
    fault: str | None = None
    faults: int = 0
    #: Of each webhook.
    duplicates: int = 0
    #: Whether payd also polls open payments, or learns of them by webhooks only.
    checks: bool = False

    @property
    def wants_cancel(self) -> bool:
        """Whether the payments are canceled, not paid."""
        return self.point in CANCEL_POINTS


@pytest.mark.parametrize("point", PAYMENT_POINTS)
def test_a_crash_changes_nothing_but_the_time(place: Place, stripe: StandIn, point: str) -> None:
    crash_and_recover(place, stripe, Kill(point=point, nth=2 if point in SETTLE_POINTS else 1))


@pytest.mark.campaign
@pytest.mark.parametrize("point", PAYMENT_POINTS)
def test_a_crash_at_any_time_under_load_and_faults_changes_nothing(
    place: Place, stripe: StandIn, point: str
) -> None:
    for kill in kills(point):
        try:
            crash_and_recover(place, stripe, kill)
        except AssertionError as error:
            error.add_note(f"after {kill}")
            raise


def kills(point: str) -> Iterator[Kill]:
    """The same ones in every run."""
    seeded = random.Random(point)
    nth_max = (CAMPAIGN_PAYMENTS - FAULTS_MAX) * (2 if point in PASSED_TWICE else 1)
    for _ in range(CAMPAIGN_KILLS):
        fault = seeded.choice((None, *FAULTS))
        yield Kill(
            point=point,
            nth=seeded.randint(1, nth_max),
            payments=CAMPAIGN_PAYMENTS,
            fault=fault,
            faults=seeded.randint(1, FAULTS_MAX) if fault else 0,
            duplicates=seeded.randint(0, 1),
            checks=seeded.random() < 0.5,
        )


def crash_and_recover(place: Place, stripe: StandIn, kill: Kill) -> None:
    """Every payment that a caller asked for, and asks for again, is paid or canceled once."""
    requests = [a_card_request(key=str(uuid.uuid4())) for _ in range(kill.payments)]
    crash_at = f"{kill.point}:{kill.nth}"
    stripe.webhooks(duplicates=kill.duplicates)
    with running_with_cards(
        place, stripe, PAYD_CRASH_AT=crash_at, STRIPE_REQUEST_TIMEOUT_S="1"
    ) as (daemon, client):
        if kill.fault:
            stripe.fault(kill.fault, WRITES, times=kill.faults, hold_s=2)
        assert drive(client, stripe, requests, kill) <= {grpc.StatusCode.UNAVAILABLE}
        assert daemon.wait_ended() == -9, "the crash point was not reached"
    stripe.http.delete("/_control/faults")
    with running_with_cards(place, stripe) as (_, client):
        let_time_pass(place, checks=kill.checks)
        started = [client.call("InitiatePayment", request).payment for request in requests]
        for payment in started:
            bring_to_its_end(client, stripe, payment.id, kill)
        published = wait_until_published(place)
    ids = [payment.id for payment in started]
    subject = "payment.canceled" if kill.wants_cancel else "payment.completed"
    mine = [(event.body["id"], event.subject) for event in published if event.body["id"] in ids]
    assert sorted(mine) == sorted((payment_id, subject) for payment_id in ids)
    assert_one_session_each(stripe, ids, kill)
    assert_explained(place)


def drive(
    client: Client, stripe: StandIn, requests: Sequence[pb.InitiatePaymentRequest], kill: Kill
) -> set[grpc.StatusCode]:
    """What is done before the daemon dies under it; the errors that the caller sees."""
    errors = set()
    for call in [client.future("InitiatePayment", request) for request in requests]:
        try:
            payment = call.result().payment
            if kill.wants_cancel:
                client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=payment.id))
            elif payment.next_action.redirect.url:
                pay(stripe, payment)
        except grpc.RpcError as error:
            errors.add(error.code())
    return errors


def let_time_pass(place: Place, *, checks: bool) -> None:
    """What only time would bring: the end of claims and leases, and the next look."""
    rows(place, "UPDATE payments SET ask_deadline = now() WHERE ask_deadline IS NOT NULL")
    due = "UPDATE payments SET next_look_time = now() WHERE next_look_time IS NOT NULL"
    rows(place, due if checks else f"{due} AND status <> 'PENDING'")
    rows(place, "UPDATE inbox SET locked_until = now()")
    rows(place, "UPDATE outbox SET locked_until = now()")


def bring_to_its_end(client: Client, stripe: StandIn, payment_id: str, kill: Kill) -> None:
    """Cancel again, or pay as the customer if that has not happened yet."""
    if kill.wants_cancel:
        client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=payment_id))
        client.wait_for(payment_id, "CANCELED")
        return
    payment = client.wait_for(payment_id, "PENDING", "COMPLETED")
    if stripe.payable(payment_id):
        pay(stripe, payment)
    done = client.wait_for(payment_id, "COMPLETED")
    assert done.received.minor_units == done.amount.minor_units


def pay(stripe: StandIn, payment: Any) -> None:
    """On the page that the caller was given."""
    answer = stripe.http.post(f"{payment.next_action.redirect.url}/pay")
    assert answer.headers["location"].startswith(RETURN_URL)


def assert_one_session_each(stripe: StandIn, ids: Sequence[str], kill: Kill) -> None:
    """I2, asked of Stripe: no payment can be paid twice, and none that is canceled at all."""
    sessions = [one for one in stripe.sessions() if one["client_reference_id"] in ids]
    open_or_paid = Counter(
        (one["client_reference_id"], one["status"])
        for one in sessions
        if one["status"] != "expired"
    )
    wanted = [] if kill.wants_cancel else [(payment_id, "complete") for payment_id in ids]
    assert open_or_paid == Counter(wanted)


def assert_explained(place: Place) -> None:
    """I3 and I8, asked of the database."""
    twice = """
        SELECT payment_id FROM outbox GROUP BY payment_id, subject HAVING count(*) > 1
    """
    assert not rows(place, twice)
    unexplained = """
        SELECT p.id FROM payments AS p
        WHERE p.version <> (SELECT count(*) FROM payment_events AS e WHERE e.payment_id = p.id)
    """
    assert not rows(place, unexplained)
