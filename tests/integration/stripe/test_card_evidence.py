"""Webhooks that are authentic and yet not to be believed; and those that are not taken at all."""

import copy
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from integration.stripe.shop import (
    Json,
    Shop,
    an_event,
    inbox,
    paid,
    paid_event,
    post,
    settled,
)
from support import plain_http
from support.cards import WEBHOOK_SECRET, StandIn, running_with_cards
from support.daemon import Daemon, Place

FIXTURES = Path(__file__).parents[2] / "fixtures" / "stripe"
OLD_SECRET, NEW_SECRET = "whsec_old_one", "whsec_new_one"


# -- not ours ----------------------------------------------------------------------------------


def other_software(session: Json) -> Json:
    """It names nothing."""
    return paid_event(session, client_reference_id=None, metadata={})


def other_names(session: Json) -> Json:
    """It names something that is no payment's id."""
    return paid_event(session, client_reference_id="order-17", metadata={"payment_id": "order-17"})


def half_named(session: Json) -> Json:
    """Only one of the two places in which payd writes its id."""
    return paid_event(session, client_reference_id=None)


def another_account(session: Json) -> Json:
    """Ours in all, but that it happened in a connected account."""
    return paid_event(session) | {"account": "acct_1"}


@pytest.mark.parametrize("make", [other_software, other_names, half_named, another_account])
def test_what_is_not_ours_is_taken_counted_and_left(
    shop: Shop, make: Callable[[Json], Json]
) -> None:
    payment, session = shop.start()
    before = shop.metric("payd_evidence_total", provider="stripe", outcome="not_ours")

    assert shop.settle(make(session)) == ["not_ours"]

    after = shop.metric("payd_evidence_total", provider="stripe", outcome="not_ours")
    assert after == before + 1
    assert shop.row(payment.id)["status"] == "PENDING"
    assert shop.subjects(payment.id) == []


def test_a_session_of_other_software_in_the_account_is_left(shop: Shop) -> None:
    before = shop.metric("payd_evidence_total", provider="stripe", outcome="not_ours")
    session = shop.stripe.order("sessions", amount_total=4900, client_reference_id="order-18")
    shop.stripe.webhooks(mode="hold")
    shop.stripe.act(session["id"], "pay")
    ids = [event["id"] for event in shop.stripe.held()]
    shop.stripe.webhooks(mode="deliver")

    shop.stripe.release()

    assert {settled(shop.place, event_id) for event_id in ids} == {"not_ours"}
    after = shop.metric("payd_evidence_total", provider="stripe", outcome="not_ours")
    assert after == before + len(ids)


# -- signed, and wrong -------------------------------------------------------------------------


def wrong_mode(session: Json) -> Json:
    """Live money for a test payment."""
    return paid_event(session, livemode=True) | {"livemode": True}


def wrong_mode_inside(session: Json) -> Json:
    """The event is of one mode, its session of the other."""
    return paid_event(session, livemode=True)


def less(session: Json) -> Json:
    """Paid, one cent short."""
    return paid_event(session, amount_total=session["amount_total"] - 1)


def more(session: Json) -> Json:
    """Not what was asked for either."""
    return paid_event(session, amount_total=session["amount_total"] + 1)


def wrong_currency(session: Json) -> Json:
    """The right number of something else."""
    return paid_event(session, currency="jpy")


def another_session(session: Json) -> Json:
    """A session that payd has not made, for a payment that has one."""
    return paid_event(session, id=f"cs_test_{uuid.uuid4().hex}")


@pytest.mark.parametrize(
    ("make", "attention"),
    [
        (wrong_mode, "CONFLICTING_EVIDENCE"),
        (wrong_mode_inside, "CONFLICTING_EVIDENCE"),
        (less, "AMOUNT_MISMATCH"),
        (more, "AMOUNT_MISMATCH"),
        (wrong_currency, "AMOUNT_MISMATCH"),
        (another_session, "CONFLICTING_EVIDENCE"),
    ],
)
def test_money_that_is_not_what_was_asked_for_completes_nothing(
    shop: Shop, make: Callable[[Json], Json], attention: str
) -> None:
    payment, session = shop.start()

    assert shop.settle(make(session)) == ["applied"]

    row = shop.row(payment.id)
    assert (row["status"], row["snapshot_confirmed"]) == ("PENDING", 0)
    assert list(row["attention"]) == [attention]
    [event] = shop.published(payment.id)
    assert (event.subject, event.body["reason"]) == ("payment.attention", attention)
    # What was right all the time still completes it.
    shop.stripe.act(session["id"], "pay")
    shop.client.wait_for(payment.id, "COMPLETED")
    assert shop.subjects(payment.id) == ["payment.attention", "payment.completed"]


