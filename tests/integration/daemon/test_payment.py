"""A payment from InitiatePayment over mutual TLS to its event in JetStream and its audit trail."""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from payd_client.proto import payment_pb2 as pb
from support.daemon import (
    Client,
    Daemon,
    Place,
    a_request,
    events,
    reason_of,
    rows,
    running_daemon,
    wait_until_published,
)


@pytest.fixture
def daemon(place: Place) -> Iterator[Daemon]:
    with running_daemon(place) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


def test_a_payment_completes_and_publishes_one_event(daemon: Daemon, client: Client) -> None:
    started = client.initiate(metadata={"mock_delay_ms": "300"})
    assert started.status == pb.PAYMENT_STATUS_PENDING
    assert started.next_action.redirect.url
    done = client.wait_for(started.id, "COMPLETED")
    assert done.received == done.amount == pb.Money(currency_code="USD", minor_units=14900)
    [event] = wait_until_published(daemon.place)
    assert event.subject == "payment.completed"
    assert event.body["id"] == started.id
    assert event.body["status"] == "PAYMENT_STATUS_COMPLETED"
    assert event.body["previous_status"] == "PAYMENT_STATUS_PENDING"
    assert event.headers["Nats-Msg-Id"] == event.headers["ce-id"] == event.body["event_id"]
    assert event.headers["ce-type"] == "dev.payd.payment.completed.v1"
    assert event.headers["ce-source"] == f"//payd/test/payments/{started.id}"
    assert json.loads(json.dumps(event.body["amount"])) == {
        "currency_code": "USD",
        "minor_units": "14900",
    }
    trail = rows(daemon.place, "SELECT * FROM payment_events ORDER BY version")
    assert [row["event_type"] for row in trail] == [
        "payment_creating",
        "payment_pending",
        "payment_completed",
    ]
    assert [row["actor"] for row in trail] == ["main-app", "main-app", "provider:mock"]


@pytest.mark.parametrize(
    ("scenario", "status", "attention", "subjects"),
    [
        ("complete", "COMPLETED", [], ["payment.completed"]),
        ("decline", "FAILED", [], ["payment.failed"]),
        ("expire", "EXPIRED", [], ["payment.canceled"]),
        ("pay_late", "COMPLETED", [], ["payment.canceled", "payment.completed"]),
        (
            "pay_twice",
            "COMPLETED",
            ["DUPLICATE_PAYMENT", "OVERPAID"],
            ["payment.completed", "payment.attention"],
        ),
        ("underpay", "EXPIRED", ["UNDERPAID"], ["payment.canceled", "payment.attention"]),
    ],
)
def test_each_scenario_ends_as_the_model_says(
    client: Client,
    place: Place,
    scenario: str,
    status: str,
    attention: list[str],
    subjects: list[str],
) -> None:
    started = client.initiate(scenario=scenario, metadata={"mock_delay_ms": "50"})
    ended = client.wait_for(started.id, status)
    while sorted(ended.attention) != attention or (scenario == "pay_late" and not ended.late):
        ended = client.get(started.id)
    published = wait_until_published(place)
    assert [event.subject for event in published] == subjects
    assert ended.late == (scenario == "pay_late")


def test_two_hundred_identical_calls_make_one_payment(daemon: Daemon, client: Client) -> None:
    request = a_request(scenario="pending")
    with ThreadPoolExecutor(1):
        calls = [client.future("InitiatePayment", request, 60) for _ in range(200)]
        answers = [call.result().payment for call in calls]
    first = answers[0]
    assert all(answer == first for answer in answers)
    assert first.status == pb.PAYMENT_STATUS_PENDING
    assert len(rows(daemon.place, "SELECT id FROM payments")) == 1
    assert len(rows(daemon.place, "SELECT id FROM payment_events")) == 2


