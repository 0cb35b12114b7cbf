"""Logs of a chain, from JSON to the payment that they name: ours beside web3's own processing."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from tempo_provider.books import books_of
from tempo_provider.contracts import MEMO_EVENT, TRANSFER_EVENT, TRANSFER_WITH_MEMO
from tempo_provider.transfers import Log, read_transfers
from web3 import Web3

# What web3 makes of the answer to eth_getLogs before its caller has it.
from web3._utils.method_formatters import log_entry_formatter
from web3.datastructures import AttributeDict

from bench.chain_node import CHAIN_ID, RECEIVER, transfer
from bench.chain_payments import memo_of
from bench.measured import Row

CALL = "chain logs"
OURS, THEIRS = "payd", "web3's own processing"
TRANSFERS = 2_000
_SECONDS = 2.0


def measure() -> Iterator[Row]:
    """Both on the same logs: each transfer is two of them, in a block of its own."""
    memos = [memo_of(number) for number in range(TRANSFERS)]
    known = frozenset(memos)
    logs: list[Log] = [
        log for block, memo in enumerate(memos, start=1) for log in transfer(block, memo)
    ]
    for what, match in ((THEIRS, _web3s(logs, known)), (OURS, _ours(logs, known))):
        rounds, spent_s = 0, 0.0
        began = time.thread_time()
        while spent_s < _SECONDS:
            if match() != TRANSFERS:
                raise AssertionError(f"{what} did not match every transfer")
            rounds += 1
            spent_s = time.thread_time() - began
        rate = rounds * len(logs) / spent_s
        yield Row(what=what, call=CALL, per_second=round(rate), server_cpu_us=round(1e6 / rate, 1))


def _ours(logs: list[Log], known: frozenset[str]) -> Callable[[], int]:
    times = dict.fromkeys(range(1, TRANSFERS + 1), datetime.now(UTC))
    accounts = frozenset({RECEIVER})

    def match() -> int:
        books = books_of(read_transfers(logs), chain_id=CHAIN_ID, accounts=accounts, times=times)
        return sum(one.reference in known for one in books.arrivals)

    return match


def _web3s(logs: list[Log], known: frozenset[str]) -> Callable[[], int]:
    contract = Web3().eth.contract(abi=[TRANSFER_EVENT, MEMO_EVENT])
    plain, with_memo = contract.events.Transfer(), contract.events.TransferWithMemo()

    def match() -> int:
        found = 0
        for log in logs:
            entry: Any = AttributeDict(log_entry_formatter(log))
            if log["topics"][0] == TRANSFER_WITH_MEMO:
                memo = with_memo.process_log(entry)["args"]["memo"]
                found += "0x" + memo.hex() in known
            else:
                plain.process_log(entry)
        return found

    return match
