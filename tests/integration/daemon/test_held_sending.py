"""After a restore a daemon sends nothing until an operator releases it; everything else works."""

import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from payd_client.proto import payment_pb2 as pb
from support import plain_http
from support.daemon import (
    Daemon,
    Place,
    a_request,
    reason_of,
    rows,
    running_daemon,
    wait_until_published,
)
from support.forks import run_payd
from support.waiting import wait_until

EVENTS = "SELECT publish_time IS NULL AS waits FROM outbox"


def restored(place: Place, *arguments: str) -> str:
    """`payd restored …` on the daemon's host."""
    done = run_payd("restored", *arguments, env=place.environment(), cwd=Path("/"))
    assert done.returncode == 0, done
    return done.stdout


def readiness(daemon: Daemon) -> Any:
    answer = plain_http.get(f"http://{daemon.http}/readyz")
    return answer.status_code, answer.json()["checks"].get("sending")


def test_nothing_is_sent_until_it_is_released(place: Place) -> None:
    with running_daemon(place) as daemon, daemon.client() as client:
        before = client.initiate(scenario="pending")
    said = restored(place, "hold", "--yes")
    assert said.startswith("sending is held")

    with running_daemon(place) as daemon, daemon.client() as client:
        status, check = readiness(daemon)
        assert status == 200
        assert "payd restored show" in check["detail"]
        assert client.get(before.id).id == before.id
        key = str(uuid.uuid4())
        with pytest.raises(grpc.RpcError) as refused:
            client.call("InitiatePayment", a_request(key=key))
        assert reason_of(refused.value) == "PROVIDER_UNAVAILABLE"

        # What a provider reports is taken, and the operator sees it before the main app does.
        client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=before.id))
        client.wait_for(before.id, "CANCELED")
        assert [row["waits"] for row in rows(place, EVENTS)] == [True]

        assert restored(place, "release", "--unscanned").strip() == "released: daemons send again"
        wait_until(lambda: readiness(daemon)[1]["ok"], "the daemon has heard of it")
        payment = client.call("InitiatePayment", a_request(key=key)).payment
        client.wait_for(payment.id, "COMPLETED")
        published = wait_until_published(place)
    subjects = sorted(event.subject for event in published)
    assert subjects == ["payment.canceled", "payment.completed"]


def test_a_release_names_what_was_not_scanned(place: Place) -> None:
    rows(place, "INSERT INTO provider_cursors VALUES ('rail', 'events', '7', now())")
    restored(place, "hold", "--yes")
    done = run_payd("restored", "release", env=place.environment(), cwd=Path("/"))
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.splitlines() == [
        "rail: scan of events: not yet",
        "not released: wait until `payd restored show` says done, or give --unscanned",
    ]


def test_the_stream_names_a_payment_that_the_database_lacks(place: Place) -> None:
    with running_daemon(place) as daemon, daemon.client() as client:
        payment = client.initiate()
        client.wait_for(payment.id, "COMPLETED")
        wait_until_published(place)
    rows(place, "ALTER TABLE payment_events DISABLE TRIGGER payment_events_are_append_only")
    rows(place, "TRUNCATE payments CASCADE")
    restored(place, "hold", "--yes")
    shown = restored(place, "show", "--nats", place.nats)
    assert f"payment {payment.id} is unknown: the stream has payment.completed" in shown
