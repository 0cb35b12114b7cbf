"""The operator's commands beside payments: what is asked, with whose certificate, what is shown."""

import json
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from payd_client.proto import payment_pb2 as pb
from unit.cli.conftest import Process
from unit.cli.scripted_daemon import PAYMENT_ID, ScriptedDaemon
from unit.cli.test_cli_lists import operators

from payd.domain import errors

TIME = Timestamp(seconds=1_767_323_045)
TOKEN = "0x" + "ab" * 20


def a_receipt(name: str = "0x1:0", **overrides: object) -> pb.Receipt:
    """1.50 USDC, of no payment."""
    message = pb.Receipt(
        id=name,
        provider="tempo",
        asset=TOKEN,
        amount_base_units="1500000",
        currency="USDC",
        decimals=6,
        state=pb.RECEIPT_STATE_CONFIRMED,
        time=TIME,
        reference="0xmemo",
        details={"sender": "0xsender"},
    )
    message.MergeFrom(pb.Receipt(**overrides))  # type: ignore[arg-type]  # the test's own fields
    return message


# -- receipts --------------------------------------------------------------------------------------


def test_unmatched_receipts_are_listed_page_by_page(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    daemon.answer_calls(
        "ListReceipts",
        pb.ListReceiptsResponse(receipts=[a_receipt("0x1:0")], next_page_token="second"),
        pb.ListReceiptsResponse(receipts=[a_receipt("0x2:0", currency="", decimals=0)]),
    )
    result = payd("receipts", "list", "--provider", "tempo", **operators(pki))
    assert result.returncode == 0, result.stderr
    for text in ("0x1:0", "0x2:0", "1.500000 USDC", TOKEN, "CONFIRMED", "0xmemo", "0xsender"):
        assert text in result.stdout
    first, second = daemon.asked
    wanted = pb.ReceiptFilter(unmatched=True, provider="tempo")
    assert first.message == pb.ListReceiptsRequest(filter=wanted, page_size=50)
    assert (second.message.page_token, second.client) == ("second", "operator")


def test_an_unknown_token_is_shown_in_base_units(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    unknown = a_receipt()
    unknown.currency, unknown.decimals = "", 0
    daemon.answer_calls("ListReceipts", pb.ListReceiptsResponse(receipts=[unknown]))
    assert "1500000 base units" in payd("receipts", "list", **operators(pki)).stdout


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--all",), pb.ReceiptFilter()),
        (("--payment", PAYMENT_ID), pb.ReceiptFilter(payment_id=PAYMENT_ID)),
        (
            ("--since", "2026-01-02T03:04:05+00:00"),
            pb.ReceiptFilter(unmatched=True, time_from=TIME),
        ),
    ],
)
def test_each_option_is_a_field_of_the_receipts_filter(
    payd: Process,
    daemon: ScriptedDaemon,
    pki: Path,
    arguments: tuple[str, ...],
    wanted: pb.ReceiptFilter,
) -> None:
    daemon.answer_calls(
        "ListReceipts", pb.ListReceiptsResponse(receipts=[a_receipt(payment_id=PAYMENT_ID)])
    )
    result = payd("receipts", "list", *arguments, **operators(pki))
    assert daemon.asked[0].message.filter == wanted
    assert (PAYMENT_ID in result.stdout) == (not wanted.unmatched)


