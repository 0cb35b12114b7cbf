"""Lists: every filter of ListPayments and each pair, one at a time, on what is stored."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

from bench.measured import Row, percentile
from bench.stage import Place
from bench.stored import stored_id
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.payment_lists import PostgresPaymentLists
from payd.adapters.postgres.store import PostgresStore
from payd.adapters.system import SystemClock
from payd.config import load_config
from payd.daemon.builders import database_settings
from payd.domain.attention import Attention
from payd.domain.decide import Rules
from payd.domain.errors import InvalidFilter
from payd.domain.payment import Status
from payd.domain.payment_filter import PaymentFilter
from payd.service.list_payments import ListPayments

WHAT = "ListPayments"
_AND = " and "
_PAGE = 50
_WARM_UP, _RUNS = 3, 40


def measure(place: Place) -> Iterator[Row]:
    """One row for each filter and for each pair that is answered."""
    yield from asyncio.run(_measure(place))


def is_pair(row: Row) -> bool:
    """Whether it is about two filters together."""
    return _AND in row.call


async def _measure(place: Place) -> list[Row]:
    database = Database(database_settings(load_config(place.environ, None)))
    lists = PostgresPaymentLists(database, PostgresStore(database, "test", Rules()))
    use_case = ListPayments(lists=lists, clock=SystemClock())
    try:
        found = [await _row(use_case, case, place.stored) for case in _cases(place.stored)]
    finally:
        await database.close()
    return [row for row in found if row is not None]


async def _row(use_case: ListPayments, case: Mapping[str, Any], stored: int) -> Row | None:
    """Milliseconds until a page is read; None for a filter that is refused."""
    times_s: list[float] = []
    for _ in range(_WARM_UP + _RUNS):
        began = time.perf_counter()
        try:
            await use_case.newest_first(PaymentFilter(**case), None, _PAGE)
        except InvalidFilter:
            return None
        times_s.append(time.perf_counter() - began)
    ordered = sorted(times_s[_WARM_UP:])
    return Row(
        what=WHAT,
        call=_AND.join(case) or "no filter",
        concurrency=1,
        stored=stored,
        p50_ms=percentile(ordered, 0.5),
        p99_ms=percentile(ordered, 0.99),
    )


def _cases(stored: int) -> Iterator[Mapping[str, Any]]:
    """No filter, each filter, and each pair of filters."""
    # The stored payments are three seconds apart: this one stands in the middle of all.
    middle = stored // 2
    born = datetime.now(UTC) - timedelta(days=1, seconds=3 * middle)
    values: dict[str, Any] = {
        "customer_id": f"user-{middle % 1000}",
        "email": "nobody@example.org",
        "statuses": frozenset({Status.COMPLETED}),
        "methods": frozenset({"null"}),
        "providers": frozenset({"null"}),
        "attention": frozenset({Attention.UNDERPAID}),
        "subscription_id": "none",
        "reference": str(stored_id(middle)),
        "metadata": ("order", "none"),
        "create_time_from": born,
        "create_time_before": born + timedelta(hours=1),
        "currency_code": "USD",
        "min_minor_units": 100,
        "max_minor_units": 20_000,
    }
    yield {}
    for size in (1, 2):
        for names in combinations(values, size):
            yield {name: values[name] for name in names}
