"""Answers and webhooks that never come: a payment by card still becomes what it is at Stripe."""

import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from integration.stripe.shop import SETTINGS, Shop, status_of
from support.cards import StandIn, a_card_request, running_with_cards, stand_in
from support.daemon import Place, reason_of, rows
from support.waiting import PATIENCE_S, wait_until

SESSIONS = "/v1/checkout/sessions"
#: Errors that a caller may get, and answers by repeating the call.
AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
NEVER = "next_look_time = now() + interval '1 day'"


SHOP = {"STRIPE_REQUEST_TIMEOUT_S": "0.5"}
pytestmark = pytest.mark.usefixtures("all_is_well_again")


# -- webhooks that never come ------------------------------------------------------------------


def test_without_a_webhook_a_look_completes(shop: Shop) -> None:
    payment, session = shop.start()
    shop.stripe.webhooks(mode="drop")
    shop.stripe.act(session["id"], "pay")

    shop.look(payment.id)

    shop.client.wait_for(payment.id, "COMPLETED")
    assert actors(shop, payment.id)[-1] == ("payment_completed", "recovery")
    assert shop.subjects(payment.id) == ["payment.completed"]


@pytest.mark.parametrize(
    ("deeds", "end"),
    [
        (("pay",), "COMPLETED"),
        (("pay_async",), "PROCESSING"),
        (("pay_async", "async_succeed"), "COMPLETED"),
        (("pay_async", "async_fail"), "FAILED"),
        (("expire",), "EXPIRED"),
    ],
)
def test_without_webhooks_a_look_sees_what_became_of_it(
    shop: Shop, deeds: tuple[str, ...], end: str
) -> None:
    payment, session = shop.start()
    shop.stripe.webhooks(mode="drop")
    for deed in deeds:
        shop.stripe.act(session["id"], deed)

    shop.look(payment.id)

    shop.client.wait_for(payment.id, end)


def test_a_session_lives_until_its_time_has_come_by_stripes_clock_too(shop: Shop) -> None:
    """payd's clock is two hours ahead of Stripe's when it takes the payment for expired."""
    payment, _ = shop.start()
    shop.stripe.order("clock", advance_s=-7200)
    try:
        shop.set(payment.id, "expire_time = now() - interval '1 second'")
        shop.look(payment.id)
        later = datetime.now(UTC) + timedelta(minutes=50)
        row = shop.wait_row(payment.id, lambda row: row["next_look_time"] > later, "a later look")
        assert row["status"] == "PENDING"
        assert [one["status"] for one in shop.stripe.sessions(payment.id)] == ["open"]
    finally:
        shop.stripe.order("clock", advance_s=7200)

    shop.look(payment.id)

    shop.client.wait_for(payment.id, "EXPIRED")
    assert shop.stripe.payable(payment.id) == []


@pytest.mark.parametrize("deed", ["refund", "dispute"])
def test_without_webhooks_and_status_checks_the_scan_finds_every_event(
    shop: Shop, deed: str
) -> None:
    payment, session = shop.start()
    shop.set(payment.id, NEVER)
    shop.stripe.webhooks(mode="drop")
    shop.stripe.act(session["id"], "pay")
    shop.stripe.act(session["id"], deed)
    before = shop.metric("payd_scanned_events_total", provider="stripe")

    shop.scan()

    shop.client.wait_for(payment.id, "COMPLETED")
    row = shop.wait_row(payment.id, lambda row: row["attention"], "attention")
    reason, subject = {
        "refund": ("REFUNDED_EXTERNALLY", "payment.refunded"),
        "dispute": ("DISPUTED", "payment.disputed"),
    }[deed]
    assert list(row["attention"]) == [reason]
    assert ("payment_completed", "provider:stripe") in actors(shop, payment.id)
    # Reports that come together are worked on at once, in no order.
    reported = ["payment.attention", "payment.completed", subject]
    assert sorted(shop.subjects(payment.id)) == reported
    assert shop.metric("payd_scanned_events_total", provider="stripe") >= before + 2


def test_an_event_that_a_webhook_delivered_is_not_counted_again_by_the_scan(shop: Shop) -> None:
    payment, session = shop.start()
    shop.stripe.act(session["id"], "pay")
    shop.client.wait_for(payment.id, "COMPLETED")
    counted = "SELECT event_id FROM inbox GROUP BY event_id HAVING count(*) > 1"

    shop.scan()
    shop.scan()

    assert rows(shop.place, counted) == []
    assert shop.subjects(payment.id) == ["payment.completed"]
    assert list(shop.row(payment.id)["attention"]) == []


def actors(shop: Shop, payment_id: str) -> list[tuple[str, str]]:
    """What happened to the payment, by whom."""
    sql = "SELECT event_type, actor FROM payment_events WHERE payment_id = $1 ORDER BY version"
    found = rows(shop.place, sql, uuid.UUID(payment_id))
    return [(row["event_type"], row["actor"]) for row in found]


# -- answers that never come -------------------------------------------------------------------


