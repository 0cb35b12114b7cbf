"""A refund without an answer, while Stripe recognises a repetition (23 hours), and after that.

The clock of another process cannot be turned, so the refund's own times are.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from integration.stripe.refunding import (
    REFUNDS,
    a_paid,
    a_refund,
    assert_sums_agree,
    at_stripe,
    check_now,
    of_refunds,
    refund,
    refunds_of,
    refusal,
    status_of_refund,
    stripes_sum,
    wait_refunds,
)
from integration.stripe.shop import Json, Shop, an_event
from payd_client.proto import payment_pb2 as pb
from support.daemon import Client, reason_of, rows
from support.waiting import wait_until

SHOP = {"STRIPE_REQUEST_TIMEOUT_S": "1", "GRPC_OPERATOR_CNS": "operator"}
pytestmark = pytest.mark.usefixtures("all_is_well_again")
WINDOW_HOURS = 23


@pytest.fixture
def operator(shop: Shop) -> Iterator[Client]:
    with shop.daemon.client("operator") as client:
        yield client


def paid(shop: Shop) -> tuple[Any, Json]:
    """A payment that has been paid, of which no webhook comes from now on."""
    shop.stripe.webhooks(mode="deliver")
    made = a_paid(shop)
    shop.stripe.webhooks(mode="drop")
    return made


def lost(shop: Shop, fault: str) -> tuple[Any, Json, Any]:
    """A payment, its session, and its refund without an answer."""
    payment, session = paid(shop)
    shop.stripe.fault(fault, REFUNDS, times=2, hold_s=2)
    made = refund(shop.client, payment.id, 100)
    assert status_of_refund(made) == "CREATING"
    return payment, session, made


def age(shop: Shop, made: Any, **by: int) -> None:
    """So much time has passed since the refund was requested."""
    sql = """
        UPDATE refunds SET create_time = create_time - make_interval(hours => $2, mins => $3)
        WHERE id = $1
    """
    rows(shop.place, sql, uuid.UUID(made.id), by.get("hours", 0), by.get("minutes", 0))


def sent(shop: Shop, made: Any) -> list[str]:
    """The keys with which it was sent, one for each time."""
    asked = shop.stripe.ask("requests")["requests"]
    keys = [one["idempotency_key"] or "" for one in asked if one["path"] == REFUNDS]
    return [key for key in keys if made.id in key]


def listed(shop: Shop) -> int:
    """How often refunds were listed."""
    asked = shop.stripe.ask("requests")["requests"]
    return sum(one["method"] == "GET" and one["path"] == REFUNDS for one in asked)


def is_listed_again(shop: Shop, payment_id: str) -> None:
    """Recovery has looked at Stripe once more, and has ended its look."""
    before = listed(shop)
    check_now(shop, payment_id)
    wait_until(lambda: listed(shop) > before, "payd lists the refunds")
    sql = "SELECT 1 FROM refunds WHERE payment_id = $1 AND next_look_time > now()"
    wait_until(lambda: rows(shop.place, sql, uuid.UUID(payment_id)), "the look has ended")


def test_within_the_window_it_is_sent_again_with_the_same_key(shop: Shop) -> None:
    payment, session, made = lost(shop, "timeout_before")
    age(shop, made, hours=WINDOW_HOURS - 1, minutes=58)
    check_now(shop, payment.id)

    [found] = wait_refunds(shop.client, payment.id, "SUCCEEDED")

    assert found.id == made.id
    assert set(sent(shop, made)) == {f"payd:{made.id}:refund:v1"}
    assert len(at_stripe(shop.stripe, session)) == 1
    assert_sums_agree(shop, payment.id, session)


def test_after_the_window_it_is_looked_for_and_never_sent_again(shop: Shop) -> None:
    payment, session, made = lost(shop, "timeout_before")
    age(shop, made, hours=WINDOW_HOURS)
    before = sent(shop, made)

    for _ in range(3):
        is_listed_again(shop, payment.id)

    assert sent(shop, made) == before
    assert at_stripe(shop.stripe, session) == []
    [found] = refunds_of(shop.client, payment.id)
    assert status_of_refund(found) == "CREATING"
    due = payment.amount.minor_units
    assert refusal(shop.client, a_refund(payment.id, due - 99)) == "REFUND_EXCEEDS_PAID"
    assert list(shop.client.get(payment.id).attention) == ["STUCK"]


def test_a_refund_that_is_stuck_for_an_hour_is_published_and_found_all_the_same(shop: Shop) -> None:
    payment, session, made = lost(shop, "timeout_after")
    [there] = at_stripe(shop.stripe, session)
    # As if Stripe's list did not have it yet.
    shop.stripe.fault("500_before", REFUNDS, method="GET", times=100)
    age(shop, made, hours=WINDOW_HOURS)
    check_now(shop, payment.id)
    wait_until(lambda: "STUCK" in shop.client.get(payment.id).attention, "the refund is stuck")
    assert "payment.attention" not in shop.subjects(payment.id)

    sql = """
        UPDATE payments SET attention_records = jsonb_set(
            attention_records, '{0,since}', to_jsonb((now() - interval '1 hour')::text)
        ) WHERE id = $1
    """
    rows(shop.place, sql, uuid.UUID(payment.id))
    check_now(shop, payment.id)
    wait_until(lambda: "payment.attention" in shop.subjects(payment.id), "it is published")
    [event] = [one for one in shop.published(payment.id) if one.subject == "payment.attention"]
    assert event.body["reason"] == "STUCK"

    shop.stripe.http.delete("/_control/faults")
    check_now(shop, payment.id)
    [found] = wait_refunds(shop.client, payment.id, "SUCCEEDED")
    assert found.provider_reference == there["id"]
    assert list(shop.client.get(payment.id).attention) == []
    assert_sums_agree(shop, payment.id, session)


# -- an operator settles it ----------------------------------------------------------------------


def settle(operator: Client, made: Any, outcome: str, **more: str) -> Any:
    request = pb.SettleRefundRequest(
        refund_id=made.id,
        outcome=f"REFUND_STATUS_{outcome}",
        note="looked in the dashboard",
        **more,
    )
    return operator.call("SettleRefund", request, x_actor="ada").refund


def test_within_the_window_nobody_settles_it(shop: Shop, operator: Client) -> None:
    _, _, made = lost(shop, "500_failed")
    age(shop, made, hours=WINDOW_HOURS - 1, minutes=58)
    with pytest.raises(grpc.RpcError) as refused:
        settle(operator, made, "FAILED")
    assert reason_of(refused.value) == "NOT_REFUNDABLE"


def test_after_the_window_an_operator_frees_the_amount(shop: Shop, operator: Client) -> None:
    payment, session, made = lost(shop, "500_failed")
    age(shop, made, hours=WINDOW_HOURS)

    failed = settle(operator, made, "FAILED")

    assert (status_of_refund(failed), failed.failure.code) == ("FAILED", "settled")
    again = refund(shop.client, payment.id)
    assert (status_of_refund(again), again.amount) == ("SUCCEEDED", payment.amount)
    assert of_refunds(shop.published(payment.id)) == [
        ("payment.refund_failed", made.id),
        ("payment.refunded", again.id),
    ]
    sql = """
        SELECT actor, value
        FROM payment_events JOIN payment_personal_values USING (payment_id, version)
        WHERE payment_id = $1 AND event_type = 'refund_failed'
    """
    [row] = rows(shop.place, sql, uuid.UUID(payment.id))
    assert row["actor"] == "operator:operator/ada"
    assert "looked in the dashboard" in row["value"]
    assert_sums_agree(shop, payment.id, session)


def test_a_refund_made_by_hand_is_the_settled_one_and_counts_once(
    shop: Shop, operator: Client
) -> None:
    payment, session, made = lost(shop, "500_failed")
    age(shop, made, hours=WINDOW_HOURS)
    shop.stripe.act(session["id"], "refund", amount=100)
    [there] = at_stripe(shop.stripe, session)

    succeeded = settle(operator, made, "SUCCEEDED", reference=there["id"])

    assert (status_of_refund(succeeded), succeeded.provider_reference) == ("SUCCEEDED", there["id"])
    assert shop.settle(an_event("refund.updated", there)) == ["applied"]
    [found] = refunds_of(shop.client, payment.id)
    assert (found.id, status_of_refund(found)) == (made.id, "SUCCEEDED")
    assert of_refunds(shop.published(payment.id)) == [("payment.refunded", made.id)]
    assert list(shop.client.get(payment.id).attention) == []
    assert_sums_agree(shop, payment.id, session)


def test_what_stripe_reports_against_a_settlement_is_for_a_person_and_counts_once(
    shop: Shop, operator: Client
) -> None:
    payment, session, made = lost(shop, "500_failed")
    age(shop, made, hours=WINDOW_HOURS)
    settle(operator, made, "FAILED")
    shop.stripe.act(session["id"], "refund", amount=100)
    [there] = at_stripe(shop.stripe, session)
    ours = {**there, "metadata": {"payment_id": payment.id, "refund_id": made.id}}

    assert shop.settle(an_event("refund.updated", ours)) == ["applied"]

    said = shop.client.get(payment.id)
    assert "CONFLICTING_EVIDENCE" in said.attention
    assert said.refunded.minor_units == stripes_sum(shop.stripe, session) == 100
