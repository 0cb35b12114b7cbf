"""What must be seen nowhere: a card's number, a customer's address, Stripe's keys (I16)."""

import json
import re
import uuid
from typing import Any

import attrs
import grpc
import pytest
from integration.stripe.shop import SETTINGS, Json, Shop, paid_event
from payd_client.proto import payment_pb2 as pb
from support import plain_http
from support.cards import SECRET_KEY, WEBHOOK_SECRET, StandIn, a_card_request, running_with_cards
from support.daemon import Daemon, Place, events, reason_of, rows, running_daemon
from support.waiting import wait_until

CARD, EMAIL, NAME = "4242424242424242", "planted@customer.example", "Planted Name-of-Customer"
PLANTED = (CARD, EMAIL, NAME)
#: Log everything and keep raw webhooks: no personal data may appear even then.
SHOP = SETTINGS | {"LOG_LEVEL": "debug", "PAYD_INBOX_RAW_RETENTION_DAYS": "1"}
OTHER_KEY = "sk_test_planted_that_stripe_refuses_0123456789"
#: The checkpoints of the audit trail are counted.
COUNTED = ("audit_checkpoints", "number")
CARD_WORDS = {"card", "pan", "cvc", "cvv", "csc", "iban", "expiry", "cardholder", "number"}


def planted_in(session: Json) -> Json:
    """Its completion, with more data of the customer than Stripe would send."""
    details = {"email": EMAIL, "name": NAME, "phone": CARD, "address": {"line1": NAME}}
    return paid_event(
        session,
        customer_details=details,
        customer_email=EMAIL,
        custom_fields=[{"key": "card", "text": {"value": CARD}}],
        metadata={**session["metadata"], "note": CARD, "name": NAME},
    )


def texts(place: Place) -> dict[str, str]:
    """All that the database holds, by column; bytes as the text that they are."""
    asked: dict[str, list[str]] = {}
    for table, column, kind in columns(place):
        text = f'"{column}"::text' if kind != "bytea" else f"encode(\"{column}\", 'escape')"
        asked.setdefault(table, []).append(f'string_agg({text}, chr(10)) AS "{column}"')
    found: dict[str, str] = {}
    for table, parts in asked.items():
        [row] = rows(place, f'SELECT {", ".join(parts)} FROM "{table}"')
        found |= {f"{table}.{column}": str(text) for column, text in row.items()}
    return found


def columns(place: Place) -> list[tuple[str, str, str]]:
    sql = """
        SELECT table_name, column_name, data_type FROM information_schema.columns
        WHERE table_schema = 'public'
    """
    return [tuple(row.values()) for row in rows(place, sql)]


def where(place: Place, *needles: str) -> set[str]:
    """The columns that hold one of them."""
    found = texts(place)
    return {name for name, text in found.items() if any(needle in text for needle in needles)}


def log_of(daemon: Daemon) -> str:
    return json.dumps(daemon.lines, ensure_ascii=False)


def assert_in_no_event(place: Place, *needles: str) -> None:
    published = events(place)
    assert published
    text = json.dumps(
        [attrs.asdict(event) for event in published], default=dict, ensure_ascii=False
    )
    assert [needle for needle in needles if needle in text] == []


def test_customer_data_in_a_webhook_stays_in_its_raw_body_and_is_deleted_with_it(
    shop: Shop,
) -> None:
    payment, session = shop.start()
    event = planted_in(session)

    assert shop.settle(event) == ["applied"]
    shop.client.wait_for(payment.id, "COMPLETED")
    shop.published(payment.id)

    assert_in_no_event(shop.place, *PLANTED)
    assert where(shop.place, *PLANTED) == {"inbox.raw_body"}
    assert_in_no_log(shop.daemon, *PLANTED)
    sql = "UPDATE inbox SET receive_time = now() - interval '25 hours' WHERE event_id = $1"
    rows(shop.place, sql, event["id"])
    # Retention has its turn when a daemon starts.
    with running_daemon(shop.place, **SHOP) as other:
        wait_until(lambda: where(shop.place, *PLANTED) == set(), "the bytes are gone")
    assert_in_no_log(other, *PLANTED)
    assert shop.post(event).json()["new"] == 0
    assert where(shop.place, *PLANTED) == set()


def assert_in_no_log(daemon: Daemon, *needles: str) -> None:
    text = log_of(daemon)
    assert "daemon_started" in text
    assert [needle for needle in needles if needle in text] == []


