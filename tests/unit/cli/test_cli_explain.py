"""explain and payments sync against a scripted daemon: what is asked, shown and returned."""

import json
from datetime import UTC, datetime

import click
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from payd_client.proto import payment_pb2 as pb
from unit.cli.conftest import Alone, Process
from unit.cli.scripted_daemon import PAYMENT_ID, ScriptedDaemon, a_payment, an_explanation

from payd.cli import explain_view, render
from payd.domain import errors


def test_explain_shows_the_answer_the_steps_and_the_command(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    result = payd("explain", PAYMENT_ID)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "The customer has not paid yet.",
        "",
        "status       PENDING",
        "waiting for  customer: The customer has to pay.",
        "next look    2026-01-02 03:04:05 UTC",
        "",
        "… 2 earlier steps left out",
        "",
        "2026-01-02 03:04:05 UTC  main-app",
        "  The payment was stored: 149.00 USD by mock.",
        "  why: main-app called InitiatePayment.",
        "  from: call of main-app, request req-1",
        "    status CREATING",
        "",
        "What to do",
        "- To ask now:",
        f"    payd payments sync {PAYMENT_ID}",
    ]
    [asked] = daemon.asked
    assert (asked.method, asked.client) == ("ExplainPayment", "main-app")
    assert asked.message == pb.ExplainPaymentRequest(payment_id=PAYMENT_ID)


def test_explain_at_a_time_asks_for_that_time(payd: Process, daemon: ScriptedDaemon) -> None:
    payd("explain", PAYMENT_ID, "--at", "2026-01-02T03:04:05.5+01:00")
    [asked] = daemon.asked
    found = asked.message.at_time.ToDatetime(tzinfo=UTC)
    assert found == datetime(2026, 1, 2, 2, 4, 5, 500_000, tzinfo=UTC)


def test_explain_prints_json(payd: Process) -> None:
    document = json.loads(payd("explain", PAYMENT_ID, "--json").stdout)
    assert document["waiting_for"]["actor"] == "WAITING_FOR_ACTOR_CUSTOMER"
    assert document["steps"][0]["changes"] == [
        {"field": "status", "before": "", "after": "CREATING"}
    ]


def test_an_unknown_payment_is_an_error(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer_explanations(errors.PaymentNotFound("no payment has this id"))
    result = payd("explain", PAYMENT_ID)
    assert result.returncode == 1
    assert "PAYMENT_NOT_FOUND: no payment has this id" in result.stderr


@pytest.mark.parametrize("time", ["yesterday", "2026-13-01", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_is_none_is_refused_before_anything_is_asked(alone: Alone, time: str) -> None:
    result = alone("explain", PAYMENT_ID, "--at", time)
    assert result.exit_code == 2
    assert "is not an ISO time like 2026-11-23T12:30" in result.stderr


def test_sync_shows_the_payment(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer(a_payment("COMPLETED"))
    result = payd("payments", "sync", PAYMENT_ID)
    assert result.returncode == 0, result.stderr
    assert "COMPLETED" in result.stdout
    [asked] = daemon.asked
    assert (asked.method, asked.message) == (
        "SyncPayment",
        pb.SyncPaymentRequest(payment_id=PAYMENT_ID),
    )
    assert json.loads(payd("payments", "sync", PAYMENT_ID, "--json").stdout)["id"] == PAYMENT_ID


def lines(width: int = 100, **overrides: object) -> list[str]:
    """What is printed of an explanation, without colours."""
    document = render.message_json(an_explanation(**overrides))
    return [click.unstyle(line) for line in explain_view.lines(document, width)]


def test_no_word_is_broken_however_narrow_the_terminal_is() -> None:
    long = f"payd has to look for payd:{PAYMENT_ID}:create:v1 there."
    printed = lines(30, waiting_for=pb.WaitingFor(what=long, actor=pb.WAITING_FOR_ACTOR_PAYD))
    assert any(f"payd:{PAYMENT_ID}:create:v1" in line for line in printed)


def test_commands_can_be_copied_as_the_program_was_called() -> None:
    document = render.message_json(an_explanation())
    *_, command = explain_view.lines(document, 100, ".venv/bin/payd", " --state-dir here")
    assert click.unstyle(command) == (
        f"    .venv/bin/payd payments sync {PAYMENT_ID} --state-dir here"
    )


def test_what_there_is_not_is_not_printed() -> None:
    step = pb.ExplanationStep(
        time=Timestamp(seconds=1, nanos=125_000_000),
        actor="a",
        source="s",
        what="W.",
        changes=[pb.StepChange(field="attention", before="STUCK", after="")],
    )
    printed = lines(
        next_look_time=None,
        steps_left_out=1,
        advice=[pb.Advice(text="Wait.")],
        steps=[step],
    )
    assert not any(line.startswith(("next look", "  why:")) for line in printed)
    assert "… 1 earlier step left out" in printed
    assert "    attention STUCK → none" in printed
    assert "1970-01-01 00:00:01.125 UTC  a" in printed
    assert printed[-1] == "- Wait."
