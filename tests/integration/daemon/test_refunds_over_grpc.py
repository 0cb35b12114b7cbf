"""Refunds and attention over gRPC: apps ask, operators decide, and bad input changes nothing."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from payd_client.proto import payment_pb2 as pb
from support.daemon import (
    Client,
    Daemon,
    Place,
    details_of,
    reason_of,
    rows,
    running_daemon,
    wait_until_published,
)
from support.waiting import wait_until

Code = grpc.StatusCode
NO_ONE = "00000000-0000-0000-0000-000000000007"
APPROVAL_FROM = 10_000


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    settings = {"PAYD_REFUNDS_APPROVAL_FROM": str(APPROVAL_FROM)}
    with running_daemon(module_place, **settings) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


@pytest.fixture
def operator(daemon: Daemon) -> Iterator[Client]:
    with daemon.client("operator") as operator:
        yield operator


def usd(minor_units: int) -> pb.Money:
    return pb.Money(currency_code="USD", minor_units=minor_units)


def a_paid_payment(client: Client, **metadata: str) -> Any:
    """149.00 USD, confirmed."""
    started = client.initiate(metadata=metadata)
    return client.wait_for(started.id, "COMPLETED")


def refund(client: Client, payment: Any, minor_units: int | None = None, **fields: Any) -> Any:
    """Request a refund of so much, or of all that is left."""
    amount = {} if minor_units is None else {"amount": usd(minor_units)}
    request = pb.RefundPaymentRequest(
        payment_id=payment.id,
        **({"idempotency_key": uuid.uuid4().hex} | amount | fields),
    )
    return client.call("RefundPayment", request).refund


def status(refund: Any) -> str:
    return pb.RefundStatus.Name(refund.status).removeprefix("REFUND_STATUS_")


def refused(client: Client, method: str, request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        client.call(method, request)
    return error.value.code(), reason_of(error.value)


# -- apps ask ----------------------------------------------------------------------------------


def test_a_payment_is_refunded_in_parts_until_nothing_is_left(client: Client) -> None:
    payment = a_paid_payment(client)
    first = refund(client, payment, 5000, reason="half of it broke")
    assert (status(first), first.amount) == ("SUCCEEDED", usd(5000))
    assert (first.payment_id, first.reason) == (payment.id, "half of it broke")

    rest = refund(client, payment)
    assert (status(rest), rest.amount) == ("SUCCEEDED", usd(9900))

    now = client.get(payment.id)
    assert now.status == pb.PAYMENT_STATUS_COMPLETED
    assert now.refunded == usd(14900)
    assert [one.id for one in now.refunds] == [first.id, rest.id]
    more = pb.RefundPaymentRequest(payment_id=payment.id, idempotency_key="more")
    assert refused(client, "RefundPayment", more) == (
        Code.FAILED_PRECONDITION,
        "REFUND_EXCEEDS_PAID",
    )


def test_a_repeated_request_gets_the_same_refund(client: Client) -> None:
    payment = a_paid_payment(client)
    key = uuid.uuid4().hex
    first = refund(client, payment, 100, idempotency_key=key)
    assert refund(client, payment, 100, idempotency_key=key) == first
    by_key = client.call("GetRefund", pb.GetRefundRequest(idempotency_key=key)).refund
    by_id = client.call("GetRefund", pb.GetRefundRequest(refund_id=first.id)).refund
    assert by_key == by_id == first
    other = pb.RefundPaymentRequest(payment_id=payment.id, idempotency_key=key, amount=usd(101))
    reused = refused(client, "RefundPayment", other)
    assert reused == (Code.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
    assert client.get(payment.id).refunded == usd(100)


def test_what_many_ask_for_at_once_is_given_as_long_as_it_lasts(client: Client) -> None:
    """No call fails because others were faster: it is granted, or there was nothing left."""
    payment = a_paid_payment(client)

    def ask(_: int) -> str:
        try:
            return status(refund(client, payment, 2000))
        except grpc.RpcError as error:
            return f"{reason_of(error)}, left {details_of(error).metadata['left_minor_units']}"

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(ask, range(12)))
    assert sorted(answers) == ["REFUND_EXCEEDS_PAID, left 900"] * 5 + ["SUCCEEDED"] * 7
    assert client.get(payment.id).refunded == usd(14000)


def test_refunds_are_listed_page_by_page_newest_first(client: Client) -> None:
    payment = a_paid_payment(client)
    made = [refund(client, payment, 100 + number).id for number in range(5)]
    request = pb.ListRefundsRequest(payment_id=payment.id, page_size=2)
    found, sizes = [], []
    while True:
        page = client.call("ListRefunds", request)
        found += [one.id for one in page.refunds]
        sizes.append(len(page.refunds))
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert (found, sizes) == (made[::-1], [2, 2, 1])

    request.statuses.append(pb.REFUND_STATUS_FAILED)
    invalid = (Code.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
    assert refused(client, "ListRefunds", request) == invalid
    request.page_token = ""
    assert list(client.call("ListRefunds", request).refunds) == []


def test_a_page_that_is_exactly_full_is_the_last_one(client: Client) -> None:
    payment = a_paid_payment(client)
    for _ in range(2):
        refund(client, payment, 100)
    page = client.call("ListRefunds", pb.ListRefundsRequest(payment_id=payment.id, page_size=2))
    assert (len(page.refunds), page.next_page_token) == (2, "")


def test_each_end_of_a_refund_is_an_event_with_the_refund(client: Client, daemon: Daemon) -> None:
    payment = a_paid_payment(client)
    good = refund(client, payment, 100)
    bad = refund(client, payment, 200, reason="mock_refund=fail_later")

    def has_failed() -> bool:
        return status(client.call("GetRefund", pb.GetRefundRequest(refund_id=bad.id)).refund) == (
            "FAILED"
        )

    wait_until(has_failed, "the refund fails")
    published = [
        (message.subject, message.body.get("refund", {}).get("id"))
        for message in wait_until_published(daemon.place)
        if message.body["id"] == payment.id
    ]
    assert published[0] == ("payment.completed", None)
    assert published.count(("payment.refunded", good.id)) == 1
    assert published.count(("payment.refund_failed", bad.id)) == 1
    assert published.count(("payment.refunded", bad.id)) <= 1
    assert client.get(payment.id).refunded == usd(100)
    assert "REFUND_FAILED" in client.get(payment.id).attention


# -- operators decide --------------------------------------------------------------------------


def test_a_large_refund_is_sent_only_after_another_person_has_approved_it(
    client: Client, operator: Client, daemon: Daemon
) -> None:
    payment = a_paid_payment(client)
    asked = refund(client, payment, APPROVAL_FROM)
    assert status(asked) == "AWAITING_APPROVAL"
    assert client.get(payment.id).refunded == usd(0)

    approve = pb.ApproveRefundRequest(refund_id=asked.id, note="the customer is right")
    not_allowed = (Code.PERMISSION_DENIED, "CLIENT_NOT_ALLOWED")
    assert refused(client, "ApproveRefund", approve) == not_allowed

    approved = operator.call("ApproveRefund", approve, x_actor="ada").refund
    assert (approved.id, status(approved)) == (asked.id, "SUCCEEDED")
    assert client.get(payment.id).refunded == usd(APPROVAL_FROM)
    trail = rows(
        daemon.place,
        "SELECT actor, certificate FROM payment_events WHERE payment_id = $1 ORDER BY version",
        uuid.UUID(payment.id),
    )
    assert ("operator:operator/ada", "operator") in {tuple(row.values()) for row in trail}


def test_nobody_approves_a_refund_of_their_own(operator: Client, client: Client) -> None:
    payment = a_paid_payment(client)
    own = refund(operator, payment, APPROVAL_FROM)
    approve = pb.ApproveRefundRequest(refund_id=own.id)
    refusal = refused(operator, "ApproveRefund", approve)
    assert refusal == (Code.FAILED_PRECONDITION, "APPROVER_IS_REQUESTER")
    assert status(client.call("GetRefund", pb.GetRefundRequest(refund_id=own.id)).refund) == (
        "AWAITING_APPROVAL"
    )


def test_a_refund_that_waits_for_approval_is_withdrawn_with_a_note(
    client: Client, operator: Client
) -> None:
    payment = a_paid_payment(client)
    asked = refund(client, payment, APPROVAL_FROM)
    cancel = pb.CancelRefundRequest(refund_id=asked.id, note="the customer keeps it")
    not_allowed = (Code.PERMISSION_DENIED, "CLIENT_NOT_ALLOWED")
    assert refused(client, "CancelRefund", cancel) == not_allowed
    unsaid = pb.CancelRefundRequest(refund_id=asked.id)
    needed = (Code.INVALID_ARGUMENT, "NOTE_REQUIRED")
    assert refused(operator, "CancelRefund", unsaid) == needed

    assert status(operator.call("CancelRefund", cancel).refund) == "CANCELED"
    assert status(refund(client, payment, 9_999)) == "SUCCEEDED"
    sent = pb.CancelRefundRequest(refund_id=client.get(payment.id).refunds[1].id, note="too late")
    not_refundable = (Code.FAILED_PRECONDITION, "NOT_REFUNDABLE")
    assert refused(operator, "CancelRefund", sent) == not_refundable


def test_an_outcome_that_payd_can_still_find_out_is_settled_by_nobody(
    client: Client, operator: Client
) -> None:
    payment = a_paid_payment(client)
    lost = refund(client, payment, 100, reason="mock_refund=timeout_before")
    assert status(lost) == "CREATING"
    settle = pb.SettleRefundRequest(
        refund_id=lost.id, outcome=pb.REFUND_STATUS_FAILED, note="not in the dashboard"
    )
    not_allowed = (Code.PERMISSION_DENIED, "CLIENT_NOT_ALLOWED")
    assert refused(client, "SettleRefund", settle) == not_allowed
    not_refundable = (Code.FAILED_PRECONDITION, "NOT_REFUNDABLE")
    assert refused(operator, "SettleRefund", settle) == not_refundable
    assert status(client.get(payment.id).refunds[0]) == "CREATING"


def test_attention_is_resolved_by_an_operator_for_the_version_that_was_looked_at(
    client: Client, operator: Client
) -> None:
    started = client.initiate(scenario="underpay")
    payment = client.wait_for(started.id, "EXPIRED")
    assert list(payment.attention) == ["UNDERPAID"]
    resolve = pb.ResolveAttentionRequest(
        payment_id=payment.id, note="paid the rest in cash", expected_version=payment.version
    )
    not_allowed = (Code.PERMISSION_DENIED, "CLIENT_NOT_ALLOWED")
    assert refused(client, "ResolveAttention", resolve) == not_allowed
    older = pb.ResolveAttentionRequest(payment_id=payment.id, note="n", expected_version=1)
    changed = (Code.FAILED_PRECONDITION, "VERSION_CHANGED")
    assert refused(operator, "ResolveAttention", older) == changed
    unsaid = pb.ResolveAttentionRequest(payment_id=payment.id)
    needed = (Code.INVALID_ARGUMENT, "NOTE_REQUIRED")
    assert refused(operator, "ResolveAttention", unsaid) == needed

    resolved = operator.call("ResolveAttention", resolve, x_actor="ada").payment
    assert list(resolved.attention) == []
    [record] = resolved.attention_records
    assert (record.reason, record.note) == ("UNDERPAID", "paid the rest in cash")
    assert record.resolved_by == "operator:operator/ada"
    again = pb.ResolveAttentionRequest(payment_id=payment.id, note="again")
    nothing = (Code.FAILED_PRECONDITION, "NOTHING_TO_RESOLVE")
    assert refused(operator, "ResolveAttention", again) == nothing


# -- bad input ---------------------------------------------------------------------------------

INVALID, MISSING = Code.INVALID_ARGUMENT, Code.NOT_FOUND
KEY = {"idempotency_key": "key-1"}
SETTLED = {"refund_id": NO_ONE, "outcome": pb.REFUND_STATUS_FAILED, "note": "n"}
BAD: list[tuple[str, Any, grpc.StatusCode, str]] = [
    ("RefundPayment", {"payment_id": ""}, INVALID, "INVALID_FIELD"),
    ("RefundPayment", {"payment_id": "7", **KEY}, INVALID, "INVALID_FIELD"),
    ("RefundPayment", {"payment_id": NO_ONE, **KEY}, MISSING, "PAYMENT_NOT_FOUND"),
    ("RefundPayment", {"idempotency_key": ""}, INVALID, "INVALID_FIELD"),
    ("RefundPayment", {"idempotency_key": "k" * 256}, INVALID, "INVALID_FIELD"),
    ("RefundPayment", {"idempotency_key": "a\x00b"}, INVALID, "INVALID_FIELD"),
    ("RefundPayment", {**KEY, "amount": usd(0)}, INVALID, "INVALID_FIELD"),
    ("RefundPayment", {**KEY, "amount": usd(-5)}, INVALID, "INVALID_FIELD"),
    ("RefundPayment", {**KEY, "amount": pb.Money()}, INVALID, "INVALID_FIELD"),
    (
        "RefundPayment",
        {**KEY, "amount": pb.Money(currency_code="EUR", minor_units=1)},
        INVALID,
        "INVALID_FIELD",
    ),
    (
        "RefundPayment",
        {**KEY, "amount": usd(14901)},
        Code.FAILED_PRECONDITION,
        "REFUND_EXCEEDS_PAID",
    ),
    (
        "RefundPayment",
        {**KEY, "amount": usd(2**63 - 1)},
        Code.FAILED_PRECONDITION,
        "REFUND_EXCEEDS_PAID",
    ),
    ("RefundPayment", {**KEY, "reason": "r" * 501}, INVALID, "INVALID_FIELD"),
    ("RefundPayment", {**KEY, "reason": "a\x00b"}, INVALID, "INVALID_FIELD"),
    ("RefundPayment", {**KEY, "destination": "d" * 513}, INVALID, "INVALID_FIELD"),
    ("GetRefund", {}, INVALID, "INVALID_FIELD"),
    ("GetRefund", {"refund_id": "nonsense"}, INVALID, "INVALID_FIELD"),
    ("GetRefund", {"refund_id": NO_ONE}, MISSING, "REFUND_NOT_FOUND"),
    ("GetRefund", {"idempotency_key": "nobody's"}, MISSING, "REFUND_NOT_FOUND"),
    ("ListRefunds", {"payment_id": "7"}, INVALID, "INVALID_FIELD"),
    ("ListRefunds", {"statuses": [0]}, INVALID, "INVALID_FIELD"),
    ("ListRefunds", {"statuses": [77]}, INVALID, "INVALID_FIELD"),
    ("ListRefunds", {"page_size": 201}, INVALID, "INVALID_FIELD"),
    ("ListRefunds", {"page_token": "next"}, INVALID, "INVALID_PAGE_TOKEN"),
    ("CancelRefund", {"refund_id": "", "note": "n"}, INVALID, "INVALID_FIELD"),
    ("CancelRefund", {"refund_id": NO_ONE, "note": "n"}, MISSING, "REFUND_NOT_FOUND"),
    ("CancelRefund", {"refund_id": NO_ONE, "note": "n" * 501}, INVALID, "INVALID_FIELD"),
    ("ApproveRefund", {"refund_id": NO_ONE}, MISSING, "REFUND_NOT_FOUND"),
    ("ApproveRefund", {"refund_id": NO_ONE, "note": "a\x00b"}, INVALID, "INVALID_FIELD"),
    ("SettleRefund", {}, INVALID, "INVALID_FIELD"),
    ("SettleRefund", {**SETTLED, "refund_id": "7"}, INVALID, "INVALID_FIELD"),
    ("SettleRefund", {**SETTLED, "outcome": 0}, INVALID, "INVALID_FIELD"),
    ("SettleRefund", {**SETTLED, "outcome": pb.REFUND_STATUS_PENDING}, INVALID, "INVALID_FIELD"),
    ("SettleRefund", {**SETTLED, "outcome": 77}, INVALID, "INVALID_FIELD"),
    ("SettleRefund", {**SETTLED, "reference": "r" * 513}, INVALID, "INVALID_FIELD"),
    ("SettleRefund", {**SETTLED, "reference": "a\x00b"}, INVALID, "INVALID_FIELD"),
    ("SettleRefund", {**SETTLED, "note": "n" * 501}, INVALID, "INVALID_FIELD"),
    ("SettleRefund", {**SETTLED, "note": ""}, INVALID, "NOTE_REQUIRED"),
    ("SettleRefund", {**SETTLED, "note": "  "}, INVALID, "NOTE_REQUIRED"),
    ("SettleRefund", SETTLED, MISSING, "REFUND_NOT_FOUND"),
    ("ResolveAttention", {"payment_id": NO_ONE, "note": "n"}, MISSING, "PAYMENT_NOT_FOUND"),
    ("ResolveAttention", {"note": "n", "reasons": ["TIRED"]}, INVALID, "INVALID_FIELD"),
    ("ResolveAttention", {"note": "n", "expected_version": -1}, INVALID, "INVALID_FIELD"),
    ("ResolveAttention", {"note": "n" * 501}, INVALID, "INVALID_FIELD"),
]


@pytest.fixture(scope="module")
def paid(daemon: Daemon) -> Any:
    with daemon.client() as client:
        return a_paid_payment(client)


@pytest.mark.parametrize(("method", "fields", "code", "reason"), BAD)
def test_bad_input_is_refused_by_its_reason_and_changes_nothing(
    operator: Client,
    paid: Any,
    method: str,
    fields: dict[str, Any],
    code: grpc.StatusCode,
    reason: str,
) -> None:
    message = getattr(pb, f"{method}Request")
    if method in ("RefundPayment", "ResolveAttention"):
        fields = {"payment_id": paid.id, **fields}
    assert refused(operator, method, message(**fields)) == (code, reason)
    assert operator.get(paid.id) == paid


@pytest.mark.parametrize(
    "method",
    [
        *("RefundPayment", "GetRefund", "ListRefunds"),
        *("CancelRefund", "ApproveRefund", "SettleRefund", "ResolveAttention"),
    ],
)
@pytest.mark.parametrize("body", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x00"])
def test_garbage_is_refused(operator: Client, paid: Any, method: str, body: bytes) -> None:
    assert refused(operator, method, body) == (INVALID, "INVALID_FIELD")
    assert operator.get(paid.id) == paid


def test_what_is_not_paid_cannot_be_refunded(client: Client) -> None:
    payment = client.initiate(scenario="pending")
    request = pb.RefundPaymentRequest(payment_id=payment.id, idempotency_key=uuid.uuid4().hex)
    not_refundable = (Code.FAILED_PRECONDITION, "NOT_REFUNDABLE")
    assert refused(client, "RefundPayment", request) == not_refundable
