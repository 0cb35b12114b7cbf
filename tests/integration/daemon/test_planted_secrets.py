"""The watch for planted secrets sees what it is there to see."""

import asyncio

import grpc
import pytest
from payd_client.proto import payment_pb2 as pb
from support.daemon import Daemon, Place, a_request, reason_of, running_daemon, wait_until_published
from support.dev_process import payd
from support.planted_secrets import WATCH, search_database


def test_a_secret_that_is_leaked_on_purpose_is_found_everywhere(place: Place) -> None:
    """Use a secret as the request id, which payd logs, stores and publishes."""
    secret = "canary-shown-on-purpose"
    with WATCH.leaking_on_purpose(secret) as hits:
        with running_daemon(place.without_forks()) as daemon, daemon.client() as client:
            payment = client.call("InitiatePayment", a_request(), x_request_id=secret).payment
            client.wait_for(payment.id, "COMPLETED")
            wait_until_published(place)
            with pytest.raises(grpc.RpcError) as refused:
                client.call("GetPayment", pb.GetPaymentRequest(payment_id="x"), x_request_id=secret)
            assert reason_of(refused.value) == "INVALID_FIELD"
        asyncio.run(search_database(place.database))
    expected = {"the log", "an event", "an error", "public.payments", "public.payment_events"}
    assert expected <= places(hits)


def test_what_a_daemon_shows_by_itself_is_searched(place: Place) -> None:
    """What is surely there is declared secret."""
    with (
        WATCH.leaking_on_purpose("payd_payments_total", "provider:mock", "-m payd serve") as hits,
        running_daemon(place.without_forks()),
    ):
        pass
    assert places(hits) == {"/metrics", "/readyz", "a command line"}


def test_what_a_process_says_before_its_log_is_searched(place: Place) -> None:
    with WATCH.leaking_on_purpose("__main__.py") as hits:
        Daemon(place, PYTHONVERBOSE="1", GRPC_PORT="many").wait_ended()
    assert places(hits) == {"the log"}


def test_what_a_command_answers_is_searched() -> None:
    with WATCH.leaking_on_purpose("--no-such-option") as hits:
        payd("serve", "--no-such-option")
    assert places(hits) == {"payd serve"}


def places(hits: list[str]) -> set[str]:
    return {hit.partition(" in ")[2].partition(":")[0].partition(" --")[0] for hit in hits}


def test_something_is_searched() -> None:
    assert WATCH.searched > 10
    assert WATCH.secrets()