def test_a_session_whose_creation_was_answered_500_is_found_and_adopted(shop: Shop) -> None:
    shop.stripe.fault("500_after")

    payment = shop.client.call("InitiatePayment", a_card_request()).payment
    assert status_of(payment) == "CREATING"
    shop.look(payment.id)

    adopted = shop.client.wait_for(payment.id, "PENDING")
    [session] = shop.stripe.sessions(payment.id)
    assert adopted.provider_reference == session["id"]
    assert adopted.next_action.redirect.url == session["url"]
    assert_payable(shop, payment.id)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    "kind",
    ["timeout_before", "timeout_after", "reset", "429", "500_before", "slow"],
)
def test_whatever_goes_wrong_at_the_create_there_is_one_session(
    shop: Shop, kind: str, times: int
) -> None:
    shop.stripe.fault(kind, times=times, hold_s=0.8)

    payment = insist(shop, a_card_request())

    assert payment.next_action.redirect.url
    assert_payable(shop, payment.id)


def test_a_failure_that_stripe_repeats_for_ever_ends_with_the_time_to_pay(shop: Shop) -> None:
    """Nothing was made, and the answer that says so is kept for a day under our key."""
    shop.stripe.fault("500_failed")
    payment = shop.client.call("InitiatePayment", a_card_request()).payment
    before = len(logged(shop.stripe))
    shop.look(payment.id)
    wait_until(lambda: len(logged(shop.stripe)) > before, "it is sent again")
    assert status_of(shop.client.get(payment.id)) == "CREATING"

    def is_over() -> bool:
        # Again and again: a look that is under way schedules the next one by itself.
        shop.set(payment.id, "expire_time = least(expire_time, now())")
        shop.look(payment.id)
        return status_of(shop.client.get(payment.id)) == "EXPIRED"

    wait_until(is_over, "EXPIRED")
    assert shop.stripe.sessions(payment.id) == []
    [event] = shop.published(payment.id)
    assert (event.subject, event.body["reason"]) == ("payment.canceled", "expired")


def insist(shop: Shop, request: Any) -> Any:
    """The payment, once it can be paid: the caller calls again, and time passes."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            payment = shop.client.call("InitiatePayment", request).payment
        except grpc.RpcError as error:
            if error.code() not in AGAIN:
                raise
            continue
        if status_of(payment) == "PENDING":
            return payment
        assert status_of(payment) == "CREATING"
        shop.look(payment.id)
    raise AssertionError("it is never PENDING")


def assert_payable(shop: Shop, payment_id: str) -> None:
    """Once, and to its end."""
    [session] = shop.stripe.sessions(payment_id)
    assert [one["id"] for one in shop.stripe.payable(payment_id)] == [session["id"]]
    shop.stripe.act(session["id"], "pay")
    shop.client.wait_for(payment_id, "COMPLETED")
    assert shop.subjects(payment_id) == ["payment.completed"]


def test_while_stripe_is_away_the_caller_gets_a_retry_delay(
    place: Place, stripe: StandIn, tmp_path: Path
) -> None:
    request = a_card_request()
    with running_with_cards(place, stripe) as (_, client):
        stripe.process.kill()
        stripe.process.wait()
        with pytest.raises(grpc.RpcError) as away:
            client.call("InitiatePayment", request)
    assert away.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(away.value) == "PROVIDER_UNAVAILABLE"
    assert retry_delay_s(away.value) > 0
    folder = tmp_path / "back"
    folder.mkdir()
    with stand_in(folder) as back, running_with_cards(place, back) as (_, client):
        payment = client.call("InitiatePayment", request).payment
        assert status_of(payment) == "PENDING"
        assert len(back.payable(payment.id)) == len(rows(place, "SELECT id FROM payments")) == 1


def retry_delay_s(error: grpc.RpcError) -> float:
    """As google.rpc.RetryInfo says."""
    trailers = dict(error.trailing_metadata() or ())
    for detail in Status.FromString(trailers["grpc-status-details-bin"]).details:
        info = RetryInfo()
        if detail.Unpack(info):
            return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    raise AssertionError("no RetryInfo")


def test_a_restart_with_other_settings_sends_the_same_request_again(
    place: Place, stripe: StandIn
) -> None:
    slow = SETTINGS | {"STRIPE_REQUEST_TIMEOUT_S": "0.5"}
    request = a_card_request()
    with running_with_cards(place, stripe, STRIPE_SESSION_TTL_MINUTES="60", **slow) as (_, client):
        stripe.fault("timeout_after", times=2, hold_s=1)
        payment = client.call("InitiatePayment", request).payment
        assert status_of(payment) == "CREATING"
    stripe.fault("500_before", method="GET", times=1)
    with running_with_cards(place, stripe, STRIPE_SESSION_TTL_MINUTES="31", **slow) as (_, client):
        # The lookup fails, so that the create itself is sent again.
        rows(place, "UPDATE payments SET next_look_time = now(), ask_deadline = NULL")
        client.wait_for(payment.id, "PENDING")
        assert creates(stripe)[-1] == {"status": 200, "replayed": True}
        [session] = stripe.sessions()
        stored = client.get(payment.id)
        assert session["expires_at"] == stored.expire_time.seconds
        assert len({call["idempotency_key"] for call in logged(stripe)}) == 1


def logged(stripe: StandIn) -> list[dict[str, Any]]:
    """The requests to create a session."""
    every = stripe.ask("requests")["requests"]
    return [call for call in every if (call["method"], call["path"]) == ("POST", SESSIONS)]


def creates(stripe: StandIn) -> list[dict[str, Any]]:
    """How they were answered."""
    return [{name: call[name] for name in ("status", "replayed")} for call in logged(stripe)]
