"""WatchPayment over a real daemon: a foreign client, the limits, restarts, and the stop."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from payd_client.proto import payment_pb2 as pb
from support.daemon import Client, Daemon, Place, reason_of, running_daemon
from support.waiting import PATIENCE_S, wait_until

WATCHES_MAX = 3
PENDING = pb.PAYMENT_STATUS_PENDING
COMPLETED = pb.PAYMENT_STATUS_COMPLETED
CANCELED = pb.PAYMENT_STATUS_CANCELED


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    with running_daemon(module_place, PAYD_GRPC_MAX_WATCHES=str(WATCHES_MAX)) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


def statuses(stream: Any) -> list[Any]:
    return [message.payment.status for message in stream]


def test_a_foreign_client_sees_every_status_until_the_last(client: Client) -> None:
    payment = client.initiate(metadata={"mock_delay_ms": "300"})

    versions = [message.payment for message in client.watch(payment.id)]

    assert versions[-1].status == COMPLETED
    numbers = [version.version for version in versions]
    assert numbers == sorted(set(numbers))
    assert versions[-1] == client.get(payment.id)


def test_only_versions_after_the_known_one_are_sent(client: Client) -> None:
    payment = client.initiate(scenario="pending")
    stream = client.watch(payment.id, after_version=payment.version)
    client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=payment.id))

    seen = statuses(stream)

    assert seen[-1] == CANCELED
    assert PENDING not in seen


def test_a_caller_that_knows_the_final_version_gets_the_end_at_once(client: Client) -> None:
    payment = client.wait_for(client.initiate().id, "COMPLETED")

    assert statuses(client.watch(payment.id, after_version=payment.version)) == []


def test_the_deadline_ends_a_watch(client: Client) -> None:
    payment = client.initiate(scenario="pending")
    stream = client.watch(payment.id, timeout_s=0.5)

    with pytest.raises(grpc.RpcError) as error:
        statuses(stream)

    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"payment_id": "7"}, "payment_id"),
        ({"payment_id": ""}, "payment_id"),
        ({"after_version": -1}, "after_version"),
        ({"linger_s": -1}, "linger"),
        ({"linger_s": 3601}, "linger"),
        ({"linger_s": 2**62}, "linger"),
    ],
)
def test_a_bad_field_is_refused_by_its_name(
    client: Client, request_: dict[str, Any], field: str
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        statuses(client.watch(**{"payment_id": "00000000-0000-0000-0000-000000000007"} | request_))

    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error.value) == "INVALID_FIELD"
    assert field in str(error.value.details())


def test_bytes_that_are_no_message_are_refused(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as error:
        statuses(client.stream(b"\xff\xff"))

    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_unknown_payment_is_not_found(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as error:
        statuses(client.watch("00000000-0000-0000-0000-000000000007"))

    assert reason_of(error.value) == "PAYMENT_NOT_FOUND"


def test_a_certificate_that_is_not_on_the_list_watches_nothing(daemon: Daemon) -> None:
    with daemon.client("stranger") as stranger, pytest.raises(grpc.RpcError) as error:
        statuses(stranger.watch("00000000-0000-0000-0000-000000000007"))

    assert reason_of(error.value) == "CLIENT_NOT_ALLOWED"


def test_watches_have_a_limit_of_their_own(client: Client) -> None:
    payment = client.initiate(scenario="pending")
    streams = [client.watch(payment.id) for _ in range(WATCHES_MAX)]
    for stream in streams:
        assert next(stream).payment.status == PENDING

    with pytest.raises(grpc.RpcError) as error:
        statuses(client.watch(payment.id))

    assert reason_of(error.value) == "OVERLOADED"
    assert client.get(payment.id).status == PENDING
    streams[0].cancel()
    wait_until(lambda: _begins(client, payment.id), lambda: "no watch after another has left")
    for stream in streams:
        stream.cancel()


def _begins(client: Client, payment_id: str) -> bool:
    stream = client.watch(payment_id)
    try:
        return bool(next(stream).payment.id)
    except grpc.RpcError:
        return False
    finally:
        stream.cancel()


def test_a_client_that_leaves_many_watches_is_not_cut_off(client: Client) -> None:
    payment = client.initiate(scenario="pending")
    staying = client.watch(payment.id)
    next(staying)

    # More than `grpc.max_resets` in its 30 s.
    for _ in range(150):
        wait_until(lambda: _begins(client, payment.id), lambda: "earlier watches are still there")

    client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=payment.id))
    assert statuses(staying)[-1] == CANCELED


def test_at_the_stop_a_watch_ends_with_shutting_down(place: Place) -> None:
    with running_daemon(place) as daemon, daemon.client() as client:
        payment = client.initiate(scenario="pending")
        stream = client.watch(payment.id)
        assert next(stream).payment.status == PENDING
        found: list[grpc.RpcError] = []

        def read() -> None:
            try:
                statuses(stream)
            except grpc.RpcError as error:
                found.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        assert daemon.stop() == 0
        reader.join(PATIENCE_S)

        assert reason_of(found[0]) == "SHUTTING_DOWN"
        assert found[0].code() is grpc.StatusCode.UNAVAILABLE