def test_no_more_receipts_are_read_than_are_shown(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    page = pb.ListReceiptsResponse(receipts=[a_receipt()], next_page_token="on")
    daemon.answer_calls("ListReceipts", page)
    result = payd("receipts", "list", "--count", "2", "--json", **operators(pki))
    assert len(json.loads(result.stdout)["receipts"]) == 2
    assert len(daemon.asked) == 2


def test_a_receipt_is_attached_with_a_note(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    result = payd("receipts", "attach", "0x1:0", PAYMENT_ID, "--note", "he wrote", **operators(pki))
    assert (result.returncode, "COMPLETED" in result.stdout) == (0, True), result.stderr
    [asked] = daemon.asked
    assert asked.message == pb.AttachReceiptRequest(
        receipt_id="0x1:0", payment_id=PAYMENT_ID, note="he wrote"
    )


def test_a_refusal_says_why(payd: Process, daemon: ScriptedDaemon, pki: Path) -> None:
    daemon.answer(errors.ReceiptNotAttachable("it belongs to another payment"))
    result = payd("receipts", "attach", "0x1:0", PAYMENT_ID, **operators(pki))
    assert result.returncode == 1
    assert result.stderr.startswith("RECEIPT_NOT_ATTACHABLE: it belongs to another payment")


# -- events ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        (("--payment", PAYMENT_ID), pb.RepublishEventsRequest(payment_id=PAYMENT_ID)),
        (("--event", PAYMENT_ID), pb.RepublishEventsRequest(event_id=PAYMENT_ID)),
        (
            ("--since", "2026-01-02T03:04:05+00:00", "--before", "2026-01-02T03:04:05+00:00"),
            pb.RepublishEventsRequest(publish_time=pb.TimeRange(from_time=TIME, before_time=TIME)),
        ),
    ],
)
def test_events_go_out_again_by_payment_by_id_or_by_time(
    payd: Process,
    daemon: ScriptedDaemon,
    pki: Path,
    arguments: tuple[str, ...],
    request_: pb.RepublishEventsRequest,
) -> None:
    daemon.answer_calls(
        "RepublishEvents",
        pb.RepublishEventsResponse(stored=1, duplicates=1, next_page_token="on"),
        pb.RepublishEventsResponse(stored=0, duplicates=1),
    )
    result = payd("events", "republish", *arguments, **operators(pki))
    assert result.stdout == (
        "1 event republished\n2 events already in the stream, dropped as duplicates\n"
    )
    assert daemon.asked[0].message == request_
    assert [asked.message.page_token for asked in daemon.asked] == ["", "on"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--payment", PAYMENT_ID, "--since", "1h"),
        ("--payment", PAYMENT_ID, "--event", PAYMENT_ID),
        ("--payment", PAYMENT_ID, "--before", "1h"),
    ],
)
def test_which_events_must_be_said_in_one_way(
    payd: Process, daemon: ScriptedDaemon, pki: Path, arguments: tuple[str, ...]
) -> None:
    assert payd("events", "republish", *arguments, **operators(pki)).returncode == 2
    assert daemon.asked == []


def letters(*sequences: int) -> list[pb.DeadLetter]:
    return [
        pb.DeadLetter(
            sequence=number,
            subject="payment.completed",
            event_id=f"event-{number}",
            reason="rejected: no such user",
            time=TIME,
            deliveries=3,
            headers={"ce-id": f"event-{number}"},
            data=b"{}",
        )
        for number in sequences
    ]


