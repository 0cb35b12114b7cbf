"""A generic client in its own process, over reflection alone."""

import json
import sys
from pathlib import Path

from integration.grpc.server import RunningServer
from trio import run_process


async def test_a_generic_client_calls_and_reads_errors_by_reflection(
    running: RunningServer,
) -> None:
    script = Path(__file__).with_name("generic_client.py")
    ran = await run_process(
        [sys.executable, str(script), f"localhost:{running.port}", str(running.pki)],
        capture_stdout=True,
    )
    learned = json.loads(ran.stdout)
    assert "payd.v1.PaymentService" in learned["services"]
    assert learned["methods"] == sorted(
        [
            *("GetQuote", "InitiatePayment", "GetPayment", "CancelPayment"),
            *("RefundPayment", "GetRefund", "ListRefunds"),
            *("CancelRefund", "ApproveRefund", "SettleRefund", "ResolveAttention"),
            *("ListPayments", "ListAttention", "ForgetCustomer", "ExportPayments"),
            *("ExplainPayment", "SyncPayment", "WatchPayment"),
            *("ListReceipts", "AttachReceipt", "ListReconciliations"),
            *("RepublishEvents", "ListDeadLetters", "ReplayDeadLetters"),
            *("GetOverview", "GetConfiguration", "GetStoredRows"),
        ]
    )
    assert learned["total"] == 100
    assert (learned["code"], learned["reason"]) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert learned["metadata"] == {"field": "payment_id"}
