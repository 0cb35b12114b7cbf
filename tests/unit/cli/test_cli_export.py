"""payments export against a scripted daemon: what is asked, and each form of its answer."""

import csv
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from payd_client.proto import payment_pb2 as pb
from unit.cli.conftest import Process
from unit.cli.scripted_daemon import PAYMENT_ID, REFUND_ID, ScriptedDaemon

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
JANUARY = ("payments", "export", "--from", "2026-01-01", "--to", "2026-01-31")
TOKEN = "0x20c0000000000000000000000000000000000000"
DOLLARS = pb.ExportUnit(currency="USD", decimals=2)
YEN = pb.ExportUnit(currency="JPY", decimals=0)
USDC = pb.ExportUnit(currency="USDC", decimals=6, chain_id=4217, token_address=TOKEN)


@pytest.fixture
def operator(payd: Process, pki: Path) -> Process:
    certificate = {
        "PAYD_OPERATOR_CERT": str(pki / "operator.crt"),
        "PAYD_OPERATOR_KEY": str(pki / "operator.key"),
    }
    return lambda *arguments, **environment: payd(*arguments, **certificate, **environment)


def day(unit: pb.ExportUnit, **amounts: str) -> pb.DaySums:
    zeros = dict.fromkeys(("gross", "refunded", "disputed", "net"), "0")
    return pb.DaySums(
        day="2026-01-02",
        provider="mock",
        method="card",
        unit=unit,
        amounts=pb.ExportAmounts(**(zeros | amounts)),
        payments=2,
        refunds=1,
    )


def moved(**overrides: Any) -> pb.Movement:
    fields: dict[str, Any] = {
        "day": "2026-01-02",
        "kind": pb.MOVEMENT_KIND_REFUND,
        "payment_id": PAYMENT_ID,
        "refund_id": REFUND_ID,
        "provider": "mock",
        "method": "card",
        "reference": "re_1",
        "payment_reference": "cs_1",
        "aliases": ["pi_1", "ch_1"],
        "unit": DOLLARS,
        "amounts": pb.ExportAmounts(gross="0", refunded="1050", disputed="0", net="-1050"),
        "customer_id": "user-1",
        "idempotency_key": "key-1",
    }
    return pb.Movement(**(fields | overrides))


def test_the_sums_of_days_are_asked_for_as_an_operator(
    operator: Process, daemon: ScriptedDaemon
) -> None:
    result = operator(*JANUARY, "--timezone", "Europe/Berlin")
    assert (result.returncode, result.stdout) == (0, "no movements of money\n")
    [asked] = daemon.asked
    assert (asked.method, asked.client) == ("ExportPayments", "operator")
    assert asked.message == pb.ExportPaymentsRequest(
        first_day="2026-01-01",
        last_day="2026-01-31",
        time_zone="Europe/Berlin",
        by=pb.EXPORT_BY_DAY,
        page_size=200,
    )


def test_every_page_is_read(operator: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer_exports(
        pb.ExportPaymentsResponse(days=[day(DOLLARS)], next_page_token="second"),
        pb.ExportPaymentsResponse(next_page_token="third"),
        pb.ExportPaymentsResponse(days=[day(YEN)]),
    )
    result = operator(*JANUARY, "--json")
    currencies = [json.loads(line)["currency"] for line in result.stdout.splitlines()]
    assert currencies == ["USD", "JPY"]
    assert [asked.message.page_token for asked in daemon.asked] == ["", "second", "third"]


def test_amounts_are_exact_in_units_of_their_currency(
    operator: Process, daemon: ScriptedDaemon
) -> None:
    found = [
        day(DOLLARS, gross="9007199254740993", refunded="5", fee="29", net="9007199254740959"),
        day(YEN, gross="1500", disputed="-1500", net="3000"),
        day(USDC, gross=f"{10**30 + 1}", net=f"{10**30 + 1}"),
    ]
    daemon.answer_exports(pb.ExportPaymentsResponse(days=found))

    result = operator(*JANUARY, "--csv")

    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    names = ("gross", "refunded", "disputed", "fee", "net")
    assert [[row[name] for name in names] for row in rows] == [
        ["90071992547409.93", "0.05", "0.00", "0.29", "90071992547409.59"],
        ["1500", "0", "-1500", "", "3000"],
        [f"1{'0' * 24}.000001", "0.000000", "0.000000", "", f"1{'0' * 24}.000001"],
    ]
    assert [row["token_address"] for row in rows] == ["", "", TOKEN]
    assert [row["chain_id"] for row in rows] == ["", "", "4217"]
    assert {(row["day"], row["payments"], row["refunds"]) for row in rows} == {
        ("2026-01-02", "2", "1")
    }


def test_a_person_gets_a_table_without_empty_columns(
    operator: Process, daemon: ScriptedDaemon
) -> None:
    daemon.answer_exports(pb.ExportPaymentsResponse(days=[day(DOLLARS, gross="29800")]))
    result = operator(*JANUARY)
    assert result.returncode == 0, result.stderr
    heading, _, row, *_ = result.stdout.strip().splitlines()
    assert heading.split()[:5] == ["day", "provider", "method", "currency", "payments"]
    assert "298.00" in row
    assert "token_address" not in heading


def test_each_movement_is_a_row_with_the_ids_of_the_provider(
    operator: Process, daemon: ScriptedDaemon
) -> None:
    daemon.answer_exports(pb.ExportPaymentsResponse(movements=[moved()]))
    rows = list(csv.DictReader(io.StringIO(operator(*JANUARY, "--by", "payment", "--csv").stdout)))
    lines = operator(*JANUARY, "--by", "payment", "--json").stdout.splitlines()
    assert rows == [json.loads(line) for line in lines]
    [row] = rows
    assert (row["kind"], row["refunded"], row["net"]) == ("REFUND", "10.50", "-10.50")
    assert (row["payment_id"], row["refund_id"]) == (PAYMENT_ID, REFUND_ID)
    assert (row["reference"], row["payment_reference"]) == ("re_1", "cs_1")
    assert row["aliases"] == "pi_1 ch_1"
    assert daemon.asked[0].message.by == pb.EXPORT_BY_PAYMENT


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--csv", "--json"), "pass either --json or --csv"),
        (("--to", "2025-12-31"), "--to must not be before --from"),
        (("--to", "yesterday"), "'yesterday' does not match the format '%Y-%m-%d'"),
        (("--by", "month"), "'month' is not one of 'day', 'payment'"),
    ],
)
def test_a_wrong_option_is_refused(
    operator: Process, daemon: ScriptedDaemon, arguments: tuple[str, ...], error: str
) -> None:
    result = operator(*JANUARY, *arguments)
    assert result.returncode == 2
    assert error in result.stderr
    assert not daemon.asked


def test_the_question_of_the_operations_page_is_one_command(
    operator: Process, daemon: ScriptedDaemon
) -> None:
    [typed] = re.findall(r"\| `payd (payments export[^`]*)` \|", OPERATIONS.read_text())
    daemon.answer_exports(pb.ExportPaymentsResponse(days=[day(DOLLARS, gross="29800")]))
    result = operator(*shlex.split(typed))
    assert (result.returncode, result.stderr) == (0, "")
    assert "298.00" in result.stdout
