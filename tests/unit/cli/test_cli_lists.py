"""payments list|get and attention list against a scripted daemon: what is asked and shown."""

import csv
import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from payd_client.proto import payment_pb2 as pb
from unit.cli.conftest import Process
from unit.cli.scripted_daemon import PAYMENT_ID, ScriptedDaemon, a_payment

from payd.domain import errors

PATIENCE = timedelta(minutes=5)


def answers(*payments: pb.Payment, token: str = "") -> pb.ListPaymentsResponse:
    return pb.ListPaymentsResponse(payments=payments, next_page_token=token)


def operators(pki: Path) -> dict[str, str]:
    return {
        "PAYD_OPERATOR_CERT": str(pki / "operator.crt"),
        "PAYD_OPERATOR_KEY": str(pki / "operator.key"),
    }


# -- what is asked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ((), {}),
        (("--reference", "cs_1"), {"reference": "cs_1"}),
        (("--customer", "user-1"), {"customer_id": "user-1"}),
        (("--email", "ann@example.org"), {"email": "ann@example.org"}),
        (("--metadata", "a=b=c"), {"metadata": pb.MetadataPair(key="a", value="b=c")}),
        (("--subscription", "sub-1"), {"subscription_id": "sub-1"}),
        (
            ("--status", "failed", "--status", "EXPIRED"),
            {"statuses": ["PAYMENT_STATUS_FAILED", "PAYMENT_STATUS_EXPIRED"]},
        ),
        (("--method", "card", "--method", "pix"), {"methods": ["card", "pix"]}),
        (("--provider", "stripe"), {"providers": ["stripe"]}),
        (("--attention", "UNDERPAID"), {"attention": ["UNDERPAID"]}),
        (
            ("--min", "12.5", "--max", "149", "--currency", "usd"),
            {"min_minor_units": 1250, "max_minor_units": 14900, "currency_code": "USD"},
        ),
        (("--min", "1500", "--currency", "JPY"), {"min_minor_units": 1500, "currency_code": "JPY"}),
    ],
)
def test_each_option_is_a_field_of_the_filter(
    payd: Process, daemon: ScriptedDaemon, arguments: tuple[str, ...], wanted: dict[str, Any]
) -> None:
    result = payd("payments", "list", *arguments)
    assert result.returncode == 0, result.stderr
    [asked] = daemon.asked
    assert (asked.method, asked.client) == ("ListPayments", "main-app")
    assert asked.message == pb.ListPaymentsRequest(filter=pb.PaymentFilter(**wanted), page_size=51)


@pytest.mark.parametrize(
    ("typed", "span"), [("90s", 90), ("10m", 600), ("24h", 86_400), ("30d", 30 * 86_400)]
)
def test_a_span_ends_now(payd: Process, daemon: ScriptedDaemon, typed: str, span: int) -> None:
    payd("payments", "list", "--since", typed)
    [asked] = daemon.asked
    since = asked.message.filter.create_time_from.ToDatetime(UTC)
    assert timedelta(0) <= datetime.now(UTC) - timedelta(seconds=span) - since < PATIENCE


def test_today_begins_at_midnight_here(payd: Process, daemon: ScriptedDaemon) -> None:
    payd("payments", "list", "--since", "today", "--before", "2100-01-01T12:00+02:00", TZ="UTC-5")
    [asked] = daemon.asked
    since = asked.message.filter.create_time_from.ToDatetime(UTC)
    assert (since.hour, since.minute, since.second, since.microsecond) == (19, 0, 0, 0)
    before = asked.message.filter.create_time_before.ToDatetime(UTC)
    assert before == datetime(2100, 1, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--min", "1"), "--min and --max need --currency"),
        (("--max", "1.234", "--currency", "USD"), "'1.234' is not an amount in USD, such as 12.55"),
        (("--since", "yesterday"), "is not a span like 10m"),
        (("--metadata", "order"), "'order' is not KEY=VALUE"),
        (("--status", "LOST"), "'LOST' is not one of"),
        (("--limit", "0"), "0 is not in the range"),
        (("--json", "--csv"), "pass either --json or --csv"),
    ],
)
def test_wrong_usage_asks_nothing(
    payd: Process, daemon: ScriptedDaemon, arguments: tuple[str, ...], error: str
) -> None:
    result = payd("payments", "list", *arguments)
    assert result.returncode == 2
    assert error in result.stderr
    assert daemon.asked == []


# -- what is shown -----------------------------------------------------------------------------


def test_a_row_has_whole_ids_and_amounts(payd: Process, daemon: ScriptedDaemon) -> None:
    large = pb.Money(currency_code="USD", minor_units=2**63 - 1)
    daemon.answer_lists(
        answers(a_payment(amount=large, customer_id="c" * 128, attention=["STUCK", "UNDERPAID"]))
    )
    result = payd("payments", "list")
    assert result.returncode == 0, result.stderr
    for text in (PAYMENT_ID, "92233720368547758.07 USD", "c" * 128, "STUCK, UNDERPAID", "mock"):
        assert text in result.stdout


def test_no_payments_are_said_so(payd: Process) -> None:
    assert payd("payments", "list").stdout == "no payments\n"


