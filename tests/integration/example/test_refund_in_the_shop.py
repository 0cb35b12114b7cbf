"""Refunds in the shop: a customer asks, an employee decides, and what was bought ends once."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from integration.example.test_example_app import (
    PAYMENTS,
    a_key,
    add_pending,
    an_event_payment,
    eventually,
    look,
    provisions,
    start,
    status_of,
)
from payd_client.proto import payment_pb2 as pb
from support.daemon import Daemon
from support.event_stream import EventStream
from support.example_app import ExampleApp, Surroundings
from unit.cli.scripted_daemon import on_plain_asyncio

from payd.domain.decide import EventType
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.outcome import Failure
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WISHES = "/api/v1/refund-requests"


def bought(client: httpx.Client) -> dict[str, Any]:
    """A payment whose subscription is active."""
    payment = start(client)
    eventually(lambda: look(client, payment), ("COMPLETED", ["active"]))
    document: dict[str, Any] = client.get(f"{PAYMENTS}/{payment['id']}").json()
    return document


def subscription(client: httpx.Client, subscription_id: str) -> dict[str, Any]:
    found = client.get("/api/v1/subscriptions").json()["subscriptions"]
    return next(one for one in found if one["id"] == subscription_id)


def wish(client: httpx.Client, subscription_id: str) -> httpx.Response:
    return client.post(f"/api/v1/subscriptions/{subscription_id}/refund-request")


def terminations(surroundings: Surroundings, subscription_id: str) -> int:
    sql = "SELECT count(*) FROM terminations WHERE subscription_id = $1"
    return int(surroundings.rows(sql, UUID(subscription_id))[0]["count"])


def waiting(staff: httpx.Client) -> list[str]:
    return [one["payment_id"] for one in staff.get(WISHES).json()["refund_requests"]]


# -- asking and deciding -----------------------------------------------------------------------


def test_a_granted_refund_ends_the_subscription_once_the_money_is_back(
    app: ExampleApp, surroundings: Surroundings, daemon: Daemon, stream: EventStream
) -> None:
    with app.client() as client, app.client("carol") as staff:
        payment = bought(client)
        [one] = payment["subscriptions"]
        for _ in range(2):
            asked = wish(client, one["id"])
            assert (asked.status_code, asked.json()["refund"]) == (200, "requested")
        assert payment["id"] in waiting(staff)

        for _ in range(2):
            granted = staff.post(f"{WISHES}/{payment['id']}/grant")
            assert (granted.status_code, granted.json()["status"]) == (200, "granted")
        eventually(lambda: subscription(client, one["id"])["status"], "ended")
        assert payment["id"] not in waiting(staff)
        now = client.get(f"{PAYMENTS}/{payment['id']}").json()
        assert (now["status"], now["refunded"]) == ("COMPLETED", payment["amount"])
        assert wish(client, one["id"]).json()["reason"] == "NOT_ACTIVE"
    assert terminations(surroundings, one["id"]) == 1
    with daemon.client() as payd:
        assert len(payd.get(payment["id"]).refunds) == 1

    # Every event again: all of them are known.
    on_plain_asyncio(stream.forget_consumer())
    with ExampleApp(surroundings):
        eventually(lambda: on_plain_asyncio(stream.unacknowledged()), 0)
    assert status_of(surroundings, one["id"]) == "ended"
    assert terminations(surroundings, one["id"]) == provisions(surroundings, one["id"]) == 1


def test_a_part_of_the_money_ends_nothing_and_the_rest_does(
    app: ExampleApp, surroundings: Surroundings, daemon: Daemon
) -> None:
    """Also when an operator of payd refunds, and not the shop."""
    with app.client() as client, daemon.client() as payd:
        payment = bought(client)
        [one] = payment["subscriptions"]

        def refund(**amount: Any) -> None:
            request = pb.RefundPaymentRequest(
                payment_id=payment["id"], idempotency_key=a_key(), **amount
            )
            payd.call("RefundPayment", request)

        def went_back() -> int:
            notes = client.get("/api/v1/notifications").json()["notifications"]
            return len(
                [n for n in notes if n["kind"] == "refund" and n["payment_id"] == payment["id"]]
            )

        refund(amount=pb.Money(currency_code="USD", minor_units=7450))
        eventually(went_back, 1)
        assert subscription(client, one["id"])["status"] == "active"
        refund()
        eventually(lambda: subscription(client, one["id"])["status"], "ended")
    assert terminations(surroundings, one["id"]) == 1


def test_an_employee_may_refuse(app: ExampleApp) -> None:
    with app.client() as client, app.client("carol") as staff:
        payment = bought(client)
        [one] = payment["subscriptions"]
        wish(client, one["id"])
        refused = staff.post(f"{WISHES}/{payment['id']}/refuse")
        assert (refused.status_code, refused.json()["status"]) == (200, "refused")
        found = subscription(client, one["id"])
        assert (found["status"], found["refund"]) == ("active", "refused")
        assert payment["id"] not in waiting(staff)
        too_late = staff.post(f"{WISHES}/{payment['id']}/grant")
        assert (too_late.status_code, too_late.json()["reason"]) == (404, "NOT_REQUESTED")
        assert wish(client, one["id"]).json()["refund"] == "refused"


def test_only_an_employee_decides_and_only_the_customer_asks(app: ExampleApp) -> None:
    with app.client() as client, app.client("bob") as other:
        payment = bought(client)
        [one] = payment["subscriptions"]
        assert wish(other, one["id"]).status_code == 404
        wish(client, one["id"])
        for method, path in (
            ("GET", WISHES),
            ("POST", f"{WISHES}/{payment['id']}/grant"),
            ("POST", f"{WISHES}/{payment['id']}/refuse"),
        ):
            for user in (client, other):
                refused = user.request(method, path)
                assert (refused.status_code, refused.json()["reason"]) == (403, "NOT_STAFF")
        assert subscription(client, one["id"])["refund"] == "requested"


def test_what_is_not_active_cannot_be_given_back(
    app: ExampleApp, surroundings: Surroundings
) -> None:
    with app.client() as client, app.client("carol") as staff:
        pending = wish(client, add_pending(surroundings))
        assert (pending.status_code, pending.json()["reason"]) == (409, "NOT_ACTIVE")
        assert wish(client, str(uuid.uuid4())).status_code == 404
        unknown = staff.post(f"{WISHES}/{uuid.uuid4()}/grant")
        assert (unknown.status_code, unknown.json()["reason"]) == (404, "NOT_REQUESTED")


def test_a_refund_that_payd_refuses_waits_again_with_its_reason(
    app: ExampleApp, daemon: Daemon
) -> None:
    with app.client() as client, app.client("carol") as staff, daemon.client() as payd:
        payment = bought(client)
        [one] = payment["subscriptions"]
        wish(client, one["id"])
        request = pb.RefundPaymentRequest(payment_id=payment["id"], idempotency_key=a_key())
        payd.call("RefundPayment", request)
        refused = staff.post(f"{WISHES}/{payment['id']}/grant")
        assert (refused.status_code, refused.json()["reason"]) == (409, "REFUND_EXCEEDS_PAID")
        assert payment["id"] in waiting(staff)


# -- events ------------------------------------------------------------------------------------


def a_refund(**overrides: Any) -> Refund:
    fields: dict[str, Any] = {
        "id": uuid.uuid4(),
        "status": RefundStatus.SUCCEEDED,
        "amount": 14900,
        "create_time": NOW,
        "update_time": NOW,
    }
    return Refund(**(fields | overrides))


@pytest.fixture
def paid(
    app: ExampleApp, surroundings: Surroundings, stream: EventStream
) -> Callable[..., Payment]:
    """Publish the completion of a payment; returns it."""

    def publish() -> Payment:
        payment = an_event_payment(add_pending(surroundings))
        on_plain_asyncio(stream.publish(payment))
        eventually(lambda: status_of(surroundings, payment.subscription_ids[0]), "active")
        return payment

    return publish


def test_money_that_is_back_before_its_payment_was_seen_starts_nothing(
    app: ExampleApp, surroundings: Surroundings, stream: EventStream
) -> None:
    """As when the completion was a dead letter, and is replayed."""
    refund = a_refund()
    before = an_event_payment(add_pending(surroundings))
    one = before.subscription_ids[0]
    after = an_event_payment(one, id=before.id, refunds=(refund,))
    on_plain_asyncio(stream.publish(after, EventType.REFUNDED, refund_id=refund.id))
    eventually(lambda: status_of(surroundings, one), "ended")
    on_plain_asyncio(stream.publish(before))
    eventually(lambda: on_plain_asyncio(stream.unacknowledged()), 0)
    assert status_of(surroundings, one) == "ended"
    assert provisions(surroundings, one) == terminations(surroundings, one) == 0


def test_a_refund_that_failed_can_be_granted_again_with_another_key(
    app: ExampleApp, surroundings: Surroundings, stream: EventStream
) -> None:
    with app.client() as client, app.client("carol") as staff:
        payment = bought(client)
        [one] = payment["subscriptions"]
        wish(client, one["id"])
        failed = a_refund(
            status=RefundStatus.FAILED,
            idempotency_key=f"refund-{payment['id']}-1",
            failure=Failure(code="lost", message="the bank refused it"),
        )
        event = an_event_payment(one["id"], id=UUID(payment["id"]), refunds=(failed,))
        on_plain_asyncio(stream.publish(event, EventType.REFUND_FAILED, refund_id=failed.id))

        def attempt() -> int:
            sql = "SELECT attempt FROM refund_requests WHERE payment_id = $1"
            return int(surroundings.rows(sql, UUID(payment["id"]))[0]["attempt"])

        eventually(attempt, 2)
        assert payment["id"] in waiting(staff)
        staff.post(f"{WISHES}/{payment['id']}/grant")
        eventually(lambda: subscription(client, one["id"])["status"], "ended")


@pytest.mark.parametrize(
    ("status", "wanted"), [(DisputeStatus.LOST, "ended"), (DisputeStatus.WON, "active")]
)
def test_only_a_lost_dispute_ends_a_subscription(
    app: ExampleApp,
    surroundings: Surroundings,
    stream: EventStream,
    paid: Callable[..., Payment],
    status: DisputeStatus,
    wanted: str,
) -> None:
    payment = paid()
    [one] = payment.subscription_ids
    dispute = Dispute(id="dp_1", status=status, asset="USD", amount=14900, open_time=NOW, as_of=NOW)
    after = an_event_payment(one, id=payment.id, disputes=(dispute,))
    for kind in (EventType.DISPUTED, EventType.DISPUTE_CLOSED):
        on_plain_asyncio(stream.publish(after, kind, dispute_id=dispute.id))
    eventually(lambda: on_plain_asyncio(stream.unacknowledged()), 0)
    eventually(lambda: status_of(surroundings, one), wanted)
    assert terminations(surroundings, one) == (1 if wanted == "ended" else 0)
