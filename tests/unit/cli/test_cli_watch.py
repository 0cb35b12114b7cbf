"""payments watch against a scripted daemon: a line for each version."""

import json

from payd_client.proto import payment_pb2 as pb
from unit.cli.conftest import Process
from unit.cli.scripted_daemon import PAYMENT_ID, ScriptedDaemon, a_payment

from payd.domain.errors import PaymentNotFound


def test_each_version_is_a_line(payd: Process, daemon: ScriptedDaemon) -> None:
    payment = a_payment("COMPLETED")
    payment.version = 3
    daemon.answer(payment)

    result = payd("payments", "watch", PAYMENT_ID)

    assert result.returncode == 0, result.stderr
    [line] = result.stdout.splitlines()
    assert "version 3  COMPLETED  received" in line
    [asked] = daemon.asked
    assert asked.method == "WatchPayment"
    assert asked.message == pb.WatchPaymentRequest(payment_id=PAYMENT_ID, linger={})


def test_json_is_one_document_a_line(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer(a_payment("COMPLETED"))

    result = payd("payments", "watch", PAYMENT_ID, "--json")

    assert json.loads(result.stdout)["id"] == PAYMENT_ID


def test_an_unknown_payment_fails(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer(PaymentNotFound("no payment has this id"))

    result = payd("payments", "watch", PAYMENT_ID)

    assert result.returncode == 1
    assert "PAYMENT_NOT_FOUND" in result.stderr
