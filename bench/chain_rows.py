"""The chain: its logs, catching up with it, and what open payments cost."""

from collections.abc import Callable, Iterator
from typing import Any

from bench import chain_catch_up, chain_logs, chain_open_payments
from bench.webhook_rows import Payd


def measure(
    new_database: Callable[[str], tuple[dict[str, str], str]], payd: Payd
) -> Iterator[dict[str, Any]]:
    """The rows of the table; each database is new."""
    yield from chain_logs.measure()
    yield from chain_catch_up.measure(*new_database("caught_up"), payd)
    for count in chain_open_payments.OPEN_PAYMENTS:
        environ, url = new_database(f"open_{count}")
        yield from chain_open_payments.measure(environ, url, payd, count)
