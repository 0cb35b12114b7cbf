"""A payment by card from its start to its end, through the real parts."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from integration.stripe.shop import Shop
from support import plain_http
from support.cards import RETURN_URL, a_card_request, running_with_cards
from support.daemon import Client, reason_of, rows

pytestmark = pytest.mark.usefixtures("all_is_well_again")


def test_a_customer_pays(shop: Shop) -> None:
    payment, session = shop.start()
    assert payment.next_action.redirect.url == session["url"]
    assert session["amount_total"] == payment.amount.minor_units
    assert session["success_url"] == RETURN_URL + "?session_id={CHECKOUT_SESSION_ID}"

    shop.stripe.act(session["id"], "pay")

    done = shop.client.wait_for(payment.id, "COMPLETED")
    assert done.received.minor_units == payment.amount.minor_units
    assert done.provider_reference == session["id"]
    assert shop.subjects(payment.id) == ["payment.completed"]
    sql = "SELECT event_type, actor FROM payment_events WHERE payment_id = $1 ORDER BY version"
    trail = rows(shop.place, sql, uuid.UUID(payment.id))
    assert (trail[-1]["event_type"], trail[-1]["actor"]) == ("payment_completed", "provider:stripe")


def test_a_bank_pays_later(shop: Shop) -> None:
    payment, session = shop.start()

    shop.stripe.act(session["id"], "pay_async")
    shop.client.wait_for(payment.id, "PROCESSING")
    assert shop.subjects(payment.id) == []
    shop.stripe.act(session["id"], "async_succeed")

    done = shop.client.wait_for(payment.id, "COMPLETED")
    assert done.received.minor_units == payment.amount.minor_units
    assert shop.subjects(payment.id) == ["payment.completed"]


def test_a_bank_refuses_later(shop: Shop) -> None:
    payment, session = shop.start()

    shop.stripe.act(session["id"], "pay_async")
    shop.client.wait_for(payment.id, "PROCESSING")
    shop.stripe.act(session["id"], "async_fail")

    failed = shop.client.wait_for(payment.id, "FAILED")
    assert failed.received.minor_units == 0
    assert shop.subjects(payment.id) == ["payment.failed"]


def test_a_declined_card_fails_nothing_and_another_card_pays(shop: Shop) -> None:
    payment, session = shop.start()

    shop.stripe.act(session["id"], "decline")
    before = shop.row(payment.id)["version"]
    shop.look(payment.id)
    shop.wait_row(payment.id, lambda row: row["version"] > before, "a look")
    looked = shop.client.get(payment.id)
    shop.client.wait_for(payment.id, "PENDING")
    assert looked.received.minor_units == 0

    shop.stripe.act(session["id"], "pay")
    shop.client.wait_for(payment.id, "COMPLETED")
    assert shop.subjects(payment.id) == ["payment.completed"]


def test_an_abandoned_payment_expires_with_its_session(shop: Shop) -> None:
    payment, session = shop.start()

    shop.stripe.act(session["id"], "expire")

    shop.client.wait_for(payment.id, "EXPIRED")
    [event] = shop.published(payment.id)
    assert (event.subject, event.body["reason"]) == ("payment.canceled", "expired")


def test_at_its_end_a_payment_is_closed_at_stripe_first(shop: Shop) -> None:
    payment, session = shop.start()

    shop.stripe.webhooks(mode="drop")
    shop.set(payment.id, "expire_time = now(), next_look_time = now()")

    shop.client.wait_for(payment.id, "EXPIRED")
    [ended] = shop.stripe.sessions(payment.id)
    assert (ended["id"], ended["status"]) == (session["id"], "expired")
    [event] = shop.published(payment.id)
    assert (event.subject, event.body["reason"]) == ("payment.canceled", "expired")


def test_the_browsers_return_changes_nothing(shop: Shop) -> None:
    payment, session = shop.start()
    shop.stripe.webhooks(mode="hold")
    before = shop.row(payment.id)

    answer = shop.stripe.http.post(f"{session['url']}/pay")
    assert answer.headers["location"] == f"{RETURN_URL}?session_id={session['id']}"
    for path in ("paid", "webhooks/stripe"):
        url = f"http://{shop.daemon.http}/{path}?session_id={session['id']}"
        assert plain_http.get(url, timeout=10).status_code in (404, 405)

    assert shop.row(payment.id) == before
    shop.stripe.release()
    shop.client.wait_for(payment.id, "COMPLETED")


def test_without_a_return_url_no_payment_begins(shop: Shop) -> None:
    request = a_card_request(key="no-return-url", return_url="")

    with pytest.raises(grpc.RpcError) as refused:
        shop.client.call("InitiatePayment", request)

    assert reason_of(refused.value) == "INVALID_FIELD"
    sql = "SELECT 1 FROM payments WHERE idempotency_key = $1"
    assert rows(shop.place, sql, request.idempotency_key) == []


def test_one_key_at_two_daemons_is_one_session(shop: Shop) -> None:
    keys = [str(uuid.uuid4()) for _ in range(10)]
    with (
        running_with_cards(shop.place, shop.stripe) as (_, other),
        ThreadPoolExecutor(2 * len(keys)) as pool,
    ):

        def start(client: Client, key: str) -> str:
            payment = client.call("InitiatePayment", a_card_request(key=key)).payment
            assert payment.next_action.redirect.url
            return str(payment.id)

        here = [pool.submit(start, shop.client, key) for key in keys]
        there = [pool.submit(start, other, key) for key in keys]
        ids = [started.result() for started in here]
        assert [started.result() for started in there] == ids
    shop.stripe.send_webhooks_to(shop.daemon)
    assert [len(shop.stripe.sessions(payment_id)) for payment_id in ids] == [1] * len(keys)
