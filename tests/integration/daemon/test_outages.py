"""PostgreSQL and NATS killed under load: errors while away, recovery by itself."""

import signal
import threading
import time
import uuid
from typing import Any

import grpc
from payd_client.proto import payment_pb2 as pb
from support.daemon import Client, Place, a_request, rows, running_daemon, wait_until_published
from support.stack import Stack
from support.waiting import wait_until

#: What a caller may see while something is away, and may answer by the same call again.
AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


class Load:
    """Callers in a closed loop, each repeating a failed call with its key."""

    def __init__(self, client: Client, callers: int = 8) -> None:
        self._client = client
        self._stop = threading.Event()
        self.payments: dict[str, str] = {}
        self.errors: list[Any] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            key = str(uuid.uuid4())
            while key not in self.payments:
                try:
                    answer = self._client.call("InitiatePayment", a_request(key=key), 5)
                    self.payments[key] = answer.payment.id
                except grpc.RpcError as error:
                    self.errors.append(error)
                    time.sleep(0.1)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        assert [error for error in self.errors if error.code() not in AWAY] == []

    def wait_for(self, payments: int) -> None:
        wanted = len(self.payments) + payments
        wait_until(lambda: len(self.payments) >= wanted, "payments go through again")


def assert_all_completed_once(place: Place, client: Client, payments: dict[str, str]) -> None:
    assert len(set(payments.values())) == len(payments)
    for payment_id in payments.values():
        client.wait_for(payment_id, "COMPLETED")
    published = wait_until_published(place)
    completed = [event.body["id"] for event in published if event.subject == "payment.completed"]
    stored = {str(row["id"]) for row in rows(place, "SELECT id FROM payments")}
    assert sorted(completed) == sorted(stored)
    assert set(payments.values()) == stored


def test_postgres_is_killed_under_load(place: Place, stack: Stack) -> None:
    with running_daemon(place.without_forks()) as daemon, daemon.client() as client:
        load = Load(client)
        for _ in range(2):
            load.wait_for(20)
            stack.kill("postgres")
        load.wait_for(20)
        failed = [line for line in daemon.lines if line.get("level") in ("error", "critical")]
        assert failed == [], failed[0].get("exception")
        load.stop()
        assert_all_completed_once(place, client, load.payments)
        assert daemon.process.poll() is None


def test_nats_is_killed_under_load(place: Place, stack: Stack) -> None:
    with running_daemon(place.without_forks()) as daemon, daemon.client() as client:
        load = Load(client)
        for _ in range(2):
            load.wait_for(20)
            stack.kill("nats")
        load.wait_for(20)
        load.stop()
        assert load.errors == [], "payments do not wait for NATS"
        assert_all_completed_once(place, client, load.payments)


def test_payments_go_on_while_nats_is_away_and_their_events_follow(
    place: Place, stack: Stack
) -> None:
    with stack.without("nats"), running_daemon(place) as daemon, daemon.client() as client:
        started = [client.initiate() for _ in range(20)]
        for payment in started:
            client.wait_for(payment.id, "COMPLETED")
        [depth] = rows(place, "SELECT count(*) FROM outbox WHERE publish_time IS NULL")
        assert depth["count"] == 20
        stack.start("nats")
        published = wait_until_published(place)
        assert sorted(e.body["id"] for e in published) == sorted(p.id for p in started)
        assert daemon.process.poll() is None


def test_the_daemon_starts_without_its_database_and_recovers(place: Place, stack: Stack) -> None:
    stack.kill("postgres")
    with running_daemon(place) as daemon, daemon.client() as client:
        load = Load(client, callers=1)
        load.wait_for(1)
        load.stop()
        assert_all_completed_once(place, client, load.payments)


def test_sigterm_under_load_finishes_what_was_begun(place: Place) -> None:
    with running_daemon(place) as daemon, daemon.client() as client:
        requests = [a_request(scenario="pending") for _ in range(300)]
        calls = [client.future("InitiatePayment", request) for request in requests]
        calls[20].result()
        assert daemon.stop(signal.SIGTERM) == 0
        answered, refused = [], []
        for call in calls:
            try:
                answered.append(call.result().payment)
            except grpc.RpcError as error:
                refused.append(error.code())
    assert set(refused) <= {grpc.StatusCode.UNAVAILABLE}
    assert len(answered) > 20
    assert {payment.status for payment in answered} == {pb.PAYMENT_STATUS_PENDING}
    stored = {str(row["id"]) for row in rows(place, "SELECT id FROM payments")}
    assert {payment.id for payment in answered} <= stored


def test_no_event_is_lost_by_a_stop(place: Place) -> None:
    with running_daemon(place) as daemon, daemon.client() as client:
        started = [client.initiate() for _ in range(50)]
        assert daemon.stop() == 0
    with running_daemon(place) as daemon, daemon.client() as client:
        for payment in started:
            client.wait_for(payment.id, "COMPLETED")
        published = wait_until_published(place)
    assert sorted(event.body["id"] for event in published) == sorted(p.id for p in started)
