"""The salt that registers an account as a master (TIP-1022), searched on all cores.

The registry accepts a salt only if Keccak-256 of account and salt begins with 32 zero bits: 2³²
tries on average, however many have failed before. The next 4 bytes are the master's id.
"""

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

import attrs
from eth_utils.crypto import keccak

#: Leading zero bits that the registry demands.
ZERO_BITS: Final = 32
#: Salts that a core tries at a time: half a second's work.
_PART: Final = 1 << 20
#: Seconds between two reports of progress, each of which is also stored.
_REPORT_S: Final = 2.0

Search = Callable[[bytes, int, int, int], int]


@attrs.frozen(kw_only=True)
class Progress:
    """How far a search has come."""

    #: Tries so far, those of earlier runs included.
    tries: int
    #: Tries in a second, of this run.
    rate: float
    zero_bits: int

    @property
    def expected_s(self) -> float:
        """Seconds that the rest takes on average, which does not become less by waiting."""
        return 2**self.zero_bits / self.rate if self.rate else float("inf")


def registration_hash(account: str, salt: int) -> bytes:
    """What the registry computes of an account (0x-hex) and a salt."""
    return keccak(bytes.fromhex(account[2:]) + salt.to_bytes(32))


def find_salt(
    account: str,
    search: Search,
    kept: Path,
    report: Callable[[Progress], None],
    *,
    zero_bits: int = ZERO_BITS,
    cores: int | None = None,
) -> int:
    """Return the smallest salt of an account; `kept` is the file where the search goes on.

    `search(account, first, count, zero_bits)` returns the first good one of `count` salts, or -1.
    """
    raw, begin, start = bytes.fromhex(account[2:]), _begin(kept, account), time.monotonic()
    cores = cores or os.cpu_count() or 1
    next_first, reported = begin, start
    running: dict[Future[int], int] = {}
    with ThreadPoolExecutor(cores) as pool:
        while True:
            while len(running) < cores:
                running[pool.submit(search, raw, next_first, _PART, zero_bits)] = next_first
                next_first += _PART
            done, _ = wait(running, timeout=_REPORT_S, return_when=FIRST_COMPLETED)
            found = [salt for one in done if (salt := one.result()) >= 0]
            if found:
                # An earlier part that still runs may have a smaller one.
                rest = [one.result() for one, first in running.items() if first < min(found)]
                return min(salt for salt in [*found, *rest] if salt >= 0)
            for one in done:
                del running[one]
            if (now := time.monotonic()) - reported >= _REPORT_S:
                reported, tried = now, min(running.values(), default=next_first)
                _keep(kept, account, tried)
                rate = (tried - begin) / (now - start)
                report(Progress(tries=tried, rate=rate, zero_bits=zero_bits))


def _begin(kept: Path, account: str) -> int:
    """The first salt that no earlier run has tried."""
    try:
        fields = json.loads(kept.read_text())
        return int(fields["next_salt"]) if fields["account"] == account else 0
    except (OSError, ValueError, LookupError, TypeError):
        return 0


def _keep(kept: Path, account: str, next_salt: int) -> None:
    """Replace the file at once: a run may end at any time."""
    new = kept.with_suffix(".new")
    new.write_text(json.dumps({"account": account, "next_salt": next_salt}))
    new.replace(kept)
