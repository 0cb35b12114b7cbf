"""Lists of payments over gRPC and through the client: pages, filters, roles, and bad input."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from payd_client import PaymentClient, PaymentFilter, Status, TlsFiles
from payd_client.proto import payment_pb2 as pb
from support.daemon import Client, Daemon, Place, reason_of, rows, running_daemon
from support.waiting import wait_until
from unit.cli.scripted_daemon import on_plain_asyncio

Code = grpc.StatusCode
INVALID = Code.INVALID_ARGUMENT
TABLES = ("payments", "payment_events", "payment_labels", "refunds", "outbox", "inbox", "customers")


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    with running_daemon(module_place) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


@pytest.fixture
def operator(daemon: Daemon) -> Iterator[Client]:
    with daemon.client("operator") as operator:
        yield operator


def a_customer() -> str:
    """A customer of this test alone."""
    return f"user-{uuid.uuid4()}"


def started(client: Client, customer: str, scenario: str = "pending", **fields: Any) -> Any:
    email = f"{customer}@example.org"
    return client.initiate(
        scenario=scenario, customer=pb.Customer(id=customer, email=email), **fields
    )


def listed(client: Client, page_size: int = 0, **wanted: Any) -> list[str]:
    """The ids of all pages."""
    request = pb.ListPaymentsRequest(filter=pb.PaymentFilter(**wanted), page_size=page_size)
    found = []
    while True:
        page = client.call("ListPayments", request)
        found += [payment.id for payment in page.payments]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def refused(client: Client, method: str, request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        client.call(method, request)
    return error.value.code(), reason_of(error.value)


# -- ListPayments ------------------------------------------------------------------------------


def test_payments_are_listed_page_by_page_newest_first(client: Client) -> None:
    customer = a_customer()
    made = [started(client, customer).id for _ in range(5)]
    for size in (1, 2, 5, 200):
        assert listed(client, size, customer_id=customer) == made[::-1]
    assert listed(client, 2)[:5] == made[::-1]


def test_a_listed_payment_is_the_payment(client: Client) -> None:
    customer = a_customer()
    payment = client.wait_for(started(client, customer, "complete").id, "COMPLETED")
    page = client.call(
        "ListPayments", pb.ListPaymentsRequest(filter=pb.PaymentFilter(customer_id=customer))
    )
    # Lists leave the receipts out, whose number nothing limits.
    payment.ClearField("receipts")
    payment.ClearField("receipts_total")
    assert list(page.payments) == [payment]


def test_a_payment_is_found_by_each_filter(client: Client) -> None:
    customer, order = a_customer(), uuid.uuid4().hex
    started(client, customer)
    payment = client.wait_for(
        started(
            client,
            customer,
            "decline",
            metadata={"order": order},
            subscription_ids=[f"sub-{order}"],
        ).id,
        "FAILED",
    )
    since = Timestamp(seconds=payment.create_time.seconds)
    for wanted in (
        {"email": f"{customer.upper()}@example.org", "statuses": [pb.PAYMENT_STATUS_FAILED]},
        {"metadata": pb.MetadataPair(key="order", value=order)},
        {"subscription_id": f"sub-{order}"},
        {"reference": payment.id},
        {"reference": payment.idempotency_key},
        {"reference": payment.id, "methods": ["mock"], "providers": ["mock"]},
        {"reference": payment.id, "min_minor_units": 14900, "max_minor_units": 14900},
        {"reference": payment.id, "create_time_from": since, "currency_code": "USD"},
    ):
        assert listed(client, **wanted) == [payment.id], wanted
    assert payment.id in listed(client, statuses=[pb.PAYMENT_STATUS_FAILED])
    assert payment.id in listed(client, min_minor_units=14900, create_time_from=since)
    assert listed(client, reference=payment.id, min_minor_units=14901) == []
    assert listed(client, reference=payment.id, create_time_before=since) == []


def test_a_refund_leads_to_its_payment(client: Client) -> None:
    payment = client.wait_for(started(client, a_customer(), "complete").id, "COMPLETED")
    key = uuid.uuid4().hex
    request = pb.RefundPaymentRequest(payment_id=payment.id, idempotency_key=key)
    refund = client.call("RefundPayment", request).refund
    for reference in (refund.id, key, refund.provider_reference, payment.provider_reference):
        assert listed(client, reference=reference) == [payment.id]


# -- ListAttention -----------------------------------------------------------------------------


def test_operators_list_attention_from_the_oldest(client: Client, operator: Client) -> None:
    customer = a_customer()
    made = []
    for _ in range(3):
        payment = client.wait_for(started(client, customer, "pay_twice").id, "COMPLETED")
        made.append(payment.id)
        _wait_for_attention(client, payment.id)
    request = pb.ListAttentionRequest(filter=pb.PaymentFilter(customer_id=customer), page_size=2)
    first = operator.call("ListAttention", request)
    request.page_token = first.next_page_token
    rest = operator.call("ListAttention", request)
    assert [one.id for one in (*first.payments, *rest.payments)] == made
    assert rest.next_page_token == ""
    assert all(one.attention for one in first.payments)

    note = pb.ResolveAttentionRequest(payment_id=made[0], note="sent back")
    operator.call("ResolveAttention", note)
    request.page_token = ""
    left = operator.call("ListAttention", request)
    assert [one.id for one in left.payments] == made[1:]


def _wait_for_attention(client: Client, payment_id: str) -> None:
    wait_until(lambda: bool(client.get(payment_id).attention), "attention is raised")


def test_attention_is_for_operators(client: Client) -> None:
    not_allowed = (Code.PERMISSION_DENIED, "CLIENT_NOT_ALLOWED")
    assert refused(client, "ListAttention", pb.ListAttentionRequest()) == not_allowed


# -- the client --------------------------------------------------------------------------------


def test_the_client_reads_page_after_page(daemon: Daemon, client: Client) -> None:
    customer = a_customer()
    made = [started(client, customer).id for _ in range(5)]

    async def read() -> tuple[list[str], int, list[str]]:
        pki = daemon.place.pki
        tls = TlsFiles(ca=pki / "ca.crt", cert=pki / "operator.crt", key=pki / "operator.key")
        async with PaymentClient(daemon.grpc, tls) as payd:
            wanted = PaymentFilter(customer_id=customer, statuses=[Status.PENDING])
            all_pages = [str(one.id) async for one in payd.list_payments(wanted, page_size=2)]
            page = await payd.list_payments_page(wanted, page_size=2)
            flagged = [str(one.id) async for one in payd.list_attention(wanted)]
            return all_pages, len(page.payments), flagged

    assert on_plain_asyncio(read()) == (made[::-1], 2, [])


# -- bad input ---------------------------------------------------------------------------------

AGES_AGO = Timestamp(seconds=1)
FILTERS: list[tuple[dict[str, Any], str]] = [
    ({"customer_id": "c" * 129}, "INVALID_FIELD"),
    ({"customer_id": "a\x00b"}, "INVALID_FIELD"),
    ({"email": "e" * 255}, "INVALID_FIELD"),
    ({"email": "a\x00b"}, "INVALID_FIELD"),
    ({"statuses": [0]}, "INVALID_FIELD"),
    ({"statuses": [77]}, "INVALID_FIELD"),
    ({"methods": [""]}, "INVALID_FIELD"),
    ({"methods": ["m"] * 21}, "INVALID_FIELD"),
    ({"providers": ["p" * 65]}, "INVALID_FIELD"),
    ({"attention": ["TIRED"]}, "INVALID_FIELD"),
    ({"subscription_id": "s" * 129}, "INVALID_FIELD"),
    ({"reference": "r" * 513}, "INVALID_FIELD"),
    ({"reference": "a\x00b"}, "INVALID_FIELD"),
    ({"metadata": pb.MetadataPair(value="v")}, "INVALID_FIELD"),
    ({"metadata": pb.MetadataPair(key="k", value="a\x00b")}, "INVALID_FIELD"),
    ({"create_time_from": Timestamp(seconds=2**62)}, "INVALID_FIELD"),
    ({"create_time_before": Timestamp(nanos=-1)}, "INVALID_FIELD"),
    ({"min_minor_units": -1}, "INVALID_FIELD"),
    ({"max_minor_units": -(2**63)}, "INVALID_FIELD"),
    ({"currency_code": "dollars"}, "INVALID_FIELD"),
    ({"create_time_from": AGES_AGO, "create_time_before": AGES_AGO}, "INVALID_FILTER"),
    ({"min_minor_units": 2, "max_minor_units": 1}, "INVALID_FILTER"),
]
SEARCHES: list[dict[str, Any]] = [
    {"min_minor_units": 1},
    {"max_minor_units": 2**63 - 1},
    {"currency_code": "USD", "statuses": [pb.PAYMENT_STATUS_COMPLETED]},
    {"min_minor_units": 1, "create_time_from": AGES_AGO},
    {"min_minor_units": 1, "methods": ["mock"], "providers": ["mock"]},
]
BAD: list[tuple[str, dict[str, Any], str]] = [
    *((method, {"filter": fields}, reason) for fields, reason in FILTERS for method in "PA"),
    *(("P", {"filter": fields}, "INVALID_FILTER") for fields in SEARCHES),
    *((method, {"page_size": size}, "INVALID_FIELD") for size in (-1, 201) for method in "PA"),
    *((method, {"page_token": "next"}, "INVALID_PAGE_TOKEN") for method in "PA"),
]
METHODS = {"P": "ListPayments", "A": "ListAttention"}


def _counts(daemon: Daemon) -> list[int]:
    return [rows(daemon.place, f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in TABLES]


def test_bad_input_is_refused_by_its_reason_and_writes_nothing(
    daemon: Daemon, operator: Client
) -> None:
    before = _counts(daemon)
    for letter, fields, reason in BAD:
        wanted = pb.PaymentFilter(**fields.get("filter", {}))
        rest = {name: value for name, value in fields.items() if name != "filter"}
        request = getattr(pb, f"{METHODS[letter]}Request")(filter=wanted, **rest)
        assert refused(operator, METHODS[letter], request) == (INVALID, reason), (letter, fields)
    assert _counts(daemon) == before


@pytest.mark.parametrize("method", METHODS.values())
@pytest.mark.parametrize("body", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x00"])
def test_garbage_is_refused(operator: Client, method: str, body: bytes) -> None:
    assert refused(operator, method, body) == (INVALID, "INVALID_FIELD")


def test_the_token_of_another_list_is_refused(client: Client, operator: Client) -> None:
    customer = a_customer()
    for _ in range(2):
        started(client, customer)
    wanted = pb.PaymentFilter(customer_id=customer)
    page = client.call("ListPayments", pb.ListPaymentsRequest(filter=wanted, page_size=1))
    invalid = (INVALID, "INVALID_PAGE_TOKEN")
    token = page.next_page_token
    assert token
    of_all = pb.ListPaymentsRequest(page_token=token)
    of_attention = pb.ListAttentionRequest(filter=wanted, page_token=token)
    assert refused(client, "ListPayments", of_all) == invalid
    assert refused(operator, "ListAttention", of_attention) == invalid


def test_a_hostile_reference_is_only_text(client: Client) -> None:
    for reference in ("'; DROP TABLE payments; --", "%", "_", "{}", "ARRAY[1]", "é" * 512):
        assert listed(client, reference=reference) == []


FIRST, LAST = (time.replace(tzinfo=UTC) for time in (datetime.min, datetime.max))  # noqa: DTZ901


@pytest.mark.parametrize("time", [FIRST, LAST])
def test_every_time_can_be_asked_for(client: Client, time: datetime) -> None:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    started(client, customer := a_customer())
    after = listed(client, customer_id=customer, create_time_from=stamp)
    before = listed(client, customer_id=customer, create_time_before=stamp)
    assert (len(after), len(before)) == ((1, 0) if time == FIRST else (0, 1))
