"""Planted personal data is found nowhere in a dump of the database once a customer is forgotten."""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import grpc
import pytest
from payd_client.proto import payment_pb2 as pb
from support.audit_exports import KEY
from support.daemon import (
    PATIENT,
    Client,
    Daemon,
    Place,
    a_request,
    details_of,
    reason_of,
    rows,
    running_daemon,
    wait_until_published,
)
from support.forks import run_payd

from payd.adapters.audit.keys import PublicKeys
from payd.adapters.audit.verify import verify
from payd.dev.postgres import binaries

ADA = "user-ada"
#: One for each place, so that a hit says which place was missed.
EMAIL, WALLET = "pii-email@ada.example", "0xpiiwallet77"
RETURN, CANCEL = "https://pii-return.example/a", "https://pii-cancel.example/b"
ADDRESS = "203.0.113.177"
PLANTED = {
    EMAIL,
    WALLET,
    RETURN,
    CANCEL,
    ADDRESS,
    "pii-metadata-key",
    "pii-metadata-value",
    "pii-cancel-reason",
    "pii-refund-reason",
    "pii-destination",
    "pii-note",
    "pii-next-action",
    "pii-failure",
    "pii-sender",
    "pii-receiver",
    "pii-report",
    "pii-raw-body",
    "pii-in-a-body-of-several-events",
}


@pytest.fixture
def daemon(place: Place) -> Iterator[Daemon]:
    with running_daemon(place, **PATIENT) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


@pytest.fixture
def operator(daemon: Daemon) -> Iterator[Client]:
    with daemon.client("operator") as operator:
        yield operator


def of_ada(scenario: str = "complete", **fields: Any) -> pb.InitiatePaymentRequest:
    return a_request(
        scenario,
        customer=pb.Customer(id=ADA, email=EMAIL, wallet_address=WALLET),
        return_url=RETURN,
        cancel_url=CANCEL,
        subscription_ids=["sub-ada"],
        metadata={"pii-metadata-key": "pii-metadata-value"},
        **fields,
    )


def a_life(place: Place, client: Client, operator: Client) -> dict[str, str]:
    """Payments of every kind, closed, with personal values wherever they may stand; their ids."""

    def pay(scenario: str, *statuses: str) -> Any:
        started = client.call("InitiatePayment", of_ada(scenario), x_forwarded_for=ADDRESS).payment
        return client.wait_for(started.id, *statuses)

    paid = pay("complete", "COMPLETED")
    refund = pb.RefundPaymentRequest(
        payment_id=paid.id,
        idempotency_key=f"refund-{paid.id}",
        amount=pb.Money(currency_code="USD", minor_units=100),
        reason="pii-refund-reason",
        destination="pii-destination",
    )
    client.call("RefundPayment", refund, x_forwarded_for=ADDRESS)
    underpaid = pay("underpay", "EXPIRED")
    note = pb.ResolveAttentionRequest(payment_id=underpaid.id, note="pii-note")
    operator.call("ResolveAttention", note)
    declined = pay("decline", "FAILED")
    pending = pay("pending", "PENDING")
    cancel = pb.CancelPaymentRequest(payment_id=pending.id, reason="pii-cancel-reason")
    client.call("CancelPayment", cancel)
    client.wait_for(pending.id, "CANCELED")
    wait_until_published(place)
    ids = {"paid": paid.id, "underpaid": underpaid.id, "declined": declined.id}
    _plant(place, {**ids, "canceled": pending.id})
    return {**ids, "canceled": pending.id, "key": paid.idempotency_key}


