"""Refunds of cards through a daemon: in parts, late, failed, in the dashboard, and with faults."""

import threading
import uuid
from typing import Any

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
from integration.stripe.shop import Shop, an_event
from support.daemon import rows
from support.waiting import wait_until

SHOP = {"STRIPE_REQUEST_TIMEOUT_S": "1"}
pytestmark = pytest.mark.usefixtures("all_is_well_again")


# -- by payd -----------------------------------------------------------------------------------


def test_a_part_is_refunded_and_stripe_knows_which_refund_it_is(shop: Shop) -> None:
    payment, session = a_paid(shop)

    made = refund(shop.client, payment.id, 100, reason="requested by customer")

    assert status_of_refund(made) == "SUCCEEDED"
    assert (made.amount.minor_units, made.amount.currency_code) == (100, "USD")
    [there] = at_stripe(shop.stripe, session)
    assert (there["id"], there["amount"]) == (made.provider_reference, 100)
    assert there["metadata"] == {"payment_id": payment.id, "refund_id": made.id}
    assert there["reason"] == "requested_by_customer"
    [sent] = [one for one in shop.stripe.ask("requests")["requests"] if is_refund_of(one, made)]
    assert sent["idempotency_key"] == f"payd:{made.id}:refund:v1"
    said = shop.client.get(payment.id)
    assert (said.refunded.minor_units, list(said.attention)) == (100, [])
    completed, refunded = shop.published(payment.id)
    assert (completed.subject, refunded.subject) == ("payment.completed", "payment.refunded")
    assert refunded.body["refund"]["id"] == made.id
    assert_sums_agree(shop, payment.id, session)


def is_refund_of(request: Any, made: Any) -> bool:
    return request["path"] == REFUNDS and made.id in (request["idempotency_key"] or "")


def test_several_refunds_until_nothing_is_left(shop: Shop) -> None:
    payment, session = a_paid(shop)
    due = payment.amount.minor_units

    parts = [refund(shop.client, payment.id, 100) for _ in range(3)]
    rest = refund(shop.client, payment.id)

    assert rest.amount.minor_units == due - 300
    assert refusal(shop.client, a_refund(payment.id, 1)) == "REFUND_EXCEEDS_PAID"
    assert refusal(shop.client, a_refund(payment.id)) == "REFUND_EXCEEDS_PAID"
    assert [one["amount"] for one in at_stripe(shop.stripe, session)] == [100] * 3 + [due - 300]
    assert_sums_agree(shop, payment.id, session)
    reported = of_refunds(shop.published(payment.id))
    assert sorted(reported) == sorted(("payment.refunded", one.id) for one in (*parts, rest))


def test_more_than_what_is_left_never_reaches_stripe(shop: Shop) -> None:
    payment, session = a_paid(shop)
    due = payment.amount.minor_units

    assert refusal(shop.client, a_refund(payment.id, due + 1)) == "REFUND_EXCEEDS_PAID"

    assert at_stripe(shop.stripe, session) == []


def test_one_key_is_one_refund(shop: Shop) -> None:
    payment, session = a_paid(shop)
    key = str(uuid.uuid4())

    made = [refund(shop.client, payment.id, 100, key=key) for _ in range(3)]

    assert len({one.id for one in made}) == 1
    assert len(at_stripe(shop.stripe, session)) == 1
    other = a_refund(payment.id, 101, key)
    assert refusal(shop.client, other) == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize(
    ("deed", "status", "refunded"),
    [("succeed", "SUCCEEDED", 100), ("fail", "FAILED", 0), ("cancel", "CANCELED", 0)],
)
@pytest.mark.parametrize("begins", ["pending", "requires_action"])
def test_a_refund_on_its_way_ends_by_webhook(
    shop: Shop, begins: str, deed: str, status: str, refunded: int
) -> None:
    payment, _ = a_paid(shop)
    shop.stripe.order("refunds/next", status=begins)
    made = refund(shop.client, payment.id, 100)
    assert status_of_refund(made) == "PENDING"
    assert shop.client.get(payment.id).refunded.minor_units == 0

    if (begins, deed) == ("requires_action", "fail"):
        shop.stripe.order(f"refunds/{made.provider_reference}/fail", reason="declined")
    else:
        shop.stripe.order(f"refunds/{made.provider_reference}/{deed}")

    [after] = wait_refunds(shop.client, payment.id, status)
    assert after.id == made.id
    assert shop.client.get(payment.id).refunded.minor_units == refunded
    if status == "FAILED":
        assert after.failure.code in ("declined", "expired_or_canceled_card")


