"""The limit: pgbench with payd's own two statements, each a transaction of its own."""

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from payd.adapters.postgres.statements import STATEMENTS
from payd.dev.postgres import binaries

#: An id that the script can say twice.
_ID = "(lpad(to_hex(:a::bigint), 16, '0') || lpad(to_hex(:b::bigint), 16, '0'))::uuid"
_PAYMENT = f"""jsonb_build_object(
    'id', {_ID}, 'version', 1, 'status', 'CREATING', 'idempotency_key', {_ID}::text,
    'request_hash', '', 'customer_id', 'user-' || (:b::bigint % 1000), 'method', 'mock',
    'provider', 'mock', 'currency_code', 'USD', 'amount_minor_units', 29800,
    'subscription_ids', jsonb_build_array({_ID}::text),
    'return_url', '', 'cancel_url', '', 'parameters', '{{}}'::jsonb, 'metadata', '{{}}'::jsonb,
    'pricing_version', repeat('0', 64),
    'request_id', '', 'traceparent', '', 'create_time', now(), 'update_time', now(),
    'expire_time', now() + interval '30 min', 'asking', 'ASKING',
    'ask_deadline', now() + interval '12 s', 'aliases', '[]'::jsonb, 'snapshot_received', 0,
    'snapshot_confirmed', 0, 'snapshot_refunded', 0, 'attention', '[]'::jsonb, 'late', false,
    'looks', 0, 'next_look_time', now() + interval '30 s')"""
_ITEM = """jsonb_build_object('position', {0}, 'chain_profile_id', 'ethereum-mainnet',
    'node_type', 'full', 'duration', '30d', 'unit_price_minor_units', 14900)"""
_AUDIT = """ARRAY[jsonb_build_object('event_type', 'payment_pending', 'actor', 'pgbench',
    'request_id', '', 'certificate', '', 'version', {}, 'details', jsonb_build_object(
    'personal', jsonb_build_object('commitment', repeat('0', 64)), {}))::text]"""
#: What stands apart from the audit trail.
_PERSONAL = """jsonb_build_object('salt', '\\x00000000000000000000000000000000', 'value',
    '{}'::jsonb)"""
_OF_ROW = """{"row": {"request_hash": "\\\\x00", "return_url": "https://shop.example/return",
    "cancel_url": "https://shop.example/cancel", "metadata": {"mock_scenario": "pending"}}}"""
_OF_CHANGES = '{"changes": {"next_action": {"kind": "redirect", "url": "https://mock.invalid"}}}'
_ITEMS = f"jsonb_build_array({_ITEM.format(0)}, {_ITEM.format(1)})"
_CHANGES = f"""jsonb_build_object('version', 2, 'status', 'PENDING', 'update_time', now(),
    'asking', 'ANSWERED', 'ask_deadline', null, 'provider_reference', {_ID}::text,
    'next_action', null, 'next_look_time', now() + interval '2 min')"""
_RECORD = f"""jsonb_build_array(jsonb_build_object(
    'customer', '{{"wallet_address": "", "email": ""}}'::jsonb,
    'personal', {_PERSONAL.format(_OF_ROW)}))"""
_CREATING = _AUDIT.format(1, f"'row', {_PAYMENT}, 'items', {_ITEMS}")
_DECISION = f"""jsonb_build_array(jsonb_build_object(
    'id', {_ID}, 'before_version', 1, 'personal', {_PERSONAL.format(_OF_CHANGES)},
    'receipts', '[]'::jsonb, 'events', '[]'::jsonb, 'inbox_ids', '[]'::jsonb))"""
_ANSWERED = _AUDIT.format(2, f"'changes', {_CHANGES}")


def run(url: str, clients: int, seconds: float) -> dict[str, Any]:
    """Transactions of both statements a second, with latencies."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "initiate.sql"
        script.write_text(_script())
        log = Path(folder) / "log"
        parts = urlsplit(url)
        command = [
            str(binaries() / "pgbench"),
            *("-n", "-M", "prepared", "-c", str(clients), "-j", "2"),
            *("-T", str(max(1, round(seconds))), "-f", str(script), "-l", "--log-prefix", str(log)),
            *("-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username)),
            parts.path.removeprefix("/"),
        ]
        env = {"PGPASSWORD": str(parts.password), "PATH": os.defpath}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stderr
        latencies = sorted(
            int(line.split()[2]) / 1000
            for path in Path(folder).glob("log.*")
            for line in path.read_text().splitlines()
        )
    rate = re.search(r"tps = ([\d.]+)", done.stdout)
    assert rate, done.stdout
    return {
        "call": "InitiatePayment",
        "calls": len(latencies),
        "errors": 0,
        "per_second": round(float(rate[1]), 1),
        "p50_ms": round(latencies[len(latencies) // 2], 2),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)], 2),
    }


def _script() -> str:
    random = "random(1, 9223372036854775806)"
    insert = _inlined("insert_payments", _RECORD, _CREATING)
    commit = _inlined("commit_decisions", _DECISION, _ANSWERED)
    return f"\\set a {random}\n\\set b {random}\n{insert};\n{commit};\n"


def _inlined(name: str, records: str, audits: str) -> str:
    # pgbench ends a statement at a semicolon, and knows no comment within one.
    sql = re.sub(r"--[^\n]*", "", STATEMENTS[name].sql)
    return sql.replace("$1::jsonb", records).replace("$2::text[]", audits)
