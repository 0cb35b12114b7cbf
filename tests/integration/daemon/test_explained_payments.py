"""ExplainPayment and SyncPayment on a real daemon and database, for apps and operators."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from payd_client.proto import payment_pb2 as pb
from support.daemon import Client, Daemon, Place, running_daemon, wait_until_published


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    with running_daemon(module_place) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


def explain(client: Client, payment: Any, **fields: Any) -> Any:
    """What payd says about a payment."""
    request = pb.ExplainPaymentRequest(payment_id=payment.id, **fields)
    return client.call("ExplainPayment", request).explanation


def test_an_open_payment_waits_for_its_customer(client: Client) -> None:
    payment = client.initiate(scenario="pending")
    found = explain(client, payment)
    assert found.status == pb.PAYMENT_STATUS_PENDING
    assert found.waiting_for.actor == pb.WAITING_FOR_ACTOR_CUSTOMER
    assert found.summary.startswith("The customer has not paid yet: ")
    assert found.HasField("next_look_time")
    assert [step.changes[0].after for step in found.steps] == ["CREATING", "PENDING"]
    assert f"payd payments sync {payment.id}" in [one.command for one in found.advice]


def test_a_paid_and_refunded_payment_tells_its_whole_story(
    module_place: Place, client: Client
) -> None:
    payment = client.wait_for(client.initiate().id, "COMPLETED")
    request = pb.RefundPaymentRequest(
        payment_id=payment.id, idempotency_key=str(uuid.uuid4()), reason="node was down"
    )
    refund = client.call("RefundPayment", request).refund
    wait_until_published(module_place)

    found = explain(client, payment)

    story = " ".join(step.what for step in found.steps)
    assert "The payment is complete: 149.00 USD is confirmed." in story
    assert f'Refund {refund.id} of 149.00 USD was requested: "node was down".' in story
    assert "payment.completed was published" in story
    times = [(step.time.seconds, step.time.nanos) for step in found.steps]
    assert times == sorted(times)
    [paid] = [step for step in found.steps if "The payment is complete" in step.what]
    assert "report " in paid.source, paid

    before = explain(client, payment, at_time=payment.create_time)
    assert (len(before.steps), list(before.advice)) == (1, [])
    assert before.status == pb.PAYMENT_STATUS_CREATING


def test_an_operator_is_named_where_a_sync_brings_news(daemon: Daemon, client: Client) -> None:
    payment = client.initiate(scenario="pending")
    with daemon.client("operator") as operator:
        synced = operator.call("SyncPayment", pb.SyncPaymentRequest(payment_id=payment.id)).payment
        assert synced.id == payment.id
        again = client.call("SyncPayment", pb.SyncPaymentRequest(payment_id=payment.id)).payment
        assert again.version == synced.version
        last = explain(operator, payment).steps[-1]
    if synced.version > payment.version:
        assert last.actor.startswith("operator:operator")
        assert "payd asked mock. The status check brought nothing new" in last.what
