"""Disputes and inquiries of cards through a daemon, from opening to decision."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from integration.stripe.refunding import a_paid, a_refund, refund, refusal, status_of_refund
from integration.stripe.shop import Json, Shop
from payd_client.proto import payment_pb2 as pb
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("all_is_well_again")


def wait_dispute(shop: Shop, payment_id: str, status: str) -> Any:
    """The payment's only dispute, once it has this status."""
    found: list[str] = []

    def look() -> Any:
        disputes = shop.client.get(payment_id).disputes
        found[:] = [
            pb.DisputeStatus.Name(one.status).removeprefix("DISPUTE_STATUS_") for one in disputes
        ]
        return disputes[0] if found == [status] else None

    return wait_until(look, lambda: f"still {found}, not {status}")


def dispute(shop: Shop, session: Json, *life: str, amount: int | None = None) -> Json:
    """Let the customer's bank do this."""
    made: Json = shop.stripe.act(session["id"], "dispute", status=life[0], amount=amount)
    for status in life[1:]:
        made = shop.stripe.act(session["id"], "update_dispute", status=status)
    return made


def of_disputes(shop: Shop, payment_id: str) -> list[tuple[str, str]]:
    """The events of disputes: what happened, and to which dispute."""
    return [
        (event.subject, event.body["dispute"]["id"])
        for event in shop.published(payment_id)
        if event.subject in ("payment.disputed", "payment.dispute_closed")
    ]


LIVES = [
    (("needs_response",), "NEEDS_RESPONSE", ["DISPUTED"], "opened"),
    (("needs_response", "under_review"), "UNDER_REVIEW", ["DISPUTED"], "opened"),
    (("needs_response", "under_review", "won"), "WON", [], "both"),
    (("needs_response", "lost"), "LOST", ["LOST_DISPUTE"], "both"),
    (("warning_needs_response",), "INQUIRY", [], "none"),
    (("warning_needs_response", "warning_under_review", "warning_closed"),
     "INQUIRY_CLOSED", [], "none"),
    (("warning_needs_response", "needs_response", "won"), "WON", [], "both"),
]  # fmt: skip
EVENTS = {
    "none": [],
    "opened": ["payment.disputed"],
    "both": ["payment.disputed", "payment.dispute_closed"],
}


@pytest.mark.parametrize(("life", "status", "attention", "events"), LIVES)
@pytest.mark.parametrize("by", ["webhooks", "a look", "the scan"])
def test_a_dispute_is_what_the_bank_says(
    shop: Shop, by: str, life: Sequence[str], status: str, attention: list[str], events: str
) -> None:
    payment, session = shop.start()
    if by != "webhooks":
        shop.stripe.webhooks(mode="drop")
    shop.stripe.act(session["id"], "pay")
    made = dispute(shop, session, *life, amount=500)
    if by == "a look":
        shop.look(payment.id)
    if by == "the scan":
        shop.scan()

    found = wait_dispute(shop, payment.id, status)

    assert (found.id, found.amount.minor_units, found.reason) == (made["id"], 500, "fraudulent")
    assert found.evidence_due_time.seconds == made["evidence_details"]["due_by"]
    said = shop.client.wait_for(payment.id, "COMPLETED")
    assert list(said.attention) == attention
    # A look sees only how it ended.
    reported = [kind for kind, _ in of_disputes(shop, payment.id)]
    assert sorted(reported) == sorted(EVENTS[events])


def test_a_prevented_dispute_is_withdrawn(shop: Shop) -> None:
    payment, session = a_paid(shop)

    dispute(shop, session, "prevented")

    wait_dispute(shop, payment.id, "WITHDRAWN")
    assert list(shop.client.get(payment.id).attention) == []


def test_a_lost_dispute_that_is_won_on_appeal_is_won(shop: Shop) -> None:
    payment, session = a_paid(shop)
    dispute(shop, session, "needs_response", "lost")
    wait_dispute(shop, payment.id, "LOST")

    # Of two decisions the later one counts, and Stripe's times are whole seconds.
    shop.stripe.order("clock", advance_s=2)
    for status in ("appeal_needs_response", "appeal_under_review", "won"):
        shop.stripe.act(session["id"], "update_dispute", status=status)

    wait_dispute(shop, payment.id, "WON")
    assert status_of_refund(refund(shop.client, payment.id, 100)) == "SUCCEEDED"


@pytest.mark.parametrize(
    ("life", "reason"),
    [
        (("needs_response",), "PAYMENT_DISPUTED"),
        (("needs_response", "under_review"), "PAYMENT_DISPUTED"),
        (("needs_response", "lost"), "PAYMENT_DISPUTED"),
        (("warning_needs_response",), "none"),
        (("warning_needs_response", "warning_closed"), "none"),
        (("needs_response", "won"), "none"),
    ],
)
def test_only_an_open_or_lost_dispute_stops_a_refund(
    shop: Shop, life: Sequence[str], reason: str
) -> None:
    payment, session = a_paid(shop)
    dispute(shop, session, *life)
    last = {"warning_needs_response": "INQUIRY", "warning_closed": "INQUIRY_CLOSED"}
    wait_dispute(shop, payment.id, last.get(life[-1], life[-1].upper()))

    assert refusal(shop.client, a_refund(payment.id, 100)) == reason


def test_a_dispute_that_payd_does_not_know_yet_stops_the_refund_at_stripe(shop: Shop) -> None:
    payment, session = a_paid(shop)
    shop.stripe.webhooks(mode="hold")
    dispute(shop, session, "needs_response")

    made = refund(shop.client, payment.id, 100)

    assert (status_of_refund(made), made.failure.code) == ("FAILED", "charge_disputed")
    shop.stripe.webhooks(mode="deliver")
    shop.stripe.release()
    wait_dispute(shop, payment.id, "NEEDS_RESPONSE")


#: Every order of four events, and some of them.
ORDERS = tuple(itertools.permutations(range(4)))
SOME_ORDERS = ORDERS[::3]


@pytest.mark.parametrize("orders", [SOME_ORDERS, pytest.param(ORDERS, marks=pytest.mark.campaign)])
def test_no_order_of_a_disputes_events_changes_its_end(
    shop: Shop, orders: Sequence[Sequence[int]]
) -> None:
    """Opened, withdrawn, answered, won, given back."""
    payments = [ended(shop, order) for order in orders]

    for payment in payments:
        wait_dispute(shop, payment.id, "WON")
    for payment in payments:
        assert list(shop.client.get(payment.id).attention) == []
        reported = [kind for kind, _ in of_disputes(shop, payment.id)]
        assert sorted(reported) in (EVENTS["both"][::-1], EVENTS["both"])


def ended(shop: Shop, order: Sequence[int]) -> Any:
    """A payment whose dispute was won; its events come in this order."""
    payment, session = a_paid(shop)
    shop.stripe.webhooks(mode="hold")
    known = len(shop.stripe.held())
    dispute(shop, session, "needs_response", "under_review", "won")
    held = [one for one in shop.stripe.held()[known:] if "dispute" in one["type"]]
    wanted = [one for one in held if "withdrawn" not in one["type"]]
    shop.stripe.webhooks(mode="deliver")
    shop.settle(*(wanted[place] for place in order))
    return payment
