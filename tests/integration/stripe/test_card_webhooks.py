"""Webhooks of payments by card: repeated, in any order, too early, while the database is away."""

import contextlib
import itertools
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest
from integration.stripe.shop import Json, Shop, an_event, inbox, paid_event, settled
from support.cards import a_card_request
from support.daemon import Place, rows
from support.waiting import PATIENCE_S, wait_until

COPIES = 100
#: The fields in which no order of reports may make a difference.
END = ("status", "snapshot_confirmed", "attention", "failure_code")


SHOP = {"STRIPE_REQUEST_TIMEOUT_S": "2"}
pytestmark = pytest.mark.usefixtures("all_is_well_again")


def test_a_hundred_copies_at_once_count_once(shop: Shop) -> None:
    payment, session = shop.start()
    event = paid_event(session)
    before = [webhooks(shop, outcome) for outcome in ("new", "repeated")]

    with ThreadPoolExecutor(COPIES) as pool:
        answers = list(pool.map(lambda _: shop.post(event), range(COPIES)))

    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json()["new"] for answer in answers].count(1) == 1
    shop.client.wait_for(payment.id, "COMPLETED")
    assert len(inbox(shop.place, event["id"])) == 1
    assert shop.subjects(payment.id) == ["payment.completed"]
    after = [webhooks(shop, outcome) for outcome in ("new", "repeated")]
    assert after == [before[0] + 1, before[1] + COPIES - 1]


def webhooks(shop: Shop, outcome: str) -> float:
    return shop.metric("payd_webhooks_total", provider="stripe", outcome=outcome)


# -- orders ------------------------------------------------------------------------------------


@attrs.frozen
class Life:
    """A payment and its events, in the order in which they will be sent."""

    payment: Any
    events: Sequence[Json]


def test_no_order_of_a_long_life_changes_its_end(shop: Shop) -> None:
    """Completed but unpaid, then paid by the bank, refunded in part, disputed."""
    lives = [Life(*lived(shop, order)) for order in itertools.permutations(range(4))]

    deliver_all(shop, lives)

    due = lives[0].payment.amount.minor_units
    attention = ["DISPUTED", "REFUNDED_EXTERNALLY"]
    assert_one_end(shop, lives, ("COMPLETED", due, attention, None, 100))


def lived(shop: Shop, order: Sequence[int]) -> tuple[Any, list[Json]]:
    """A payment whose session has ended at Stripe, and the events that Stripe still holds."""
    shop.stripe.webhooks(mode="hold")
    known = len(shop.stripe.held())
    payment, session = shop.start()
    for deed in ("pay_async", "async_succeed"):
        shop.stripe.act(session["id"], deed)
    shop.stripe.act(session["id"], "refund", amount=100)
    shop.stripe.act(session["id"], "dispute")
    types = (
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "refund.created",
        "charge.dispute.created",
    )
    # Never released: delivered by hand.
    new = shop.stripe.held()[known:]
    held = {event["type"]: event for event in new}
    return payment, [held[types[place]] for place in order]


@pytest.mark.parametrize("created", [-60, 60], ids=["older", "newer"])
def test_noise_around_a_paid_session_changes_nothing(shop: Shop, created: int) -> None:
    """An expiry that cannot be, and an event of a kind that is not believed."""
    lives = [Life(*noisy(shop, created, order)) for order in itertools.permutations(range(3))]

    deliver_all(shop, lives)

    due = lives[0].payment.amount.minor_units
    assert_one_end(shop, lives, ("COMPLETED", due, [], None, 0))


def noisy(shop: Shop, created: int, order: Sequence[int]) -> tuple[Any, list[Json]]:
    payment, session = shop.start()
    event = paid_event(session)
    late = {"created": event["created"] + created}
    events = (
        event,
        an_event("checkout.session.expired", {**session, "status": "expired"}, **late),
        an_event("payment_intent.succeeded", {"id": "pi_1", "object": "payment_intent"}),
    )
    return payment, [events[place] for place in order]


def deliver_all(shop: Shop, lives: Sequence[Life]) -> None:
    """The first report of every life; when all are worked on, the second of every life; …"""
    untouched = "SELECT 1 FROM inbox WHERE settle_time IS NULL AND attempts = 0"
    for turn in range(len(lives[0].events)):
        for life in lives:
            assert shop.post(life.events[turn]).status_code == 200
        wait_until(lambda: not rows(shop.place, untouched), "every report is worked on")
    # A dispute that came before its payment intent was known is parked.
    hurry_parked(shop)
    unsettled = "SELECT 1 FROM inbox WHERE settle_time IS NULL"
    wait_until(lambda: not rows(shop.place, unsettled), "every report is settled")


def hurry_parked(shop: Shop) -> None:
    rows(shop.place, "UPDATE inbox SET locked_until = now() WHERE settle_time IS NULL")


def assert_one_end(shop: Shop, lives: Sequence[Life], end: Sequence[object]) -> None:
    sql = "SELECT payment_id FROM outbox WHERE subject = 'payment.completed'"
    completed = [str(row["payment_id"]) for row in rows(shop.place, sql)]
    for life in lives:
        types = [event["type"] for event in life.events]
        row = shop.row(life.payment.id)
        found = [sorted(row[name]) if name == "attention" else row[name] for name in END]
        found.append(shop.client.get(life.payment.id).refunded.minor_units)
        assert found == list(end), types
        assert completed.count(life.payment.id) == 1, types


