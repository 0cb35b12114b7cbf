"""refund, refunds and attention against a scripted daemon: what is asked, shown and returned."""

import json
from pathlib import Path
from typing import Any

import pytest
from payd_client.proto import payment_pb2 as pb
from unit.cli.conftest import Process
from unit.cli.scripted_daemon import PAYMENT_ID, REFUND_ID, ScriptedDaemon, a_payment, a_refund

from payd.domain import errors

NOTE = ("--note", "checked with the customer")


def usd(minor_units: int) -> pb.Money:
    return pb.Money(currency_code="USD", minor_units=minor_units)


# -- refund ------------------------------------------------------------------------------------


def test_a_refund_of_all_that_is_left_needs_only_the_payment(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    result = payd("refund", PAYMENT_ID)
    assert result.returncode == 0, result.stderr
    assert "SUCCEEDED" in result.stdout
    assert "10.00 USD" in result.stdout
    [asked] = daemon.asked
    assert (asked.method, asked.client) == ("RefundPayment", "main-app")
    assert asked.message.payment_id == PAYMENT_ID
    assert not asked.message.HasField("amount")
    assert asked.message.idempotency_key


def test_refund_sends_what_was_typed_in_units_of_the_payments_currency(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    payd(
        *("refund", PAYMENT_ID, "--amount", "10.5", "--reason", "damaged"),
        *("--to", "0x1", "--idempotency-key", "key-9"),
    )
    [read, asked] = daemon.asked
    assert read.message == pb.GetPaymentRequest(payment_id=PAYMENT_ID)
    assert asked.message == pb.RefundPaymentRequest(
        payment_id=PAYMENT_ID,
        idempotency_key="key-9",
        amount=usd(1050),
        reason="damaged",
        destination="0x1",
    )


@pytest.mark.parametrize(
    ("currency", "typed", "minor_units"),
    [
        ("USD", "149", 14900),
        ("USD", "0.01", 1),
        ("USD", "1.20", 120),
        ("JPY", "1500", 1500),
        ("KWD", "1.005", 1005),
        ("USD", "92233720368547758.07", 2**63 - 1),
    ],
)
def test_an_amount_is_taken_exactly(
    payd: Process, daemon: ScriptedDaemon, currency: str, typed: str, minor_units: int
) -> None:
    daemon.answer(a_payment(amount=pb.Money(currency_code=currency, minor_units=1)))
    result = payd("refund", PAYMENT_ID, "--amount", typed)
    assert result.returncode == 0, result.stderr
    assert daemon.asked[-1].message.amount == pb.Money(
        currency_code=currency, minor_units=minor_units
    )


@pytest.mark.parametrize("typed", ["", "1,50", "1.234", "-1", "1e3", "1.", ".5", "10 USD"])
def test_an_amount_that_is_not_exact_is_refused(
    payd: Process, daemon: ScriptedDaemon, typed: str
) -> None:
    result = payd("refund", PAYMENT_ID, "--amount", typed)
    assert result.returncode == 2
    assert "is not an amount in USD, such as 12.55" in result.stderr
    assert [asked.method for asked in daemon.asked] == ["GetPayment"]


@pytest.mark.parametrize("status", ["CREATING", "PENDING", "AWAITING_APPROVAL"])
def test_a_refund_that_is_not_at_its_end_says_how_to_look_again(
    payd: Process, daemon: ScriptedDaemon, status: str
) -> None:
    daemon.answer_refunds(a_refund(status))
    result = payd("refund", PAYMENT_ID)
    assert result.returncode == 0
    assert f"to look again: payd refunds get {REFUND_ID}" in result.stdout


def test_a_refund_that_failed_is_a_failure(payd: Process, daemon: ScriptedDaemon) -> None:
    failure = pb.Failure(code="declined", message="the provider declined")
    daemon.answer_refunds(a_refund("FAILED", failure=failure))
    result = payd("refund", PAYMENT_ID)
    assert result.returncode == 1
    assert "declined: the provider declined" in result.stdout


def test_a_refused_refund_names_the_reason_and_the_key(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    daemon.answer_refunds(errors.RefundExceedsPaid("5.00 USD is left", left_minor_units="500"))
    result = payd("refund", PAYMENT_ID, "--idempotency-key", "key-9")
    assert result.returncode == 1
    for text in (
        "REFUND_EXCEEDS_PAID: 5.00 USD is left",
        "left_minor_units: 500",
        "idempotency_key: key-9",
    ):
        assert text in result.stderr
    as_json = json.loads(payd("refund", PAYMENT_ID, "--json").stdout)
    assert as_json["error"]["reason"] == "REFUND_EXCEEDS_PAID"


def test_a_refund_in_json_is_the_refund(payd: Process) -> None:
    document = json.loads(payd("refund", PAYMENT_ID, "--json").stdout)
    assert (document["id"], document["status"]) == (REFUND_ID, "REFUND_STATUS_SUCCEEDED")
    assert document["amount"] == {"currency_code": "USD", "minor_units": "1000"}


# -- refunds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        ((REFUND_ID,), pb.GetRefundRequest(refund_id=REFUND_ID)),
        (("--idempotency-key", "key-1"), pb.GetRefundRequest(idempotency_key="key-1")),
    ],
)
def test_refunds_get_looks_up_by_id_or_key(
    payd: Process, daemon: ScriptedDaemon, arguments: tuple[str, ...], request_: Any
) -> None:
    result = payd("refunds", "get", *arguments)
    assert REFUND_ID in result.stdout
    assert [asked.message for asked in daemon.asked] == [request_]


def test_refunds_get_needs_an_id_or_a_key_and_not_both(payd: Process) -> None:
    assert payd("refunds", "get").returncode == 2
    assert payd("refunds", "get", REFUND_ID, "--idempotency-key", "key-1").returncode == 2


def test_refunds_list_reads_pages_until_it_has_enough(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    daemon.answer_pages(
        pb.ListRefundsResponse(refunds=[a_refund()] * 200, next_page_token="second"),
        pb.ListRefundsResponse(refunds=[a_refund("FAILED")] * 50, next_page_token="third"),
    )
    result = payd("refunds", "list", "--count", "250", "--payment", PAYMENT_ID, "--json")
    assert len(json.loads(result.stdout)["refunds"]) == 250
    assert [asked.message for asked in daemon.asked] == [
        pb.ListRefundsRequest(payment_id=PAYMENT_ID, page_size=200),
        pb.ListRefundsRequest(payment_id=PAYMENT_ID, page_size=50, page_token="second"),
    ]


def test_refunds_list_shows_rows_of_the_chosen_statuses(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    daemon.answer_pages(pb.ListRefundsResponse(refunds=[a_refund("PENDING", reason="damaged")]))
    result = payd("refunds", "list", "--status", "pending", "--status", "CREATING")
    for text in (REFUND_ID, PAYMENT_ID, "PENDING", "10.00 USD", "damaged"):
        assert text in result.stdout
    [asked] = daemon.asked
    assert list(asked.message.statuses) == [pb.REFUND_STATUS_PENDING, pb.REFUND_STATUS_CREATING]


def test_refunds_list_says_when_there_are_none(payd: Process) -> None:
    assert payd("refunds", "list").stdout == "no refunds\n"


# -- for operators -----------------------------------------------------------------------------


def operators(pki: Path) -> dict[str, str]:
    return {
        "PAYD_OPERATOR_CERT": str(pki / "operator.crt"),
        "PAYD_OPERATOR_KEY": str(pki / "operator.key"),
    }


def test_an_operators_commands_use_the_operators_certificate(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    for command in (
        ("refunds", "approve", REFUND_ID),
        ("refunds", "cancel", REFUND_ID, *NOTE),
        ("refunds", "settle", REFUND_ID, "--failed", *NOTE),
        ("attention", "resolve", PAYMENT_ID, *NOTE),
        ("refunds", "get", REFUND_ID),
    ):
        result = payd(*command, **operators(pki))
        assert result.returncode == 0, result.stderr
    assert [(asked.method, asked.client) for asked in daemon.asked] == [
        ("ApproveRefund", "operator"),
        ("CancelRefund", "operator"),
        ("SettleRefund", "operator"),
        ("ResolveAttention", "operator"),
        ("GetRefund", "main-app"),
    ]


def test_without_one_they_use_the_given_certificate(payd: Process, daemon: ScriptedDaemon) -> None:
    assert payd("refunds", "approve", REFUND_ID).returncode == 0
    assert daemon.asked[0].client == "main-app"


def test_an_operators_note_is_sent(payd: Process, daemon: ScriptedDaemon) -> None:
    payd("refunds", "approve", REFUND_ID, *NOTE)
    payd("refunds", "cancel", REFUND_ID, *NOTE)
    assert [asked.message for asked in daemon.asked] == [
        pb.ApproveRefundRequest(refund_id=REFUND_ID, note=NOTE[1]),
        pb.CancelRefundRequest(refund_id=REFUND_ID, note=NOTE[1]),
    ]


@pytest.mark.parametrize(
    "command",
    [
        ("refunds", "cancel", REFUND_ID),
        ("refunds", "settle", REFUND_ID, "--failed"),
        ("attention", "resolve", "7"),
    ],
)
def test_a_note_is_required_where_the_audit_trail_needs_one(
    payd: Process, daemon: ScriptedDaemon, command: tuple[str, ...]
) -> None:
    result = payd(*command)
    assert result.returncode == 2
    assert "--note" in result.stderr
    assert daemon.asked == []


def test_a_settlement_says_the_outcome_and_where_it_was_found(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    result = payd("refunds", "settle", REFUND_ID, "--succeeded", "--reference", "re_9", *NOTE)
    assert REFUND_ID in result.stdout
    payd("refunds", "settle", REFUND_ID, "--failed", *NOTE)
    assert [asked.message for asked in daemon.asked] == [
        pb.SettleRefundRequest(
            refund_id=REFUND_ID,
            outcome=pb.REFUND_STATUS_SUCCEEDED,
            reference="re_9",
            note=NOTE[1],
        ),
        pb.SettleRefundRequest(refund_id=REFUND_ID, outcome=pb.REFUND_STATUS_FAILED, note=NOTE[1]),
    ]


def test_a_settlement_without_an_outcome_is_not_sent(payd: Process, daemon: ScriptedDaemon) -> None:
    result = payd("refunds", "settle", REFUND_ID, *NOTE)
    assert result.returncode == 2
    assert "--succeeded" in result.stderr
    assert daemon.asked == []


def test_attention_is_resolved_reason_by_reason_and_the_payment_shown(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    result = payd("attention", "resolve", PAYMENT_ID, "UNDERPAID", "STUCK", *NOTE, "--version", "4")
    assert result.returncode == 0, result.stderr
    assert PAYMENT_ID in result.stdout
    [asked] = daemon.asked
    assert asked.message == pb.ResolveAttentionRequest(
        payment_id=PAYMENT_ID, reasons=["UNDERPAID", "STUCK"], note=NOTE[1], expected_version=4
    )
    document = json.loads(payd("attention", "resolve", PAYMENT_ID, *NOTE, "--json").stdout)
    assert document["id"] == PAYMENT_ID
