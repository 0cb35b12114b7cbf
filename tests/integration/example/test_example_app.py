"""The example application: a POST, a payment, a subscription that is active; and nothing twice."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from main_app.models import payment_out
from payd_client.messages import payment_of
from payd_client.proto import payment_pb2 as pb
from support import plain_http
from support.daemon import Daemon, running_daemon
from support.event_stream import USD_149, EventStream, a_payment
from support.example_app import FULL_30D, ExampleApp, Surroundings, a_wish
from support.waiting import wait_until
from unit.cli.scripted_daemon import on_plain_asyncio

from payd.codec.messages import payment_message
from payd.domain.attention import Attention, AttentionRecord
from payd.domain.decide import EventType
from payd.domain.outcome import Failure
from payd.domain.payment import Customer, LineItem, Payment, Status

PAYMENTS = "/api/v1/payments"


def test_the_shop_links_the_newest_transfer_that_an_explorer_shows() -> None:
    message = payment_message(a_payment())
    assert payment_out(payment_of(message), []).transaction_url == ""
    for page in ("https://explore.example/tx/0x1", "https://explore.example/tx/0x2", ""):
        message.receipts.add(
            amount=message.amount,
            state=pb.RECEIPT_STATE_CONFIRMED,
            time=message.create_time,
            amount_base_units="1",
            explorer_url=page,
        )
    assert payment_out(payment_of(message), []).transaction_url == "https://explore.example/tx/0x2"


def eventually(is_so: Callable[[], Any], wanted: Any = True) -> None:
    wait_until(lambda: is_so() == wanted, lambda: f"{is_so()}, not {wanted}")


def a_key() -> str:
    return uuid.uuid4().hex


def start(client: httpx.Client, **overrides: Any) -> dict[str, Any]:
    """A payment, begun."""
    answer = client.post(PAYMENTS, json=a_wish(**{"key": a_key(), **overrides}))
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def look(client: httpx.Client, payment: dict[str, Any]) -> tuple[str, list[str]]:
    """Of the payment and of its subscriptions."""
    document = client.get(f"{PAYMENTS}/{payment['id']}").json()
    return document["status"], [one["status"] for one in document["subscriptions"]]


def provisions(surroundings: Surroundings, subscription_id: str | UUID) -> int:
    sql = "SELECT count(*) FROM provisions WHERE subscription_id = $1"
    return int(surroundings.rows(sql, UUID(str(subscription_id)))[0]["count"])


def status_of(surroundings: Surroundings, subscription_id: str | UUID) -> str | None:
    rows = surroundings.rows(
        "SELECT status FROM subscriptions WHERE id = $1", UUID(str(subscription_id))
    )
    return rows[0]["status"] if rows else None


def add_pending(
    surroundings: Surroundings, user: str = "alice", status: str = "pending_payment"
) -> str:
    """A subscription that was made elsewhere in the application."""
    [row] = surroundings.rows(
        """
        INSERT INTO subscriptions (id, user_id, chain_profile_id, node_type, duration, status)
        VALUES (gen_random_uuid(), $1, 'ethereum-mainnet', 'full', '30d', $2) RETURNING id
        """,
        user,
        status,
    )
    return str(row["id"])


# -- paid --------------------------------------------------------------------------------------


def test_a_payment_activates_its_subscriptions_once(
    app: ExampleApp, surroundings: Surroundings
) -> None:
    with app.client() as client:
        payment = start(client, items=[FULL_30D, FULL_30D])
        assert payment["amount"] == {"currency_code": "USD", "minor_units": 29800}
        assert [one["payment_id"] for one in payment["subscriptions"]] == [payment["id"]] * 2
        eventually(lambda: look(client, payment), ("COMPLETED", ["active", "active"]))
        mine = client.get("/api/v1/subscriptions").json()["subscriptions"]
    ids = [one["id"] for one in payment["subscriptions"]]
    assert len(set(ids)) == 2
    assert [provisions(surroundings, one) for one in ids] == [1, 1]
    assert {one["id"] for one in mine} >= set(ids)


def test_a_pending_subscription_is_paid(app: ExampleApp, surroundings: Surroundings) -> None:
    pending = add_pending(surroundings)
    with app.client() as client:
        payment = start(client, items=[], subscription_ids=[pending])
        assert [one["id"] for one in payment["subscriptions"]] == [pending]
        eventually(lambda: look(client, payment), ("COMPLETED", ["active"]))
    assert provisions(surroundings, pending) == 1


def test_payment_methods_are_those_of_payd(app: ExampleApp, daemon: Daemon) -> None:
    with app.client() as client:
        methods = client.get("/api/v1/payment-methods")
    assert methods.json() == plain_http.get(f"http://{daemon.http}/api/v1/payment-methods").json()


def test_everything_in_the_catalogue_has_a_price(app: ExampleApp) -> None:
    with app.client() as client:
        catalogue = client.get("/api/v1/catalogue").json()
        chains, nodes, durations = (
            [one["id"] for one in catalogue[kind]] for kind in ("chains", "node_types", "durations")
        )
        for chain in chains:
            items = [
                {"chain_profile_id": chain, "node_type": node, "duration": duration}
                for node in nodes
                for duration in durations
            ]
            answer = client.post("/api/v1/quotes", json={"items": items, "method": "mock"})
            assert answer.status_code == 200, answer.text


# -- once --------------------------------------------------------------------------------------


def test_the_same_post_fifty_times_at_once_is_one_payment(
    app: ExampleApp, surroundings: Surroundings
) -> None:
    wish = a_wish(a_key(), items=[FULL_30D, FULL_30D, FULL_30D])
    with app.client() as client, ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: client.post(PAYMENTS, json=wish), range(50)))
        assert {answer.status_code for answer in answers} == {201}
        documents = [answer.json() for answer in answers]
        assert len({document["id"] for document in documents}) == 1
        ids = {one["id"] for document in documents for one in document["subscriptions"]}
        assert len(ids) == 3
        eventually(lambda: look(client, documents[0]), ("COMPLETED", ["active"] * 3))
        # After its end, too.
        again = client.post(PAYMENTS, json=wish)
    assert again.json()["id"] == documents[0]["id"]
    assert [provisions(surroundings, one) for one in ids] == [1, 1, 1]
    sql = "SELECT count(*) FROM subscriptions WHERE payment_id = $1"
    assert surroundings.rows(sql, UUID(documents[0]["id"]))[0]["count"] == 3


def test_a_key_that_was_used_for_something_else_is_refused(app: ExampleApp) -> None:
    key = a_key()
    with app.client() as client:
        start(client, key=key)
        other = client.post(PAYMENTS, json=a_wish(key, items=[FULL_30D] * 2))
    assert (other.status_code, other.json()["reason"]) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_the_same_key_of_another_user_is_another_payment(app: ExampleApp) -> None:
    key = a_key()
    with app.client() as alice, app.client("bob") as bob:
        assert start(alice, key=key)["id"] != start(bob, key=key)["id"]


def test_one_subscription_has_one_payment_under_way(
    app: ExampleApp, surroundings: Surroundings
) -> None:
    pending = add_pending(surroundings)

    def post(_: int) -> httpx.Response:
        wish = a_wish(a_key(), items=[], subscription_ids=[pending])
        return client.post(PAYMENTS, json=wish)

    with app.client() as client, ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(post, range(20)))
        eventually(lambda: status_of(surroundings, pending), "active")
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] + [409] * 19
    reasons = {answer.json()["reason"] for answer in answers if answer.status_code == 409}
    assert reasons <= {"PAYMENT_UNDER_WAY", "NOT_PENDING"}
    assert provisions(surroundings, pending) == 1


# -- whose it is -------------------------------------------------------------------------------


def test_anothers_subscription_does_not_exist(app: ExampleApp, surroundings: Surroundings) -> None:
    mine, other = add_pending(surroundings), add_pending(surroundings, "bob")
    with app.client() as client:
        for ids in ([other], [mine, other], [a_key()]):
            wish = a_wish(a_key(), items=[], subscription_ids=ids)
            assert client.post(PAYMENTS, json=wish).status_code == 404
        payment = start(client, items=[], subscription_ids=[mine])
        assert payment["status"] in ("PENDING", "COMPLETED")
    assert status_of(surroundings, other) == "pending_payment"


def test_anothers_payment_does_not_exist(app: ExampleApp) -> None:
    with app.client() as alice, app.client("bob") as bob:
        payment = start(alice)
        assert bob.get(f"{PAYMENTS}/{payment['id']}").status_code == 404
        assert bob.post(f"{PAYMENTS}/{payment['id']}/cancel").status_code == 404
        assert bob.get(f"{PAYMENTS}/{uuid.uuid4()}").status_code == 404


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "x"}])
def test_a_visitor_who_is_not_signed_in_is_refused(
    app: ExampleApp, headers: dict[str, str]
) -> None:
    answer = plain_http.post(f"{app.url}{PAYMENTS}", json=a_wish(a_key()), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("status", ["active", "canceled"])
def test_what_does_not_wait_for_a_payment_is_not_paid(
    app: ExampleApp, surroundings: Surroundings, status: str
) -> None:
    done = add_pending(surroundings, status=status)
    with app.client() as client:
        answer = client.post(PAYMENTS, json=a_wish(a_key(), items=[], subscription_ids=[done]))
    assert (answer.status_code, answer.json()["reason"]) == (409, "NOT_PENDING")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"items": []}, "INVALID_FIELD"),
        ({"idempotency_key": ""}, "INVALID_FIELD"),
        ({"idempotency_key": "a b"}, "INVALID_FIELD"),
        ({"method": "cash"}, "UNKNOWN_METHOD"),
        ({"items": [FULL_30D | {"duration": "31d"}]}, "UNKNOWN_PRODUCT"),
        ({"return_url": "ftp://x"}, "INVALID_FIELD"),
        ({"return_url": "http://elsewhere.example/"}, "INVALID_FIELD"),
        ({"surprise": 1}, "INVALID_FIELD"),
        ({"subscription_ids": ["x"]}, "INVALID_FIELD"),
    ],
)
def test_a_wrong_wish_is_refused_with_its_reason_and_leaves_nothing(
    app: ExampleApp, surroundings: Surroundings, change: dict[str, Any], reason: str
) -> None:
    before = surroundings.rows("SELECT count(*) FROM subscriptions")
    with app.client() as client:
        answer = client.post(PAYMENTS, json=a_wish(a_key()) | change)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)
    assert surroundings.rows("SELECT count(*) FROM subscriptions") == before


# -- canceled, failed, late --------------------------------------------------------------------


def initiate_for(
    surroundings: Surroundings, daemon: Daemon, scenario: str, **more: str
) -> tuple[str, str]:
    """A payment with a fate of its own, for a pending subscription; both ids."""
    pending = add_pending(surroundings)
    with daemon.client() as payd:
        payment = payd.initiate(
            customer=pb.Customer(id="alice"),
            subscription_ids=[pending],
            metadata={"mock_scenario": scenario, **more},
        )
    return payment.id, pending


def test_a_canceled_payment_cancels_its_subscription(
    app: ExampleApp, surroundings: Surroundings, daemon: Daemon
) -> None:
    payment_id, pending = initiate_for(surroundings, daemon, "pending")
    with app.client() as client:
        answer = client.post(f"{PAYMENTS}/{payment_id}/cancel")
        assert answer.status_code == 200, answer.text
        eventually(lambda: status_of(surroundings, pending), "canceled")
        again = client.post(f"{PAYMENTS}/{payment_id}/cancel")
    assert again.status_code in (200, 409)
    assert provisions(surroundings, pending) == 0


def test_money_that_comes_after_the_end_activates_after_all_once(
    app: ExampleApp, surroundings: Surroundings, daemon: Daemon
) -> None:
    payment_id, pending = initiate_for(surroundings, daemon, "pay_late")
    eventually(lambda: status_of(surroundings, pending), "active")
    assert provisions(surroundings, pending) == 1
    sql = "SELECT event_type FROM handled_events WHERE payment_id = $1 ORDER BY handle_time"
    types = [row["event_type"] for row in surroundings.rows(sql, UUID(payment_id))]
    assert types[0] == "payment.canceled"
    assert types[-1] == "payment.completed"
    with app.client() as client:
        assert client.get(f"{PAYMENTS}/{payment_id}").json()["late"] is True


def test_a_declined_payment_is_shown_and_its_subscription_may_be_paid_again(
    app: ExampleApp, surroundings: Surroundings, daemon: Daemon
) -> None:
    payment_id, pending = initiate_for(surroundings, daemon, "decline")
    with app.client() as client:

        def is_shown() -> bool:
            notes = client.get("/api/v1/notifications").json()["notifications"]
            return any(n["payment_id"] == payment_id and n["kind"] == "failed" for n in notes)

        eventually(is_shown)
        assert status_of(surroundings, pending) == "pending_payment"
        payment = start(client, items=[], subscription_ids=[pending])
        eventually(lambda: look(client, payment), ("COMPLETED", ["active"]))


def an_event_payment(subscription_id: str, **overrides: Any) -> Payment:
    item = LineItem(**FULL_30D, unit_price=USD_149)
    fields = {
        "customer": Customer(id="alice"),
        "items": (item,),
        "subscription_ids": (subscription_id,),
    }
    return a_payment(**{**fields, **overrides})


def test_attention_is_raised(
    app: ExampleApp, surroundings: Surroundings, stream: EventStream
) -> None:
    underpaid = AttentionRecord(reason=Attention.UNDERPAID, since=datetime.now(UTC))
    payment = an_event_payment(add_pending(surroundings), attention_records=(underpaid,))
    on_plain_asyncio(stream.publish(payment, EventType.ATTENTION))
    with app.client() as client:

        def is_shown() -> bool:
            notes = client.get("/api/v1/notifications").json()["notifications"]
            return any(n["kind"] == "attention" and n["message"] == "UNDERPAID" for n in notes)

        eventually(is_shown)


def test_a_subscription_that_two_payments_have_paid_is_provisioned_once(
    app: ExampleApp, surroundings: Surroundings, stream: EventStream
) -> None:
    pending = add_pending(surroundings)
    for _ in range(2):
        on_plain_asyncio(stream.publish(an_event_payment(pending)))
    with app.client() as client:

        def is_shown() -> bool:
            notes = client.get("/api/v1/notifications").json()["notifications"]
            return any("active already" in note["message"] for note in notes)

        eventually(is_shown)
    assert provisions(surroundings, pending) == 1


def test_an_event_before_its_post_has_written_anything_is_not_lost(
    app: ExampleApp, surroundings: Surroundings, stream: EventStream
) -> None:
    for kind, status, wanted in (
        (EventType.COMPLETED, Status.COMPLETED, "active"),
        (EventType.CANCELED, Status.CANCELED, "canceled"),
        (EventType.FAILED, Status.FAILED, "pending_payment"),
    ):
        unheard = str(uuid.uuid4())
        failure = Failure(code="x", message="x") if kind is EventType.FAILED else None
        payment = an_event_payment(unheard, status=status, failure=failure)
        on_plain_asyncio(stream.publish(payment, kind))
        eventually(partial(status_of, surroundings, unheard), wanted)


def test_an_event_of_nobody_we_know_becomes_a_dead_letter(
    app: ExampleApp, surroundings: Surroundings, stream: EventStream
) -> None:
    payment = an_event_payment(str(uuid.uuid4()), customer=Customer(id="mallory"))
    event_id = on_plain_asyncio(stream.publish(payment))
    eventually(lambda: any(str(event_id).encode() in one.data for one in dead(stream)))


def dead(stream: EventStream) -> list[Any]:
    return on_plain_asyncio(stream.dead())


# -- payd is away ------------------------------------------------------------------------------


def test_without_payd_a_wish_is_put_off_and_nothing_is_half_made(
    surroundings: Surroundings, app: ExampleApp, daemon: Daemon, stream: EventStream
) -> None:
    key, pending = a_key(), add_pending(surroundings)
    before = surroundings.rows("SELECT count(*) FROM subscriptions")
    with running_daemon(daemon.place) as other:
        other.process.kill()
        other.wait_ended()
        with (
            ExampleApp(Surroundings.of(other, surroundings.database)) as away,
            away.client() as client,
        ):
            for wish in (a_wish(key), a_wish(a_key(), items=[], subscription_ids=[pending])):
                answer = client.post(PAYMENTS, json=wish)
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) >= 1
                sql = "SELECT 1 FROM checkouts WHERE idempotency_key = $1"
                assert surroundings.rows(sql, wish["idempotency_key"]) == []
            assert "has not answered yet" in client.get("/api/v1/payment-methods").json()["detail"]
            assert client.get(f"{PAYMENTS}/{uuid.uuid4()}").status_code == 503
            assert client.get("/api/v1/subscriptions").status_code == 200
    assert surroundings.rows("SELECT count(*) FROM subscriptions") == before
    assert status_of(surroundings, pending) == "pending_payment"
    # Its own key again, when payd is back.
    with app.client() as client:
        payment = start(client, key=key)
        eventually(lambda: look(client, payment), ("COMPLETED", ["active"]))


def test_a_payd_that_has_answered_once_is_away_and_not_starting(
    surroundings: Surroundings, daemon: Daemon
) -> None:
    with (
        running_daemon(daemon.place) as other,
        ExampleApp(Surroundings.of(other, surroundings.database)) as app,
        app.client() as client,
    ):
        assert client.get("/api/v1/payment-methods").status_code == 200
        other.process.kill()
        other.wait_ended()
        answer = client.get("/api/v1/payment-methods")
    assert (answer.status_code, answer.json()["reason"]) == (503, "UNAVAILABLE")
    assert "not available now" in answer.json()["detail"]