# -- too early ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["timeout_after", "slow"])
def test_a_webhook_faster_than_the_answer_to_the_create(shop: Shop, kind: str) -> None:
    shop.stripe.fault(kind, hold_s=1)
    known = {session["id"] for session in shop.stripe.sessions()}
    calling = shop.client.future("InitiatePayment", a_card_request())

    def new() -> list[Json]:
        return [session for session in shop.stripe.sessions() if session["id"] not in known]

    wait_until(new, "a session whose answer is held")
    [session] = new()
    shop.stripe.act(session["id"], "pay")
    payment_id = session["client_reference_id"]
    early = shop.client.wait_for(payment_id, "COMPLETED")
    assert not calling.done()

    answered = calling.result(timeout=PATIENCE_S).payment

    assert (answered.id, answered.status) == (payment_id, early.status)
    assert answered.provider_reference == session["id"]
    assert [one["id"] for one in shop.stripe.sessions(payment_id)] == [session["id"]]
    assert shop.subjects(payment_id) == ["payment.completed"]
    assert list(shop.row(payment_id)["attention"]) == []


def test_a_webhook_before_its_payment_waits_for_it(shop: Shop) -> None:
    payment, session = shop.start()
    late = uuid.uuid4()
    names = {"client_reference_id": str(late), "metadata": {"payment_id": str(late)}}
    event = paid_event(session, id="cs_test_early", **names)

    assert shop.post(event).status_code == 200
    wait_until(lambda: inbox(shop.place, event["id"])[0]["attempts"], "a first try")
    assert inbox(shop.place, event["id"])[0]["outcome"] is None
    commit_like(shop.place, payment.id, late, "cs_test_early")
    hurry_parked(shop)

    shop.client.wait_for(str(late), "COMPLETED")
    assert settled(shop.place, event["id"]) == "applied"
    assert shop.subjects(str(late)) == ["payment.completed"]
    assert list(shop.row(payment.id)["attention"]) == []


def commit_like(place: Place, payment_id: str, new_id: uuid.UUID, reference: str) -> None:
    """What another daemon's InitiatePayment commits: the same payment under another id."""
    sql = """
        INSERT INTO payments SELECT (jsonb_populate_record(p, jsonb_build_object(
            'id', $2::text, 'idempotency_key', $2::text, 'provider_reference', $3::text
        ))).* FROM payments AS p WHERE id = $1
    """
    rows(place, sql, uuid.UUID(payment_id), str(new_id), reference)
    sql = """
        INSERT INTO payment_line_items SELECT (jsonb_populate_record(i, jsonb_build_object(
            'payment_id', $2::text
        ))).* FROM payment_line_items AS i WHERE payment_id = $1
    """
    rows(place, sql, uuid.UUID(payment_id), str(new_id))


def test_a_webhook_of_a_payment_that_never_comes_is_given_up_after_a_day(shop: Shop) -> None:
    nobody = str(uuid.uuid4())
    payment, session = shop.start()
    names = {"client_reference_id": nobody, "metadata": {"payment_id": nobody}}
    event = paid_event(session, **names)
    assert shop.post(event).status_code == 200
    wait_until(lambda: inbox(shop.place, event["id"])[0]["attempts"], "a first try")

    sql = "UPDATE inbox SET receive_time = now() - interval '25 hours' WHERE event_id = $1"
    rows(shop.place, sql, event["id"])
    hurry_parked(shop)

    assert settled(shop.place, event["id"]) == "never_matched"
    assert shop.row(payment.id)["status"] == "PENDING"


# -- the database away -------------------------------------------------------------------------


def test_what_cannot_be_stored_is_refused_and_stripe_comes_back_with_it(shop: Shop) -> None:
    payment, session = shop.start()
    event = paid_event(session)

    with locked_out(shop.place):
        answer = shop.post(event)
        assert (answer.status_code, answer.json()["title"]) == (503, "STORE_UNAVAILABLE")
        shop.stripe.act(session["id"], "pay")
        wait_until(lambda: 503 in statuses(shop, session["id"]), "Stripe is refused")
    assert inbox(shop.place, event["id"]) == []

    shop.client.wait_for(payment.id, "COMPLETED")
    assert statuses(shop, session["id"])[-1] == 200
    assert shop.subjects(payment.id) == ["payment.completed"]


#: Only a superuser may end a worker of autovacuum.
END_CLIENTS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = $1 AND backend_type = 'client backend'
"""


@contextlib.contextmanager
def locked_out(place: Place) -> Iterator[None]:
    """As if this database were away; the tests' other databases stay."""
    name = urlsplit(place.database).path.removeprefix("/")
    server = attrs.evolve(place, database=place.database.removesuffix(name) + "postgres")
    rows(server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    try:
        rows(server, END_CLIENTS, name)
        yield
    finally:
        rows(server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def statuses(shop: Shop, session_id: str) -> list[int | None]:
    """Answers to the webhooks for the end of the session."""
    listed = shop.stripe.http.get(
        "/v1/events",
        params={"type": "checkout.session.completed", "limit": "100"},
        headers={"Authorization": "Bearer sk_test_tests"},
    ).json()["data"]
    ids = [event["id"] for event in listed if event["data"]["object"]["id"] == session_id]
    attempts = shop.stripe.ask("webhooks")["attempts"]
    return [attempt["status"] for attempt in attempts if attempt["event"] in ids]
