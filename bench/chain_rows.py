"""The chain: logs decoded and matched beside web3's own way, catching up, and what open payments cost."""

import asyncio
import json
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import md5
from typing import Any

import asyncpg
import psutil

from bench.chain_node import CHAIN_ID, RECEIVER, TOKEN, transfer
from bench.webhook_rows import Payd

OPEN_PAYMENTS = (1, 10_000, 1_000_000)
BLOCKS = 20_000
RECEIPTS = 500
LOGS = 4_000
TAIL = 40
_IDLE_S = 4.0
_PATIENCE_S = 120.0


def measure(
    new_database: Callable[[str], tuple[dict[str, str], str]], payd: Payd
) -> list[dict[str, Any]]:
    """The rows of the table."""
    rows = list(_logs())
    for count in OPEN_PAYMENTS:
        environ, url = new_database(f"open_{count}")
        asyncio.run(_seed(url, count))
        rows += _catch_up(environ, url, payd, count)
    return rows


# -- logs --------------------------------------------------------------------------------------


def _logs() -> Iterator[dict[str, Any]]:
    """From JSON to the payment's reference, and its lookup among the open ones."""
    from tempo_provider.contracts import MEMO_EVENT, TRANSFER_EVENT, TRANSFER_WITH_MEMO
    from tempo_provider.transfers import books_of, read_transfers
    from web3 import Web3
    from web3._utils.method_formatters import log_entry_formatter
    from web3.datastructures import AttributeDict

    memos = [_memo(number) for number in range(LOGS // 2)]
    known = {memo: memo for memo in memos}
    logs = [log for n, memo in enumerate(memos, start=1) for log in transfer(n, memo)]
    times = dict.fromkeys(range(1, len(memos) + 1), datetime.now(UTC))
    contract = Web3().eth.contract(abi=[TRANSFER_EVENT, MEMO_EVENT])
    transferred, with_memo = contract.events.Transfer(), contract.events.TransferWithMemo()

    def ours() -> int:
        accounts = frozenset({RECEIVER})
        books = books_of(read_transfers(logs), chain_id=CHAIN_ID, accounts=accounts, times=times)
        return sum(one.reference in known for one in books.arrivals)

    def web3s() -> int:
        found = 0
        for log in logs:
            entry = AttributeDict(log_entry_formatter(log))
            if log["topics"][0] != TRANSFER_WITH_MEMO:
                transferred.process_log(entry)
            else:
                decoded = with_memo.process_log(entry)
                found += "0x" + decoded["args"]["memo"].hex() in known
        return found

    for what, decode in (("web3's own processing", web3s), ("payd", ours)):
        began, rounds = time.perf_counter(), 0
        while time.perf_counter() - began < 2:
            assert decode() == len(memos)
            rounds += 1
        taken_s = time.perf_counter() - began
        rate = rounds * len(logs) / taken_s
        yield _row(what, "chain logs", per_second=round(rate), server_cpu_us=round(1e6 / rate))


# -- a daemon behind the chain -----------------------------------------------------------------


def _catch_up(
    environ: dict[str, str], url: str, payd: Payd, count: int
) -> Iterator[dict[str, Any]]:
    seeded = random.Random(count)
    # Each of another payment, as in life; where there are too few, of none.
    memos = [_memo(number) for number in seeded.sample(range(max(count, RECEIPTS)), RECEIPTS)]
    what = f"payd, {count:,} open payments"
    with _node(memos) as rpc:
        settings = {
            "TEMPO_ENABLED": "true",
            "TEMPO_RPC_URL": rpc,
            "TEMPO_CHAIN_ID": str(CHAIN_ID),
            "TEMPO_RECEIVER_ADDRESS": RECEIVER,
            "TEMPO_TOKENS": f"USDC={TOKEN}",
            "TEMPO_MEMO_KEY": "bench",
            "TEMPO_POLL_INTERVAL_S": "0.05",
            "TEMPO_START_BLOCK": "0",
        }
        with payd(environ | settings) as (process, _, _):
            began, cpu = time.perf_counter(), _cpu_s(process)
            asyncio.run(_until_read(url, BLOCKS))
            read_s = time.perf_counter() - began
            asyncio.run(_until_settled(url))
            spent_us = (_cpu_s(process) - cpu) / RECEIPTS * 1e6
            yield _row(what, "blocks caught up", per_second=round(BLOCKS / read_s))
            yield _row(what, "receipts settled", server_cpu_us=round(spent_us))
            yield _tail(what, rpc, url, seeded, count)
            cpu = _cpu_s(process)
            time.sleep(_IDLE_S)
            idle_us = (_cpu_s(process) - cpu) / _IDLE_S * 1e6
            yield _row(what, "a second of idling", server_cpu_us=round(idle_us))


def _tail(what: str, rpc: str, url: str, seeded: random.Random, count: int) -> dict[str, Any]:
    """From a new final block to the receipt in the ledger."""
    delays_ms = []
    for _ in range(TAIL):
        began = time.perf_counter()
        block = _ask(rpc, "bench_add", _memo(seeded.randrange(count)))
        asyncio.run(_until_read(url, block))
        delays_ms.append((time.perf_counter() - began) * 1000)
    delays_ms.sort()
    p50, p99 = delays_ms[len(delays_ms) // 2], delays_ms[-1]
    return _row(what, "final block to ledger", p50_ms=round(p50, 1), p99_ms=round(p99, 1))


@contextmanager
def _node(memos: list[str]) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.chain_node", str(BLOCKS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n".join(memos))
        process.stdin.close()
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def _ask(rpc: str, method: str, *params: object) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(rpc, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["result"]


async def _until_read(url: str, block: int) -> None:
    query = "SELECT (value::jsonb ->> 'block')::bigint FROM provider_cursors WHERE name = 'watch'"
    await _until(url, query, lambda found: found is not None and found >= block)


async def _until_settled(url: str) -> None:
    query = "SELECT count(*) FROM inbox WHERE settle_time IS NULL"
    await _until(url, query, lambda waiting: waiting == 0)


async def _until(url: str, query: str, is_so: Callable[[Any], bool]) -> None:
    connection = await asyncpg.connect(url)
    try:
        until = time.perf_counter() + _PATIENCE_S
        while not is_so(await connection.fetchval(query)):
            if time.perf_counter() > until:
                raise TimeoutError(query)
            await asyncio.sleep(0.002)
    finally:
        await connection.close()


async def _seed(url: str, count: int) -> None:
    """Open payments in tokens that nobody will look at while we measure."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "INSERT INTO customers VALUES ('bench', '', '', now(), now()) ON CONFLICT DO NOTHING"
        )
        await connection.execute(_SEED, count, TOKEN, str(CHAIN_ID), timeout=600)
        await connection.execute("VACUUM (ANALYZE) payments", timeout=600)
    finally:
        await connection.close()


_SEED = """
    INSERT INTO payments (
        id, version, status, idempotency_key, request_hash, customer_id, method, provider,
        currency_code, amount_minor_units, crypto_currency, chain_id, token_address,
        token_decimals, due_base_units, subscription_ids, return_url, cancel_url, metadata,
        pricing_version, request_id, traceparent, create_time, update_time, expire_time,
        asking, provider_reference, aliases, snapshot_received, snapshot_confirmed,
        snapshot_refunded, attention, late, looks, next_look_time
    )
    SELECT
        md5('p' || n)::uuid, 2, 'PENDING', 'bench-' || n, '\\x00', 'bench', 'crypto', 'tempo',
        'USD', 14900, 'USDC', $3::text::numeric, $2,
        6, 149000000, '{}', '', '', '{}',
        'bench', '', '', now(), now(), now() + interval '1 day',
        'ANSWERED', '0x' || md5('p' || n) || md5('q' || n), '{}', 0, 0,
        0, '{}', false, 0, now() + interval '1 day'
    FROM generate_series(0, $1::integer - 1) AS n
"""


def _memo(number: int) -> str:
    """As in _SEED."""
    digests = (md5(f"{side}{number}".encode(), usedforsecurity=False) for side in "pq")
    return "0x" + "".join(digest.hexdigest() for digest in digests)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _row(what: str, method: str, **figures: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("concurrency", "per_second", "p50_ms", "p99_ms", "server_cpu_us"))
    return {"what": what, "method": method, **empty, "errors": 0, **figures}