def test_pages_are_read_until_there_is_enough(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer_lists(
        answers(*[a_payment()] * 200, token="second"),
        answers(token="third"),
        answers(*[a_payment()] * 51, token="fourth"),
    )
    result = payd("payments", "list", "--limit", "250", "--json")
    assert len(json.loads(result.stdout)["payments"]) == 250
    assert "there are more than 250" in result.stderr
    assert [asked.message.page_token for asked in daemon.asked] == ["", "second", "third"]
    assert {asked.message.page_size for asked in daemon.asked} == {200}


def test_a_list_that_ends_says_nothing_more(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer_lists(answers(a_payment(), a_payment()))
    result = payd("payments", "list", "--limit", "2")
    assert (result.returncode, result.stderr) == (0, "")


def test_rows_for_a_spreadsheet_have_amounts_in_units(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    yen = pb.Money(currency_code="JPY", minor_units=1500)
    payment = a_payment(
        "COMPLETED",
        amount=yen,
        received=yen,
        refunded=pb.Money(currency_code="JPY"),
        customer_id='a"b,c',
        subscription_ids=["s-1", "s-2"],
        attention=["OVERPAID"],
    )
    daemon.answer_lists(answers(payment, a_payment()))
    result = payd("payments", "list", "--csv")
    first, second = csv.DictReader(result.stdout.splitlines())
    assert (first["id"], first["status"], first["customer_id"]) == (
        *(PAYMENT_ID, "COMPLETED", 'a"b,c'),
    )
    assert (first["currency"], first["amount"], first["received"]) == ("JPY", "1500", "1500")
    assert (first["subscription_ids"], first["attention"]) == ("s-1 s-2", "OVERPAID")
    assert (second["amount"], second["refunded"], second["complete_time"]) == ("149.00", "0.00", "")


def test_an_empty_spreadsheet_has_headings(payd: Process) -> None:
    assert payd("payments", "list", "--csv").stdout.startswith("id,status,method,")


def test_a_refused_list_says_what_to_add(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer_lists(
        errors.InvalidFilter("currency_code has no index: add create_time_from", filter="x")
    )
    result = payd("payments", "list", "--currency", "USD")
    assert result.returncode == 1
    assert "INVALID_FILTER: currency_code has no index: add create_time_from" in result.stderr


def test_payments_get_is_the_long_form_of_get(payd: Process, daemon: ScriptedDaemon) -> None:
    long, short = payd("payments", "get", PAYMENT_ID), payd("get", PAYMENT_ID)
    assert long.stdout == short.stdout
    assert [asked.method for asked in daemon.asked] == ["GetPayment", "GetPayment"]


# -- the operator's questions ------------------------------------------------------------------

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
QUESTIONS = re.findall(r"\| `payd ((?:payments|attention) list[^`]*)` \|", OPERATIONS.read_text())


@pytest.mark.parametrize("typed", QUESTIONS)
def test_each_question_of_the_operations_page_is_one_command(
    payd: Process, daemon: ScriptedDaemon, pki: Path, typed: str
) -> None:
    daemon.answer_lists(answers(a_payment(attention_records=[pb.AttentionRecord(reason="STUCK")])))
    result = payd(*shlex.split(typed), **operators(pki))
    assert (result.returncode, result.stderr) == (0, "")
    assert PAYMENT_ID in result.stdout


def test_the_operations_page_has_questions() -> None:
    assert len(QUESTIONS) > 10


# -- attention ---------------------------------------------------------------------------------


def test_attention_is_listed_with_the_operators_certificate(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    records = [
        pb.AttentionRecord(reason=reason, since=Timestamp(seconds=seconds))
        for reason, seconds in (("STUCK", 1_800_000_000), ("UNDERPAID", 1_700_000_000))
    ]
    records.append(pb.AttentionRecord(reason="OVERPAID", resolved_time=Timestamp(seconds=1)))
    flagged = a_payment(attention=["STUCK", "UNDERPAID"], attention_records=records)
    daemon.answer_lists(answers(flagged))
    result = payd(
        "attention", "list", "--attention", "UNDERPAID", "--method", "mock", **operators(pki)
    )
    assert result.returncode == 0, result.stderr
    for text in ("2023-11-14T22:13:20Z", PAYMENT_ID, "STUCK, UNDERPAID", "149.00 USD", "0.00 USD"):
        assert text in result.stdout
    assert "OVERPAID" not in result.stdout
    [asked] = daemon.asked
    assert (asked.method, asked.client) == ("ListAttention", "operator")
    wanted = pb.PaymentFilter(attention=["UNDERPAID"], methods=["mock"])
    assert asked.message == pb.ListAttentionRequest(filter=wanted, page_size=51)


def test_attention_comes_once_for_each_payment(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    other = "00000000-0000-0000-0000-000000000008"
    daemon.answer_lists(
        answers(a_payment(), token="second"), answers(a_payment(), a_payment(id=other))
    )
    result = payd("attention", "list", "--json", **operators(pki))
    found = [one["id"] for one in json.loads(result.stdout)["payments"]]
    assert found == [PAYMENT_ID, other]
