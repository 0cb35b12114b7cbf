"""The chain: its logs, catching up with it, and what open payments cost."""

from collections.abc import Iterator, Sequence

from bench import chain_catch_up, chain_logs, chain_open_payments
from bench.measured import Row
from bench.stage import Stage


def measure(stage: Stage, open_payments: Sequence[int]) -> Iterator[Row]:
    """The rows of the table, each on a new database."""
    yield from chain_logs.measure()
    place = stage.place("caught_up")
    yield from chain_catch_up.measure(place.environ, place.url, stage.payd)
    for count in open_payments:
        place = stage.place(f"open_{count}")
        yield from chain_open_payments.measure(place.environ, place.url, stage.payd, count)
