"""Whatever dies, is lost or comes again: every subscription is provisioned exactly once."""

import signal
import uuid

import httpx
import pytest
import redis
from integration.example.test_example_app import (
    PAYMENTS,
    eventually,
    initiate_for,
    provisions,
    start,
    status_of,
)
from support.daemon import Daemon
from support.event_stream import EventStream
from support.example_app import ExampleApp, Surroundings, a_wish
from support.stack import Stack
from support.waiting import PATIENCE_S
from unit.cli.scripted_daemon import on_plain_asyncio

DIES = "dies after the handler"


@pytest.fixture
def surroundings(daemon: Daemon, stack: Stack) -> Surroundings:
    """A database for each test."""
    return Surroundings.of(daemon, stack.database(f"m{uuid.uuid4().hex}"))


@pytest.fixture(autouse=True)
def new_stream(stream: EventStream) -> None:
    """Without anybody's consumer."""
    on_plain_asyncio(stream.forget_consumer())


def forget(surroundings: Surroundings) -> None:
    """All that Redis knew."""
    with redis.Redis.from_url(surroundings.redis) as client:
        client.flushall()


def kill_between_handler_and_ack(
    surroundings: Surroundings, daemon: Daemon, times: int, *, is_forgetful: bool = False
) -> None:
    """Each time it dies with the effect committed and nothing acknowledged."""
    paid = []
    with ExampleApp(surroundings):
        pass  # Its tables and users are there now.
    for _ in range(times):
        paid.append(initiate_for(surroundings, daemon, "complete")[1])
        assert ExampleApp(surroundings, DIES).wait_ended() == -signal.SIGKILL
        if is_forgetful:
            forget(surroundings)
    with ExampleApp(surroundings):
        eventually(lambda: {status_of(surroundings, one) for one in paid}, {"active"})
        eventually_all_is_acknowledged(surroundings)
    assert {provisions(surroundings, one) for one in paid} == {1}


def eventually_all_is_acknowledged(surroundings: Surroundings) -> None:
    stream = EventStream(surroundings.nats)
    eventually(lambda: on_plain_asyncio(stream.unacknowledged()), 0)


@pytest.mark.parametrize("is_forgetful", [False, True], ids=["redis kept", "redis lost"])
def test_killed_between_the_handler_and_the_acknowledgement(
    surroundings: Surroundings, daemon: Daemon, is_forgetful: bool
) -> None:
    kill_between_handler_and_ack(surroundings, daemon, 3, is_forgetful=is_forgetful)


@pytest.mark.campaign
@pytest.mark.parametrize("is_forgetful", [False, True], ids=["redis kept", "redis lost"])
def test_killed_fifty_times_between_the_handler_and_the_acknowledgement(
    surroundings: Surroundings, daemon: Daemon, is_forgetful: bool
) -> None:
    kill_between_handler_and_ack(surroundings, daemon, 50, is_forgetful=is_forgetful)


def test_everything_delivered_again(surroundings: Surroundings, stream: EventStream) -> None:
    # What it knows of earlier tests is of other databases.
    forget(surroundings)
    with ExampleApp(surroundings) as app, app.client() as client:
        paid = [start(client)["subscriptions"][0]["id"] for _ in range(20)]
        eventually(lambda: {status_of(surroundings, one) for one in paid}, {"active"})
        eventually_all_is_acknowledged(surroundings)
    on_plain_asyncio(stream.forget_consumer())
    forget(surroundings)
    handled = surroundings.rows("SELECT count(*) FROM handled_events")
    with ExampleApp(surroundings):
        eventually_all_is_acknowledged(surroundings)
    assert [provisions(surroundings, one) for one in paid] == [1] * 20
    assert surroundings.rows("SELECT count(*) FROM handled_events") == handled


def test_two_main_apps_provision_once(surroundings: Surroundings) -> None:
    with (
        ExampleApp(surroundings) as one,
        ExampleApp(surroundings) as other,
        one.client() as first,
        other.client() as second,
    ):
        clients = (first, second)
        paid = [start(client)["subscriptions"][0]["id"] for _ in range(10) for client in clients]
        eventually(lambda: {status_of(surroundings, each) for each in paid}, {"active"})
        eventually_all_is_acknowledged(surroundings)
    assert [provisions(surroundings, each) for each in paid] == [1] * 20


def test_a_payment_that_completes_before_its_post_has_returned(surroundings: Surroundings) -> None:
    with ExampleApp(surroundings, "records late") as app, app.client() as client:
        payment = start(client)
    [subscription] = payment["subscriptions"]
    assert (subscription["status"], subscription["payment_id"]) == ("active", payment["id"])
    assert provisions(surroundings, subscription["id"]) == 1


def test_a_payment_that_completes_although_its_post_died(surroundings: Surroundings) -> None:
    wish = a_wish("the-key")
    with ExampleApp(surroundings, "dies before recording") as dying, dying.client() as client:
        with pytest.raises(httpx.TransportError):
            client.post(PAYMENTS, json=wish)
        assert dying.process.wait(PATIENCE_S) == -signal.SIGKILL
    with ExampleApp(surroundings) as app, app.client() as client:
        eventually(lambda: len(surroundings.rows("SELECT 1 FROM provisions")), 1)
        again = client.post(PAYMENTS, json=wish)
    assert again.status_code == 201
    [subscription] = again.json()["subscriptions"]
    assert subscription["status"] == "active"
    assert provisions(surroundings, subscription["id"]) == 1