def _plant(place: Place, ids: Mapping[str, str]) -> None:
    """What the mock has none of: receipts and transfers with addresses, webhooks, messages."""
    paid, declined = UUID(ids["paid"]), UUID(ids["declined"])
    details = json.dumps({"sender": "pii-sender", "transaction": "0xt1"})
    rows(
        place,
        "INSERT INTO receipts (provider, id, payment_id, asset, amount, state, time, details)"
        " VALUES ('mock', 'receipt-of-ada', $1, 'USD', 1, 'CONFIRMED', now(), $2)",
        paid,
        details,
    )
    rows(
        place,
        "INSERT INTO outflows (provider, id, asset, amount, time, details)"
        " SELECT provider, provider_reference, 'USD', 1, now(), $2 FROM refunds"
        " WHERE payment_id = $1",
        paid,
        json.dumps({"receiver": "pii-receiver", "transaction": "0xt2"}),
    )
    rows(place, "UPDATE payments SET failure_message = 'pii-failure' WHERE id = $1", declined)
    action = json.dumps({"kind": "redirect", "url": "https://pii-next-action.example"})
    rows(place, "UPDATE payments SET next_action = $2 WHERE id = $1", paid, action)
    webhook = (
        "INSERT INTO inbox (provider, event_id, content_hash, report, raw_body, receive_time,"
        " settle_time, outcome) VALUES ('mock', $1, $2, $3, $4, now(), now(), 'ignored')"
    )
    for number, (report, body) in enumerate(
        [
            ({"event": {"object": ids["paid"], "name": "pii-report"}}, b"{'x': 'pii-raw-body'}"),
            ({"event": {"to": EMAIL.upper(), "name": "pii-report"}}, None),
            (
                {"event": {"object": "of-another"}},
                f"[{ids['paid']}, pii-in-a-body-of-several-events]".encode(),
            ),
            ({"event": {"object": f"{ids['paid']}0", "name": "not-adas"}}, b"not-adas-body"),
        ]
    ):
        event = uuid.uuid4()
        rows(place, webhook, f"{number}-{event}", event.bytes, json.dumps(report), body)


def dump(place: Place) -> str:
    """A dump of the database, with the text of what stands in it as bytes."""
    url = urlsplit(place.database)
    done = subprocess.run(
        [str(binaries() / "pg_dump"), place.database.replace(f"{url.scheme}://", "postgresql://")],
        capture_output=True,
        check=True,
        timeout=120,
    )
    text = done.stdout.decode()
    decoded = [bytes.fromhex(one) for one in re.findall(r"\\x((?:[0-9a-f]{2})+)", text)]
    return "\n".join([text, *(one.decode(errors="replace") for one in decoded)])


def hits(place: Place) -> set[str]:
    text = dump(place).lower()
    return {planted for planted in PLANTED if planted.lower() in text}


def forget(operator: Client, **fields: Any) -> Any:
    request = pb.ForgetCustomerRequest(customer_id=ADA, note="request 7", **fields)
    return operator.call("ForgetCustomer", request, timeout_s=60)


def counts(answer: Any) -> dict[str, int]:
    return {one.table: one.rows for one in answer.erased}


def test_nothing_personal_is_left_in_the_database(
    daemon: Daemon, client: Client, operator: Client
) -> None:
    place = daemon.place
    ids = a_life(place, client, operator)
    bob = client.initiate(customer=pb.Customer(id="user-bob", email="bob@example.org"))
    client.wait_for(bob.id, "COMPLETED")
    published = wait_until_published(place)
    assert hits(place) == PLANTED

    would = forget(operator, dry_run=True)

    assert hits(place) == PLANTED
    assert all(counts(would).values()), counts(would)

    done = forget(operator)

    assert hits(place) == set()
    assert done.payments == would.payments == 4
    assert counts(done) == counts(would)
    text = dump(place)
    assert "bob@example.org" in text
    assert "not-adas" in text
    assert "not-adas-body" in text
    # What the law wants kept.
    for kept in ("0xt1", "0xt2", "receipt-of-ada", "sub-ada", "ethereum-mainnet", "request 7"):
        assert kept in text, kept
    _the_stream_is_excepted_and_listed(done, published, ids)
    _forgotten_payments_are_still_read(place, client, operator, ids)
    again = forget(operator)
    assert set(counts(again).values()) == {0}
    assert hits(place) == set()


def _the_stream_is_excepted_and_listed(
    done: Any, published: list[Any], ids: Mapping[str, str]
) -> None:
    of_ada = [event for event in published if event.body["id"] in ids.values()]
    assert {event.body["event_id"] for event in of_ada} == {
        event.event_id for event in done.retained_events
    }
    assert any("pii-metadata-value" in str(event.body) for event in of_ada)


