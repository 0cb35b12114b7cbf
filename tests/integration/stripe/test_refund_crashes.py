"""Killed while cards are refunded, and started again: one refund, one end, one event (I10, I18)."""

import os
import random
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import grpc
import pytest
from integration.stripe.refunding import (
    REFUNDS,
    a_paid,
    a_refund,
    assert_sums_agree,
    at_stripe,
    of_refunds,
    status_of_refund,
)
from integration.stripe.shop import SETTINGS, Json, Shop, open_shop
from integration.stripe.test_card_crashes import assert_explained
from support.cards import StandIn, running_with_cards
from support.daemon import Client, Place, rows, wait_until_published
from support.waiting import wait_until

from payd.adapters.system import CRASH_POINTS

CAMPAIGN_KILLS = int(os.environ.get("PAYD_CAMPAIGN_KILLS", "50"))
PAYMENTS = 4
POINTS = sorted(
    point
    for point in CRASH_POINTS
    if point.startswith(("refund.", "settle.", "intake.", "publish."))
)
FAULTS = ("500_after", "timeout_before", "timeout_after", "429", "reset")
#: So many of the refunds may meet a fault.
FAULTS_MAX = 2


@attrs.frozen(kw_only=True)
class Kill:
    """Where the daemon dies, and what else goes wrong."""

    point: str
    nth: int
    #: Of the stand-in, and how often.
    fault: str | None
    faults: int
    #: Of each webhook.
    duplicates: int
    #: Whether Stripe says at once that the money has arrived, or later.
    begins: str
    #: Whether webhooks arrive, or only recovery finds out.
    webhooks: str


def kills(point: str) -> Iterator[Kill]:
    """The same ones in every run."""
    seeded = random.Random(point)
    for _ in range(CAMPAIGN_KILLS):
        fault = seeded.choice((None, None, *FAULTS))
        yield Kill(
            point=point,
            # All events may be published together: a second time is not sure.
            nth=1 if "publish" in point else seeded.randint(1, PAYMENTS - FAULTS_MAX),
            fault=fault,
            faults=seeded.randint(1, FAULTS_MAX) if fault else 0,
            duplicates=seeded.randint(0, 1),
            # Nothing is published of a refund that is on its way.
            begins="succeeded" if "publish" in point else seeded.choice(("succeeded", "pending")),
            # Without webhooks there is nothing to take in.
            webhooks="deliver" if "intake" in point else seeded.choice(("deliver", "drop")),
        )


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_changes_nothing_but_the_time(place: Place, tmp_path: Path, point: str) -> None:
    """The first of the campaign's kills."""
    crash_and_recover(place, tmp_path, next(kills(point)))


@pytest.mark.campaign
@pytest.mark.parametrize("point", POINTS)
def test_no_crash_of_many_changes_anything(place: Place, tmp_path: Path, point: str) -> None:
    for number, kill in enumerate(kills(point)):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            crash_and_recover(place, folder, kill)
        except AssertionError as error:
            error.add_note(f"after {kill}")
            raise


def crash_and_recover(place: Place, folder: Path, kill: Kill) -> None:
    """Every refund that a caller asked for, and asks for again, is made once."""
    with open_shop(place, folder) as shop:
        paid = [a_paid(shop) for _ in range(PAYMENTS)]
        wait_until_published(place)
        requests = [a_refund(payment.id, 100) for payment, _ in paid]
        shop.daemon.stop()
        settings = SETTINGS | {"PAYD_CRASH_AT": f"{kill.point}:{kill.nth}"}
        settings |= {"STRIPE_REQUEST_TIMEOUT_S": "1"}
        with running_with_cards(place, shop.stripe, **settings) as (daemon, client):
            shop.stripe.webhooks(duplicates=kill.duplicates, mode=kill.webhooks)
            shop.stripe.order("refunds/next", status=kill.begins, times=PAYMENTS)
            if kill.fault:
                shop.stripe.fault(kill.fault, REFUNDS, times=kill.faults, hold_s=2)
            assert drive(client, requests) <= {grpc.StatusCode.UNAVAILABLE}
            assert daemon.wait_ended() == -9, "the crash point was not reached"
        shop.stripe.http.delete("/_control/faults")
        with running_with_cards(place, shop.stripe, **SETTINGS) as (daemon, client):
            after = attrs.evolve(shop, daemon=daemon, client=client)
            made = [insist(after, request) for request in requests]
            arrive(shop.stripe, paid)
            check(after, paid, made)


def drive(client: Client, requests: Sequence[Any]) -> set[grpc.StatusCode]:
    """What is asked for before the daemon dies; the errors that the caller sees."""
    errors = set()
    for call in [client.future("RefundPayment", request) for request in requests]:
        try:
            call.result()
        except grpc.RpcError as error:
            errors.add(error.code())
    return errors


def insist(shop: Shop, request: Any) -> Any:
    """The refund, once Stripe has it: the caller calls again, and time passes."""

    def attempt() -> Any:
        let_time_pass(shop.place)
        try:
            made = shop.client.call("RefundPayment", request).refund
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return None
        status = status_of_refund(made)
        assert status in ("CREATING", "PENDING", "SUCCEEDED"), status
        return made if status != "CREATING" else None

    return wait_until(attempt, "Stripe has the refund", interval_s=0.3)


def let_time_pass(place: Place) -> None:
    """What only time would bring: the end of claims and leases, and the next look."""
    rows(
        place,
        """
        UPDATE refunds SET ask_deadline = least(ask_deadline, now()), next_look_time = now()
        WHERE next_look_time > now()
        """,
    )
    rows(place, "UPDATE inbox SET locked_until = now()")
    rows(place, "UPDATE outbox SET locked_until = now()")


def arrive(stripe: StandIn, paid: Sequence[tuple[Any, Json]]) -> None:
    """The money of the refunds that are on their way arrives."""
    stripe.webhooks(mode="deliver")
    for _, session in paid:
        for one in at_stripe(stripe, session):
            if one["status"] == "pending":
                stripe.order(f"refunds/{one['id']}/succeed")


def check(shop: Shop, paid: Sequence[tuple[Any, Json]], made: Sequence[Any]) -> None:
    """One refund each, at Stripe and here, and one event."""

    def are_refunded() -> bool:
        let_time_pass(shop.place)
        found = [shop.client.get(payment.id).refunds for payment, _ in paid]
        return all([status_of_refund(one) for one in few] == ["SUCCEEDED"] for few in found)

    wait_until(are_refunded, "all are refunded", interval_s=0.3)
    published = wait_until_published(shop.place)
    for (payment, session), refund in zip(paid, made, strict=True):
        [there] = at_stripe(shop.stripe, session)
        assert there["metadata"]["refund_id"] == refund.id
        assert_sums_agree(shop, payment.id, session)
        mine = [event for event in published if event.body["id"] == payment.id]
        assert of_refunds(mine) == [("payment.refunded", refund.id)]
        assert len({uuid.UUID(event.body["event_id"]) for event in mine}) == len(
            {(event.subject, event.body["event_id"]) for event in mine}
        )
    assert_explained(shop.place)