def test_a_forgotten_customer_is_in_no_column_and_a_repeated_webhook_brings_nothing_back(
    shop: Shop,
) -> None:
    email, url = "forget-me@customer.example", "https://shop.example/forget-me"
    customer = pb.Customer(id="user-to-forget", email=email)
    payment, session = shop.start(customer=customer, return_url=url)
    event = paid_event(session, customer_email=email)
    assert shop.settle(event) == ["applied"]
    shop.client.wait_for(payment.id, "COMPLETED")
    shop.published(payment.id)
    found = {"customers.email", "inbox.raw_body", "payments.return_url", "payments.parameters"}
    assert where(shop.place, email, url) >= found

    with shop.daemon.client("operator") as operator:
        operator.call("ForgetCustomer", pb.ForgetCustomerRequest(customer_id=customer.id))

    assert where(shop.place, email, url) == set()
    assert shop.post(event).json()["new"] == 0
    assert where(shop.place, email, url) == set()
    assert shop.client.get(payment.id).status == pb.PAYMENT_STATUS_COMPLETED
    assert_in_no_log(shop.daemon, email, url)


def test_young_bytes_are_kept(shop: Shop) -> None:
    _, session = shop.start()
    event = paid_event(session)
    old = paid_event(session)
    shop.settle(event, old)
    sql = "UPDATE inbox SET receive_time = now() - interval '25 hours' WHERE event_id = $1"
    rows(shop.place, sql, old["id"])
    sql = "SELECT raw_body FROM inbox WHERE event_id = $1"

    with running_daemon(shop.place, **SHOP):
        wait_until(lambda: rows(shop.place, sql, old["id"])[0]["raw_body"] is None, "it is gone")

    assert json.loads(rows(shop.place, sql, event["id"])[0]["raw_body"]) == event


def test_a_refused_webhook_leaves_nothing(shop: Shop) -> None:
    _, session = shop.start()
    before = rows(shop.place, "SELECT count(*) FROM inbox")
    event = planted_in(session)
    bodies: list[tuple[Any, str]] = [
        (event, "whsec_wrong"),
        (f"{CARD} {EMAIL} {NAME}".encode(), WEBHOOK_SECRET),
        ({**event, "id": f"{CARD} {EMAIL}"}, WEBHOOK_SECRET),
        ({**event, "type": NAME}, WEBHOOK_SECRET),
        ({**event, "created": CARD}, WEBHOOK_SECRET),
    ]

    answers = [shop.post(body, secret) for body, secret in bodies]

    assert [answer.status_code for answer in answers] == [400] * len(bodies)
    for answer in answers:
        assert [needle for needle in PLANTED if needle in answer.text] == []
    assert rows(shop.place, "SELECT count(*) FROM inbox") == before
    assert_in_no_log(shop.daemon, *PLANTED)


def test_no_column_is_for_a_card(shop: Shop) -> None:
    named = {(table, column) for table, column, _ in columns(shop.place)} - {COUNTED}

    assert named
    assert [one for one in named if CARD_WORDS & set(re.split(r"_", one[1]))] == []


def test_stripes_keys_are_in_no_log_event_row_metric_or_error(
    place: Place, stripe: StandIn
) -> None:
    secrets = (SECRET_KEY, WEBHOOK_SECRET, OTHER_KEY, OTHER_KEY[-12:])
    request = a_card_request()
    wrong = SHOP | {"STRIPE_SECRET_KEY": OTHER_KEY}
    with running_with_cards(place, stripe, **wrong) as (refused, client):
        # Stripe's refusal quotes the key.
        with pytest.raises(grpc.RpcError) as error:
            client.call("InitiatePayment", request)
        assert reason_of(error.value) == "PROVIDER_UNAVAILABLE"
        shown = f"{error.value.details()} {error.value.trailing_metadata()}"
        assert [secret for secret in secrets if secret in shown] == []
    with running_with_cards(place, stripe, **SHOP) as (daemon, client):
        shop = Shop(place=place, stripe=stripe, daemon=daemon, client=client)
        stripe.fault("500_before")
        payment, session = shop.start(key=str(uuid.uuid4()))
        stripe.act(session["id"], "pay")
        client.wait_for(payment.id, "COMPLETED")
        shop.published(payment.id)
        assert shop.post({"id": SECRET_KEY}, "whsec_wrong").status_code == 400
        assert_in_no_event(place, *secrets)
        metrics = metrics_of(daemon)
    assert [secret for secret in secrets if secret in metrics] == []
    assert where(place, *secrets) == set()
    for one in (refused, daemon):
        assert_in_no_log(one, *secrets)


def metrics_of(daemon: Daemon) -> str:
    return plain_http.get(f"http://{daemon.metrics}/metrics", timeout=10).text
