"""Whatever a client sends, it gets a typed error, and the daemon goes on."""

import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from payd_client.proto import payment_pb2 as pb
from support.daemon import Client, Daemon, Place, a_request, reason_of, running_daemon

INVALID = grpc.StatusCode.INVALID_ARGUMENT
A_UUID = str(uuid.uuid4())
BEYOND = Timestamp(seconds=2**62)
FUTURE = Timestamp(seconds=253_402_300_799)
LONG_AGO = Timestamp(seconds=-62_135_596_800)
ITEM = pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    with running_daemon(module_place) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"items": [pb.Item(chain_profile_id="x", node_type="y", duration="z")]},
            "UNKNOWN_PRODUCT",
        ),
        ({"method": "wire"}, "UNKNOWN_METHOD"),
        ({"method": ""}, "INVALID_FIELD"),
        ({"method": "mock", "crypto_currency": "ETH"}, "CURRENCY_NOT_SUPPORTED"),
        ({"items": []}, "INVALID_FIELD"),
        ({"items": [ITEM] * 101}, "INVALID_FIELD"),
        ({"key": "k" * 256}, "INVALID_FIELD"),
        ({"key": "with blank"}, "INVALID_FIELD"),
        ({"customer": pb.Customer()}, "INVALID_FIELD"),
        ({"customer": pb.Customer(id="u" * 129)}, "INVALID_FIELD"),
        ({"customer": pb.Customer(id="u", email="nobody")}, "INVALID_FIELD"),
        ({"return_url": "http://shop.example/back"}, "INVALID_FIELD"),
        ({"return_url": "javascript:alert(1)"}, "INVALID_FIELD"),
        ({"metadata": {str(i): "" for i in range(21)}}, "INVALID_FIELD"),
        ({"metadata": {"k": "a\x00b"}}, "INVALID_FIELD"),
        ({"subscription_ids": [""]}, "INVALID_FIELD"),
        ({"scenario": "nonsense"}, "INVALID_FIELD"),
    ],
)
def test_a_bad_field_is_refused_by_its_reason(
    client: Client, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.initiate(**fields)
    assert (refused.value.code(), reason_of(refused.value)) == (INVALID, reason)
    assert client.initiate(scenario="pending").id


@pytest.mark.parametrize("body", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x00"])
def test_garbage_is_refused(client: Client, body: bytes) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.call("InitiatePayment", body)
    assert (refused.value.code(), reason_of(refused.value)) == (INVALID, "INVALID_FIELD")


def test_a_message_that_is_too_large_is_refused(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.call("InitiatePayment", a_request(return_url="https://x/" + "a" * 2**21))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("key", ["", "nonsense", f"{{{uuid.uuid4()}}}"])
def test_a_payment_id_that_is_none_is_refused(client: Client, key: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.get(key)
    assert (refused.value.code(), reason_of(refused.value)) == (INVALID, "INVALID_FIELD")


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("ExplainPayment", pb.ExplainPaymentRequest()),
        ("ExplainPayment", pb.ExplainPaymentRequest(payment_id="nonsense")),
        ("ExplainPayment", pb.ExplainPaymentRequest(payment_id=A_UUID, at_time=BEYOND)),
        ("ExplainPayment", pb.ExplainPaymentRequest(payment_id=A_UUID, at_time=FUTURE)),
        ("ExplainPayment", b"\x0a\xff\xff\xff\xff\x0f"),
        ("SyncPayment", pb.SyncPaymentRequest()),
        ("SyncPayment", pb.SyncPaymentRequest(payment_id=f"{{{A_UUID}}}")),
        ("SyncPayment", b"\xff" * 40),
    ],
)
def test_a_bad_request_to_explain_or_sync_is_refused(
    client: Client, method: str, body: Any
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.call(method, body)
    assert (refused.value.code(), reason_of(refused.value)) == (INVALID, "INVALID_FIELD")


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("ExplainPayment", pb.ExplainPaymentRequest(payment_id=A_UUID)),
        ("ExplainPayment", pb.ExplainPaymentRequest(payment_id=A_UUID, at_time=LONG_AGO)),
        ("SyncPayment", pb.SyncPaymentRequest(payment_id=A_UUID)),
    ],
)
def test_an_unknown_payment_is_neither_explained_nor_synced(
    client: Client, method: str, body: Any
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.call(method, body)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(refused.value) == "PAYMENT_NOT_FOUND"


def test_a_stranger_of_our_ca_is_refused_by_name(daemon: Daemon) -> None:
    with daemon.client("stranger") as stranger, pytest.raises(grpc.RpcError) as refused:
        stranger.initiate()
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(refused.value) == "CLIENT_NOT_ALLOWED"


def test_the_second_client_of_the_allow_list_may_call(daemon: Daemon) -> None:
    with daemon.client("client-b") as other:
        assert other.initiate(scenario="pending").id