def test_dead_letters_are_shown_and_put_back(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    daemon.answer_calls(
        "ListDeadLetters",
        pb.ListDeadLettersResponse(dead_letters=letters(3), next_page_token="on"),
        pb.ListDeadLettersResponse(dead_letters=letters(7)),
    )
    # Another operator has replayed the other one meanwhile.
    daemon.answer_calls("ReplayDeadLetters", pb.ReplayDeadLettersResponse(replayed=[7]))
    result = payd("events", "dead-letters", "--replay", **operators(pki))
    assert "event-7" in result.stdout, result.stderr
    assert "  rejected: no such user  not known to payd\n" in result.stdout
    assert result.stdout.endswith("1 dead letter put back into the stream\n")
    assert daemon.asked[-1].message == pb.ReplayDeadLettersRequest(sequences=[3, 7])


def test_dead_letters_are_one_document_of_their_events(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    page = pb.ListDeadLettersResponse(dead_letters=letters(3))
    daemon.answer_calls("ListDeadLetters", page)
    [one] = json.loads(payd("events", "dead-letters", "--json", **operators(pki)).stdout)
    assert (one["sequence"], one["reason"], one["data"]) == (3, "rejected: no such user", "{}")
    assert one["headers"] == {"ce-id": "event-3"}


# -- reconciliations and the overview --------------------------------------------------------------


def test_reconciliations_are_shown_with_their_findings(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    finding = pb.ReconciliationFinding(kind="second_object", reference="cs_2", detail="closed")
    result = pb.Reconciliation(
        provider="stripe",
        since=TIME,
        until=TIME,
        start_time=TIME,
        end_time=TIME,
        objects=3,
        payments=2,
        findings=[finding],
    )
    page = pb.ListReconciliationsResponse(reconciliations=[result])
    daemon.answer_calls("ListReconciliations", page)
    shown = payd("reconciliations", "--provider", "stripe", **operators(pki)).stdout
    for text in ("2026-01-02T03:04:05Z", "stripe", "second_object", "cs_2", "closed"):
        assert text in shown
    assert daemon.asked[0].message == pb.ListReconciliationsRequest(provider="stripe", page_size=10)


def test_an_overview_shows_money_attention_backlog_and_health(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    overview = pb.Overview(
        time=TIME,
        sums=[
            pb.DailySum(
                day="2026-01-02",
                method="card",
                status=pb.PAYMENT_STATUS_COMPLETED,
                payments=3,
                amount=pb.Money(currency_code="USD", minor_units=44700),
            )
        ],
        attention=[pb.OpenAttention(reason="UNDERPAID", payments=2, since=TIME)],
        checks=[
            pb.HealthCheck(name="database", ok=True, required=True),
            pb.HealthCheck(name="nats", detail="not connected: check NATS_URL"),
        ],
        loops=[
            pb.LoopHealth(name="outbox publisher", restarts=2, failures=1),
            pb.LoopHealth(name="recovery"),
        ],
        backlog=pb.Backlog(events=4, oldest_event_age=Duration(seconds=90), unmatched_receipts=5),
        trail=pb.TrailState(
            checkpoint=7,
            checkpoint_time=Timestamp(seconds=TIME.seconds - 1500),
            unsigned_rows=10_000,
            unsigned_payments=300,
            unchained_rows=12,
        ),
    )
    daemon.answer_calls("GetOverview", pb.GetOverviewResponse(overview=overview))
    shown = payd("overview", "--days", "30", **operators(pki)).stdout
    for text in (
        *("2026-01-02", "card", "COMPLETED", "447.00 USD", "UNDERPAID", "2026-01-02T03:04:05Z"),
        *("asked for", "4, the oldest for 90s", "unmatched receipts", "ok  database"),
        "FAILED  nats: not connected: check NATS_URL",
        "outbox publisher: restarted 2 times, failed on 1 items",
        "7 of 2026-01-02T02:39:05Z, 25 minutes ago",
        "10000 or more of 300 or more payments",
        "12: run `payd migrate --post` when no daemon of the previous version runs",
    ):
        assert text in shown
    assert "recovery" not in shown
    assert daemon.asked[0].message == pb.GetOverviewRequest(days=30)


def test_an_overview_of_nothing_says_so(payd: Process, daemon: ScriptedDaemon, pki: Path) -> None:
    answer = pb.GetOverviewResponse(
        overview=pb.Overview(time=TIME, backlog=pb.Backlog(), trail=pb.TrailState())
    )
    daemon.answer_calls("GetOverview", answer)
    shown = payd("overview", **operators(pki)).stdout
    assert shown.startswith("no payments\n")
    assert "nothing to look at" in shown
    assert "none was signed yet" in shown


# -- stored rows -----------------------------------------------------------------------------------


def test_stored_rows_are_printed_by_table(payd: Process, daemon: ScriptedDaemon, pki: Path) -> None:
    row = '{"id": "1", "status": "FAILED"}'
    tables = [
        pb.StoredTable(name="payments", rows=[row]),
        pb.StoredTable(name="outbox", rows=[row, row], has_more=True),
    ]
    daemon.answer_calls("GetStoredRows", pb.GetStoredRowsResponse(tables=tables))
    said = payd("payments", "rows", PAYMENT_ID, **operators(pki)).stdout
    assert said.splitlines() == [
        *("payments", f"  {row}", "outbox", "  older rows are left out", f"  {row}", f"  {row}")
    ]
    daemon.answer_calls("GetStoredRows", pb.GetStoredRowsResponse(tables=tables))
    document = json.loads(payd("payments", "rows", PAYMENT_ID, "--json", **operators(pki)).stdout)
    assert document["payments"] == [json.loads(row)]
    assert daemon.asked[-1].message == pb.GetStoredRowsRequest(payment_id=PAYMENT_ID)