def test_a_refund_that_fails_later_can_be_refunded_again(shop: Shop) -> None:
    payment, session = a_paid(shop)
    made = refund(shop.client, payment.id)
    assert status_of_refund(made) == "SUCCEEDED"

    shop.stripe.order(f"refunds/{made.provider_reference}/fail", reason="lost_or_stolen_card")

    [failed] = wait_refunds(shop.client, payment.id, "FAILED")
    assert failed.failure.code == "lost_or_stolen_card"
    said = shop.client.get(payment.id)
    assert (said.refunded.minor_units, list(said.attention)) == (0, ["REFUND_FAILED"])
    assert_sums_agree(shop, payment.id, session)
    again = refund(shop.client, payment.id)
    assert status_of_refund(again) == "SUCCEEDED"
    assert_sums_agree(shop, payment.id, session)
    assert of_refunds(shop.published(payment.id)) == [
        ("payment.refunded", made.id),
        ("payment.refund_failed", made.id),
        ("payment.refunded", again.id),
    ]


def test_without_webhooks_a_look_finds_the_end(shop: Shop) -> None:
    payment, _ = a_paid(shop)
    shop.stripe.order("refunds/next", status="pending")
    shop.stripe.webhooks(mode="drop")
    made = refund(shop.client, payment.id, 100)
    shop.stripe.order(f"refunds/{made.provider_reference}/succeed")

    check_now(shop, payment.id)

    wait_refunds(shop.client, payment.id, "SUCCEEDED")


# -- in the dashboard --------------------------------------------------------------------------


def test_a_refund_in_the_dashboard_is_counted_once_and_wants_attention(shop: Shop) -> None:
    payment, session = a_paid(shop)

    there = shop.stripe.act(session["id"], "refund", amount=100)

    [found] = wait_refunds(shop.client, payment.id, "SUCCEEDED")
    assert (found.external, found.provider_reference) == (True, there["id"])
    assert found.amount.minor_units == 100
    assert list(shop.client.get(payment.id).attention) == ["REFUNDED_EXTERNALLY"]
    assert_sums_agree(shop, payment.id, session)
    assert of_refunds(shop.published(payment.id)) == [("payment.refunded", found.id)]
    # Twice by webhooks (the creation and the charge), once more by a look.
    shop.stripe.order(f"refunds/{there['id']}/fail")
    wait_refunds(shop.client, payment.id, "FAILED")
    assert_sums_agree(shop, payment.id, session)


def test_refunds_in_the_dashboard_while_payd_refunds_are_counted_once_each(shop: Shop) -> None:
    payment, session = a_paid(shop)
    due = payment.amount.minor_units
    shop.stripe.order("refunds/next", status="pending", times=2)
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(refund(shop.client, payment.id, 100)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    dashboard = [shop.stripe.act(session["id"], "refund", amount=50) for _ in range(4)]
    for thread in threads:
        thread.join()

    wait_refunds(shop.client, payment.id, *["PENDING"] * 2, *["SUCCEEDED"] * 6)
    for one in at_stripe(shop.stripe, session):
        if one["status"] == "pending":
            shop.stripe.order(f"refunds/{one['id']}/succeed")
    found = wait_refunds(shop.client, payment.id, *["SUCCEEDED"] * 8)
    assert {one.provider_reference for one in found if one.external} == {
        one["id"] for one in dashboard
    }
    assert {one.id for one in found if not one.external} == {one.id for one in made}
    assert_sums_agree(shop, payment.id, session)
    assert shop.client.get(payment.id).refunded.minor_units == 4 * 100 + 4 * 50
    assert len(of_refunds(shop.published(payment.id))) == 8
    rest = refund(shop.client, payment.id)
    assert rest.amount.minor_units == due - 600
    assert_sums_agree(shop, payment.id, session)


def test_what_was_left_is_gone_when_the_dashboard_was_first(shop: Shop) -> None:
    payment, session = a_paid(shop)
    shop.stripe.webhooks(mode="hold")
    shop.stripe.act(session["id"], "refund")

    made = refund(shop.client, payment.id, 100)

    assert (status_of_refund(made), made.failure.code) == ("FAILED", "charge_already_refunded")
    shop.stripe.webhooks(mode="deliver")
    shop.stripe.release()
    wait_refunds(shop.client, payment.id, "FAILED", "SUCCEEDED")
    assert_sums_agree(shop, payment.id, session)


def test_a_report_that_does_not_name_our_refund_is_not_counted_beside_it(shop: Shop) -> None:
    """As if the metadata had been removed in the dashboard, before payd had the answer."""
    payment, session = a_paid(shop)
    shop.stripe.webhooks(mode="drop")
    shop.stripe.fault("timeout_after", REFUNDS, times=2, hold_s=3)
    made = refund(shop.client, payment.id, 100)
    assert status_of_refund(made) == "CREATING"
    [there] = at_stripe(shop.stripe, session)

    assert shop.settle(an_event("refund.updated", {**there, "metadata": {}})) == ["applied"]
    check_now(shop, payment.id)

    def is_one() -> bool:
        statuses = [status_of_refund(one) for one in refunds_of(shop.client, payment.id)]
        return sorted(statuses) in (["SUCCEEDED"], ["FAILED", "SUCCEEDED"])

    wait_until(is_one, "one refund counts")
    assert_sums_agree(shop, payment.id, session)


# -- answers that never come -------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    ["500_before", "500_after", "timeout_before", "timeout_after", "429", "reset", "garbage"],
)
@pytest.mark.parametrize("times", [1, 2])
def test_whatever_the_answer_there_is_one_refund(shop: Shop, fault: str, times: int) -> None:
    payment, session = a_paid(shop)
    shop.stripe.webhooks(mode="drop")
    shop.stripe.fault(fault, REFUNDS, times=times, hold_s=2)

    refund(shop.client, payment.id, 100)

    def is_there() -> bool:
        check_now(shop, payment.id)
        [found] = refunds_of(shop.client, payment.id)
        assert status_of_refund(found) in ("CREATING", "SUCCEEDED")
        return status_of_refund(found) == "SUCCEEDED"

    wait_until(is_there, "the refund succeeds", interval_s=0.3)
    assert len(at_stripe(shop.stripe, session)) == 1
    assert_sums_agree(shop, payment.id, session)
    assert len(of_refunds(shop.published(payment.id))) == 1