@pytest.mark.parametrize("kind", ["refund.created", "charge.refunded", "charge.dispute.created"])
def test_money_of_the_other_mode_that_went_back_is_not_counted(shop: Shop, kind: str) -> None:
    payment, session = shop.start()
    done = paid(session)
    name = {"refund.created": "refund", "charge.refunded": "charge"}.get(kind, "dispute")
    subject = json.loads((FIXTURES / f"{name}.json").read_text())
    subject |= {"payment_intent": done["payment_intent"]}

    assert shop.settle(paid_event(session, **done)) == ["applied"]
    assert shop.settle(an_event(kind, subject, livemode=True)) == ["applied"]

    row = shop.row(payment.id)
    assert row["status"] == "COMPLETED"
    assert list(row["attention"]) == ["CONFLICTING_EVIDENCE"]
    said = shop.client.get(payment.id)
    assert (said.refunded.minor_units, len(said.refunds), len(said.disputes)) == (0, 0, 0)


def test_one_id_with_two_contents_is_a_conflict_and_both_are_kept(shop: Shop) -> None:
    payment, session = shop.start()
    first = an_event("checkout.session.completed", {**session, "status": "complete"})
    other = copy.deepcopy(first)
    other["data"]["object"]["payment_status"] = "paid"

    assert shop.settle(first) == ["applied"]
    assert shop.settle(other) == ["applied"]
    assert shop.post(first).json()["new"] == 0

    kept = inbox(shop.place, first["id"])
    assert [json.loads(row["raw_body"]) for row in kept] == [first, other]
    row = shop.row(payment.id)
    assert (row["status"], row["snapshot_confirmed"]) == ("PROCESSING", 0)
    assert list(row["attention"]) == ["CONFLICTING_EVIDENCE"]
    assert shop.subjects(payment.id) == ["payment.attention"]


# -- verification of webhooks -------------------------------------------------------------------


def test_while_a_secret_is_rolled_both_are_taken_and_then_only_the_new_one(
    place: Place, stripe: StandIn
) -> None:
    events = [an_event("payment_intent.succeeded", {"object": "payment_intent"}) for _ in range(4)]
    both = f"{NEW_SECRET}\n{OLD_SECRET}\n"
    with running_with_cards(place, stripe, STRIPE_WEBHOOK_SECRET=both) as (daemon, _):
        assert post(daemon, events[0], OLD_SECRET).status_code == 200
        assert post(daemon, events[1], NEW_SECRET).status_code == 200
        assert refused(post(daemon, events[2], WEBHOOK_SECRET)) == (400, "signature")
        assert refused(post(daemon, events[2], both)) == (400, "signature")
    with running_with_cards(place, stripe, STRIPE_WEBHOOK_SECRET=NEW_SECRET) as (daemon, _):
        assert refused(post(daemon, events[2], OLD_SECRET)) == (400, "signature")
        assert post(daemon, events[3], NEW_SECRET).status_code == 200
    assert [len(inbox(place, event["id"])) for event in events] == [1, 1, 0, 1]


def refused(answer: httpx.Response) -> tuple[int, str]:
    """How, and why."""
    return answer.status_code, answer.json()["metadata"]["why"]


def test_a_webhook_that_is_too_long_is_refused(shop: Shop) -> None:
    payment, session = shop.start()
    event = paid_event(session, more="x" * 300 * 1024)

    assert shop.post(event).status_code == 413

    assert inbox(shop.place, event["id"]) == []
    assert shop.row(payment.id)["status"] == "PENDING"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/webhooks/nobody", 404),
        # A provider that is enabled, and takes no webhooks.
        ("POST", "/webhooks/mock", 404),
        ("POST", "/webhooks/stripe", 400),
        ("GET", "/webhooks/stripe", 405),
    ],
)
def test_a_wrong_door_and_an_unsigned_webhook_are_refused(
    shop: Shop, method: str, path: str, status: int
) -> None:
    _, session = shop.start()
    event = paid_event(session)

    answer = plain_http.request(method, url(shop.daemon, path), json=event, timeout=10)

    assert answer.status_code == status
    assert inbox(shop.place, event["id"]) == []


def url(daemon: Daemon, path: str) -> str:
    return f"http://{daemon.http}{path}"