def test_two_daemons_make_one_payment_of_one_key(place: Place) -> None:
    request = a_request(scenario="pending")
    with (
        running_daemon(place) as one,
        running_daemon(place) as other,
        one.client() as a,
        other.client() as b,
    ):
        calls = [client.future("InitiatePayment", request) for client in (a, b) * 25]
        ids = {call.result().payment.id for call in calls}
        statuses = {call.result().payment.status for call in calls}
    assert len(ids) == 1
    assert statuses == {pb.PAYMENT_STATUS_PENDING}


def test_the_same_key_with_another_request_is_refused(client: Client) -> None:
    key = str(uuid.uuid4())
    client.initiate(key=key)
    with pytest.raises(grpc.RpcError) as refused:
        client.initiate(key=key, subscription_ids=["another"])
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason_of(refused.value) == "IDEMPOTENCY_KEY_REUSED"


def test_a_payment_is_found_by_its_key_and_by_its_id(client: Client) -> None:
    key = str(uuid.uuid4())
    started = client.initiate(key=key, scenario="pending")
    found = client.call("GetPayment", pb.GetPaymentRequest(idempotency_key=key)).payment
    assert found == client.get(started.id) == started


def test_an_unknown_payment_is_not_found(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.get(str(uuid.uuid4()))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(refused.value) == "PAYMENT_NOT_FOUND"


def test_an_open_payment_is_canceled_once(daemon: Daemon, client: Client) -> None:
    started = client.initiate(scenario="pending")
    cancel = pb.CancelPaymentRequest(payment_id=started.id, reason="changed my mind")
    canceled = client.call("CancelPayment", cancel).payment
    assert canceled.status == pb.PAYMENT_STATUS_CANCELED
    again = client.call("CancelPayment", cancel).payment
    assert again == canceled
    [event] = wait_until_published(daemon.place)
    assert (event.subject, event.body["reason"]) == ("payment.canceled", "canceled")
    wish = rows(
        daemon.place,
        "SELECT value FROM payment_events JOIN payment_personal_values USING (payment_id, version)"
        " WHERE event_type = 'payment_canceling'",
    )
    assert json.loads(wish[0]["value"])["reason"] == "changed my mind"


def test_a_completed_payment_cannot_be_canceled(client: Client) -> None:
    started = client.initiate()
    client.wait_for(started.id, "COMPLETED")
    with pytest.raises(grpc.RpcError) as refused:
        client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=started.id))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refused.value) == "PAYMENT_NOT_CANCELABLE"


def test_an_unpaid_payment_expires_after_a_fresh_look(daemon: Daemon, client: Client) -> None:
    started = client.initiate(scenario="pending")
    # The clock cannot be turned in another process, so the payment's own is.
    rows(
        daemon.place,
        "UPDATE payments SET expire_time = now(), next_look_time = now() WHERE id = $1::uuid",
        uuid.UUID(started.id),
    )
    client.wait_for(started.id, "EXPIRED")
    [event] = wait_until_published(daemon.place)
    assert (event.subject, event.body["reason"]) == ("payment.canceled", "expired")


@pytest.mark.parametrize("scenario", ["timeout_before", "timeout_after"])
def test_an_answer_that_was_lost_is_found_by_recovery(
    daemon: Daemon, client: Client, scenario: str
) -> None:
    started = client.initiate(scenario=scenario)
    assert started.status == pb.PAYMENT_STATUS_CREATING
    rows(daemon.place, "UPDATE payments SET next_look_time = now()")
    client.wait_for(started.id, "COMPLETED")
    assert [event.subject for event in wait_until_published(daemon.place)] == ["payment.completed"]


def test_events_of_several_daemons_are_published_once(place: Place) -> None:
    with running_daemon(place) as one, running_daemon(place), one.client() as client:
        started = [client.initiate() for _ in range(60)]
        for payment in started:
            client.wait_for(payment.id, "COMPLETED")
        published = wait_until_published(place)
    assert sorted(event.body["id"] for event in published) == sorted(p.id for p in started)
    assert len({event.body["event_id"] for event in published}) == len(started)
    assert events(place) == published
