"""`payd customers forget`: what is sent, and what a person and a program see."""

import json
from pathlib import Path

from payd_client.proto import payment_pb2 as pb
from unit.cli.conftest import Process
from unit.cli.scripted_daemon import PAYMENT_ID, REFUND_ID, ScriptedDaemon, forgotten
from unit.cli.test_cli_refunds import operators

from payd.domain.errors import CustomerHasOpenPayments


def test_the_operator_sees_each_table_and_what_the_stream_keeps(
    payd: Process, daemon: ScriptedDaemon, pki: Path
) -> None:
    result = payd("customers", "forget", "user-7", "--note", "request 7", **operators(pki))
    assert result.returncode == 0, result.stderr
    [asked] = daemon.asked
    assert asked.message == pb.ForgetCustomerRequest(customer_id="user-7", note="request 7")
    assert asked.client == "operator"
    assert "payments of the customer: 3" in result.stdout
    assert ["customers", "1", "wallet_address,", "email"] in map(
        str.split, result.stdout.splitlines()
    )
    assert "outflows" not in result.stdout
    assert REFUND_ID in result.stdout
    assert PAYMENT_ID in result.stdout
    assert "would be" not in result.stdout


def test_a_dry_run_says_that_it_is_one(payd: Process, daemon: ScriptedDaemon) -> None:
    result = payd("customers", "forget", "user-7", "--dry-run")
    assert daemon.asked[0].message.dry_run
    assert "would be erased" in result.stdout


def test_nothing_left_is_said(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer_forgotten(forgotten(erased=[], retained_events=[]))
    assert "nothing personal was left" in payd("customers", "forget", "u").stdout
    assert "nothing personal is stored" in payd("customers", "forget", "u", "--dry-run").stdout


def test_many_events_are_cut_for_a_person_and_not_for_a_program(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    [event] = forgotten().retained_events
    daemon.answer_forgotten(forgotten(retained_events=[event] * 25))
    result = payd("customers", "forget", "u")
    assert "and 5 more: see --json" in result.stdout
    document = json.loads(payd("customers", "forget", "u", "--json").stdout)
    assert len(document["retained_events"]) == 25
    assert document["erased"][1] == {"table": "outflows", "rows": "0", "columns": "details"}


def test_reports_that_wait_are_named(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer_forgotten(forgotten(waiting_reports=2))
    assert "2 reports of providers wait" in payd("customers", "forget", "u").stderr


def test_a_refusal_says_what_is_open(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer_forgotten(CustomerHasOpenPayments("payment 1 is PENDING: wait", open="1"))
    result = payd("customers", "forget", "u")
    assert result.returncode == 1
    assert "CUSTOMER_HAS_OPEN_PAYMENTS: payment 1 is PENDING" in result.stderr
