"""Canceling a payment by card: closed at Stripe, or paid, never both."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from integration.stripe.shop import Shop, cancel, status_of
from support.cards import a_card_request
from support.daemon import reason_of

EXPIRE = r"/v1/checkout/sessions/\w+/expire"
RACES = 20
#: Calls that one side of a race waits before it runs.
LEAD_MAX = 8


SHOP = {"STRIPE_REQUEST_TIMEOUT_S": "0.5"}
pytestmark = pytest.mark.usefixtures("all_is_well_again")


def refusal(shop: Shop, payment_id: str) -> str:
    """Why the payment is not canceled."""
    with pytest.raises(grpc.RpcError) as refused:
        cancel(shop.client, payment_id)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    return reason_of(refused.value)


def assert_canceled(shop: Shop, payment_id: str) -> None:
    shop.client.wait_for(payment_id, "CANCELED")
    assert [one["status"] for one in shop.stripe.sessions(payment_id)] == ["expired"]
    [event] = shop.published(payment_id)
    assert (event.subject, event.body["reason"]) == ("payment.canceled", "canceled")


def test_a_canceled_payment_is_closed_at_stripe(shop: Shop) -> None:
    payment, _ = shop.start()

    assert status_of(cancel(shop.client, payment.id)) == "CANCELED"

    assert_canceled(shop, payment.id)


def test_canceled_twice_is_canceled_once(shop: Shop) -> None:
    payment, _ = shop.start()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: cancel(shop.client, payment.id), range(8)))
    again = cancel(shop.client, payment.id)

    assert {status_of(one) for one in answers} <= {"CANCELING", "CANCELED"}
    assert status_of(again) == "CANCELED"
    assert_canceled(shop, payment.id)


def test_paid_meanwhile_is_paid(shop: Shop) -> None:
    payment, session = shop.start()
    shop.stripe.webhooks(mode="hold")
    shop.stripe.act(session["id"], "pay")

    assert refusal(shop, payment.id) == "PAYMENT_NOT_CANCELABLE"

    assert status_of(shop.client.get(payment.id)) == "COMPLETED"
    shop.stripe.release(duplicates=1)
    assert refusal(shop, payment.id) == "PAYMENT_NOT_CANCELABLE"
    assert shop.subjects(payment.id) == ["payment.completed"]


def test_money_on_its_way_is_not_canceled(shop: Shop) -> None:
    payment, session = shop.start()
    shop.stripe.webhooks(mode="hold")
    shop.stripe.act(session["id"], "pay_async")

    assert refusal(shop, payment.id) == "PAYMENT_NOT_CANCELABLE"
    assert status_of(shop.client.get(payment.id)) == "PROCESSING"
    assert refusal(shop, payment.id) == "PAYMENT_NOT_CANCELABLE"

    shop.stripe.release()
    shop.stripe.webhooks(mode="deliver")
    shop.stripe.act(session["id"], "async_succeed")
    shop.client.wait_for(payment.id, "COMPLETED")
    assert shop.subjects(payment.id) == ["payment.completed"]


def test_expired_meanwhile_is_canceled_by_wish(shop: Shop) -> None:
    payment, session = shop.start()
    shop.stripe.webhooks(mode="hold")
    shop.stripe.act(session["id"], "expire")

    assert status_of(cancel(shop.client, payment.id)) == "CANCELED"

    shop.stripe.release()
    assert_canceled(shop, payment.id)


@pytest.mark.parametrize("kind", ["timeout_before", "timeout_after", "reset", "500_before", "429"])
def test_without_an_answer_of_stripe_recovery_cancels(shop: Shop, kind: str) -> None:
    payment, _ = shop.start()
    shop.stripe.webhooks(mode="drop")
    shop.stripe.fault(kind, EXPIRE, hold_s=1)

    assert status_of(cancel(shop.client, payment.id)) == "CANCELING"

    shop.look(payment.id)
    assert_canceled(shop, payment.id)


def test_paid_while_the_close_got_no_answer_is_paid(shop: Shop) -> None:
    payment, session = shop.start()
    shop.stripe.webhooks(mode="drop")
    shop.stripe.fault("reset", EXPIRE)
    assert status_of(cancel(shop.client, payment.id)) == "CANCELING"

    shop.stripe.act(session["id"], "pay")
    shop.look(payment.id)

    shop.client.wait_for(payment.id, "COMPLETED")
    assert shop.subjects(payment.id) == ["payment.completed"]


@pytest.mark.parametrize("kind", ["500_after", "timeout_after", "timeout_before"])
def test_a_wish_before_the_session_is_known_closes_it(shop: Shop, kind: str) -> None:
    shop.stripe.webhooks(mode="drop")
    shop.stripe.fault(kind, times=2, hold_s=1)
    payment = shop.client.call("InitiatePayment", a_card_request()).payment
    assert status_of(payment) == "CREATING"

    assert status_of(cancel(shop.client, payment.id)) == "CANCELING"

    shop.look(payment.id)
    assert_canceled(shop, payment.id)


def test_pay_and_cancel_at_once_is_one_of_both(shop: Shop) -> None:
    ends = [race(shop, seed) for seed in range(RACES)]

    assert set(ends) == {"COMPLETED", "CANCELED"}


def race(shop: Shop, seed: int) -> str:
    """How the payment ends; one side goes a little ahead, by the seed."""
    payment, session = shop.start()
    lead = random.Random(seed).randint(-LEAD_MAX, LEAD_MAX)

    def pay() -> bool:
        wait(shop, payment.id, -lead)
        url = f"/_control/sessions/{session['id']}/pay"
        return shop.stripe.http.post(url).status_code == 200

    def call_off() -> Any:
        wait(shop, payment.id, lead)
        try:
            return status_of(cancel(shop.client, payment.id))
        except grpc.RpcError as error:
            return reason_of(error)

    with ThreadPoolExecutor(2) as pool:
        paying, canceling = pool.submit(pay), pool.submit(call_off)
        has_paid, answer = paying.result(), canceling.result()
    end = status_of(shop.client.wait_for(payment.id, "COMPLETED", "CANCELED"))
    [only] = shop.stripe.sessions(payment.id)
    assert (end, answer, only["status"]) == (
        ("COMPLETED", "PAYMENT_NOT_CANCELABLE", "complete")
        if has_paid
        else ("CANCELED", "CANCELED", "expired")
    ), f"seed {seed}"
    assert shop.subjects(payment.id) == [f"payment.{end.lower()}"], f"seed {seed}"
    return end


def wait(shop: Shop, payment_id: str, calls: int) -> None:
    """As long as so many calls take."""
    for _ in range(calls):
        shop.client.get(payment_id)