def _forgotten_payments_are_still_read(
    place: Place, client: Client, operator: Client, ids: Mapping[str, str]
) -> None:
    paid = client.get(ids["paid"])
    assert (paid.status, paid.amount.minor_units) == (pb.PAYMENT_STATUS_COMPLETED, 14900)
    assert dict(paid.metadata) == {}
    assert [one.amount.minor_units for one in paid.refunds] == [100]
    listed = client.call(
        "ListPayments", pb.ListPaymentsRequest(filter=pb.PaymentFilter(customer_id=ADA))
    )
    assert len(listed.payments) == 4
    for name in ("paid", "underpaid", "declined", "canceled"):
        request = pb.ExplainPaymentRequest(payment_id=ids[name])
        explained = client.call("ExplainPayment", request).explanation
        assert any("personal data" in step.what for step in explained.steps)
        assert "pii" not in str(explained)
    again = client.call("InitiatePayment", of_ada(key=ids["key"])).payment
    assert again.id == ids["paid"]
    other = of_ada(key=ids["key"])
    other.items[0].duration = "1y"
    with pytest.raises(grpc.RpcError) as refused:
        client.call("InitiatePayment", other)
    assert reason_of(refused.value) == "IDEMPOTENCY_KEY_REUSED"
    export = run_payd(
        *("audit", "export"),
        env=place.environment(PAYD_AUDIT_SIGNING_KEY="5e" * 32),
        cwd=place.data,
    ).stdout
    assert "pii" not in export
    assert verify(BytesIO(export.encode()), PublicKeys(KEY.public_pem())).payments >= 4
    trail = rows(
        place,
        "SELECT actor, certificate, event_type FROM payment_events"
        " WHERE event_type = 'customer_forgotten'",
    )
    assert len(trail) == 4
    assert {(row["actor"], row["certificate"]) for row in trail} == {
        ("operator:operator", "operator")
    }


def test_the_audit_trail_is_intact_afterwards_and_never_named_anybody(
    place: Place, tmp_path: Path
) -> None:
    environment = place.environment(PAYD_AUDIT_SIGNING_KEY="5e" * 32)

    def audit(*arguments: str) -> str:
        done = run_payd("audit", *arguments, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def verified_export(name: str) -> list[str]:
        (tmp_path / name).write_text(export := audit("export"))
        assert f"{name} is intact" in audit("verify", name, "--public-key", "audit.pem")
        assert [planted for planted in PLANTED if planted in export] == []
        return [line for line in export.splitlines() if line.startswith('{"actor"')]

    (tmp_path / "audit.pem").write_text(audit("public-key"))
    with (
        running_daemon(place, **PATIENT) as daemon,
        daemon.client() as client,
        daemon.client("operator") as operator,
    ):
        ids = a_life(place, client, operator)
        before = verified_export("before.jsonl")
        assert "pii-cancel-reason" in audit("show", ids["canceled"], "--json")
        forget(operator)
    after = verified_export("after.jsonl")
    assert set(before) < set(after)
    assert len(after) == len(before) + 4
    shown = audit("show", ids["canceled"], "--json")
    assert "customer_forgotten" in shown
    assert [planted for planted in PLANTED if planted in shown] == []


def test_an_open_payment_is_named_and_nothing_is_erased(
    daemon: Daemon, client: Client, operator: Client
) -> None:
    started = client.call("InitiatePayment", of_ada("pending")).payment
    with pytest.raises(grpc.RpcError) as refused:
        forget(operator)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    details = details_of(refused.value)
    assert (details.reason, dict(details.metadata)) == ("CUSTOMER_HAS_OPEN_PAYMENTS", {"open": "1"})
    assert f"payment {started.id} is PENDING" in str(refused.value.details())
    assert EMAIL in hits(daemon.place)


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"customer_id": "nobody"}, grpc.StatusCode.NOT_FOUND, "CUSTOMER_NOT_FOUND"),
        ({"customer_id": ""}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"customer_id": "a b"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        (
            {"customer_id": "a", "note": "n" * 501},
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
        ),
    ],
)
def test_bad_requests_are_refused(
    operator: Client, fields: dict[str, Any], code: grpc.StatusCode, reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        operator.call("ForgetCustomer", pb.ForgetCustomerRequest(**fields))
    assert (refused.value.code(), reason_of(refused.value)) == (code, reason)


def test_a_daemon_killed_in_the_middle_leaves_the_rest_for_the_same_call(place: Place) -> None:
    with (
        running_daemon(place, **PATIENT) as daemon,
        daemon.client() as client,
        daemon.client("operator") as operator,
    ):
        a_life(place, client, operator)
    with (
        running_daemon(place, **PATIENT, PAYD_CRASH_AT="settle.after_commit") as dying,
        dying.client("operator") as operator,
    ):
        with pytest.raises(grpc.RpcError):
            forget(operator)
        dying.wait_ended()
    assert hits(place)
    with running_daemon(place, **PATIENT) as daemon, daemon.client("operator") as operator:
        forget(operator)
    assert hits(place) == set()