def test_the_webhook_of_a_refund_whose_answer_is_lost_is_enough(shop: Shop) -> None:
    payment, session = a_paid(shop)
    shop.stripe.fault("timeout_after", REFUNDS, times=2, hold_s=3)

    made = refund(shop.client, payment.id, 100)

    [found] = wait_refunds(shop.client, payment.id, "SUCCEEDED")
    assert (found.id, found.external) == (made.id, False)
    assert len(at_stripe(shop.stripe, session)) == 1


def test_an_answer_that_stripe_has_lost_for_good_never_becomes_a_failure(shop: Shop) -> None:
    """Stripe replays a 500 without a refund: payd keeps the amount, and does not send it twice."""
    payment, session = a_paid(shop)
    shop.stripe.fault("500_failed", REFUNDS)
    made = refund(shop.client, payment.id, 100)
    before = len(requests_of(shop, made))

    check_now(shop, payment.id)
    wait_until(lambda: len(requests_of(shop, made)) > before, "payd sends it again")

    [found] = refunds_of(shop.client, payment.id)
    assert status_of_refund(found) == "CREATING"
    keys = {one["idempotency_key"] for one in requests_of(shop, made)}
    assert keys == {f"payd:{made.id}:refund:v1"}
    assert at_stripe(shop.stripe, session) == []
    due = payment.amount.minor_units
    assert refusal(shop.client, a_refund(payment.id, due - 99)) == "REFUND_EXCEEDS_PAID"


def requests_of(shop: Shop, made: Any) -> list[Any]:
    return [one for one in shop.stripe.ask("requests")["requests"] if is_refund_of(one, made)]


def test_while_stripe_works_on_a_refund_the_same_call_waits_and_no_second_is_made(
    shop: Shop,
) -> None:
    payment, session = a_paid(shop)
    shop.stripe.fault("slow", REFUNDS, hold_s=3)
    key = str(uuid.uuid4())
    made: list[Any] = []
    threads = [
        threading.Thread(target=lambda: made.append(refund(shop.client, payment.id, 100, key=key)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({one.id for one in made}) == 1
    check_now(shop, payment.id)
    wait_refunds(shop.client, payment.id, "SUCCEEDED")
    assert len(at_stripe(shop.stripe, session)) == 1


# -- what is written ---------------------------------------------------------------------------


def test_a_look_brings_refunds_and_the_fee(shop: Shop) -> None:
    payment, session = shop.start()
    shop.stripe.webhooks(mode="drop")
    shop.stripe.act(session["id"], "pay")
    shop.stripe.act(session["id"], "refund", amount=100)

    shop.look(payment.id)

    said = shop.client.wait_for(payment.id, "COMPLETED")
    assert said.refunded.minor_units == stripes_sum(shop.stripe, session) == 100
    due = said.amount.minor_units
    assert said.fee.minor_units == (due * 29 + 500) // 1000 + 30


def test_every_change_of_a_refund_has_its_audit_row(shop: Shop) -> None:
    payment, _ = a_paid(shop)
    made = refund(shop.client, payment.id, 100)
    shop.stripe.order(f"refunds/{made.provider_reference}/fail")
    wait_refunds(shop.client, payment.id, "FAILED")

    sql = """
        SELECT p.version, count(e.*) AS audited
        FROM payments AS p JOIN payment_events AS e ON e.payment_id = p.id
        WHERE p.id = $1 GROUP BY p.version
    """
    [row] = rows(shop.place, sql, uuid.UUID(payment.id))
    assert row["version"] == row["audited"]
