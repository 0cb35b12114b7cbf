"""Random histories of port calls end alike in memory and in PostgreSQL.

Many tests rely on memory, so what holds there must hold on the real database. Every step compares
what both return. Calls of several daemons at once must end in PostgreSQL as they end in memory in
one order or another. A write may also lose its answer, before or after it was carried out, or be
carried out twice, as after a lost connection.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import permutations
from typing import Any

import attrs
import pytest
import trio
from contract.port_calls import Call, Side, everything
from contract.port_histories import Step, history
from contract.stores import Stores
from support.memory import (
    MemoryAccounts,
    MemoryHistories,
    MemoryPaymentLists,
    MemoryReconciliations,
    MemoryStore,
    MemoryStoredRows,
)

from payd.adapters.audit.keys import SigningKey
from payd.adapters.bridge import for_trio, open_loop
from payd.adapters.postgres import outbox as postgres_outbox
from payd.adapters.postgres.accounts import PostgresAccounts
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.history import PostgresHistories
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.leases import PostgresLeases
from payd.adapters.postgres.outbox import PostgresOutbox
from payd.adapters.postgres.payment_lists import PostgresPaymentLists
from payd.adapters.postgres.receipts import PostgresReceipts
from payd.adapters.postgres.reconciliations import PostgresReconciliations
from payd.adapters.postgres.store import PostgresStore
from payd.adapters.postgres.stored_rows import PostgresStoredRows
from payd.adapters.postgres.tags import PostgresTags
from payd.adapters.system import SystemClock
from payd.domain.decide import Rules
from payd.domain.errors import StoreUnavailable
from payd.ports import Lease, Leases

#: Each before those that it refers to.
TABLES = (
    "reconciliations", "provider_cursors", "leases", "payment_personal_values", "payment_labels",
    "outflows", "outbox", "inbox", "payment_events", "disputes", "refunds", "receipts",
    "payment_line_items", "ledger_changes", "ledger_sums", "payments", "customers",
)  # fmt: skip
#: Faster than TRUNCATE for so few rows.
EMPTY = "; ".join(f"DELETE FROM {table}" for table in TABLES)
#: The audit trail refuses to be emptied.
TRAIL = "ALTER TABLE payment_events {} TRIGGER payment_events_are_append_only"
#: Histories that once found a difference of payd's stay in the slice.
FOUND = (10828,)
SLICE = (*range(100), *FOUND)
#: In ten parts: each can run by itself.
CAMPAIGN = [range(first, first + 10_000) for first in range(0, 100_000, 10_000)]
#: A part of the campaign goes on after a difference, and ends with so many.
DIFFERENCES_MAX = 10


@attrs.frozen
class Difference(Exception):
    """The first step at which both do not agree."""

    seed: int
    steps: Sequence[Step]
    memory: Any
    postgres: Any

    def __str__(self) -> str:
        lines = "\n".join(f"  {number}. {step}" for number, step in enumerate(self.steps, 1))
        where = "\n".join(difference(self.memory, self.postgres))
        return f"seed {self.seed}: the last of these steps differs\n{lines}\n{where}"


def difference(memory: Any, postgres: Any, path: str = "result") -> Iterator[str]:
    """Every place in which two results differ."""
    if memory == postgres:
        return
    if attrs.has(type(memory)) and type(memory) is type(postgres):
        names = [field.name for field in attrs.fields(type(memory))]
        pairs = {f".{name}": (getattr(memory, name), getattr(postgres, name)) for name in names}
    elif isinstance(memory, Mapping) and isinstance(postgres, Mapping):
        keys = {**memory, **postgres}
        pairs = {f"[{key!r}]": (memory.get(key), postgres.get(key)) for key in keys}
    elif isinstance(memory, list | tuple) and len(memory) == len(postgres or ()):
        both = zip(memory, postgres, strict=True)
        pairs = {f"[{number}]": pair for number, pair in enumerate(both)}
    else:
        yield f"{path}: memory {memory!r}, postgres {postgres!r}"
        return
    for name, (one, other) in pairs.items():
        yield from difference(one, other, path + name)


class FaultyDatabase(Database):
    """Carries the next statement out with a fault."""

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__(settings)
        self._fault = ""

    async def fetch(self, statement: str, **values: object) -> Any:
        fault, self._fault = self._fault, ""
        if fault == "lost before":
            raise StoreUnavailable("lost")
        if fault:
            # Whatever is answered does not arrive, also that it was refused.
            with suppress(Exception):
                await super().fetch(statement, **values)
        if fault == "lost after":
            raise StoreUnavailable("lost")
        return await super().fetch(statement, **values)

    async def write(self, fault: str, run: Callable[[], Awaitable[Any]]) -> Any:
        """Run a write whose first statement meets the fault."""
        self._fault = fault
        return await run()


async def write_to_memory(fault: str, run: Callable[[], Awaitable[Any]]) -> Any:
    """The same faults without a database."""
    if fault == "lost before":
        raise StoreUnavailable("lost")
    if fault:
        with suppress(Exception):
            await run()
    if fault == "lost after":
        raise StoreUnavailable("lost")
    return await run()


def memory_side() -> Side:
    """Empty stores in memory."""
    store = MemoryStore(SystemClock())
    stores = Stores(
        payments=store,
        lists=MemoryPaymentLists(store),
        histories=MemoryHistories(store),
        stored_rows=MemoryStoredRows(store),
        inbox=store.inbox,
        outbox=store.outbox,
        published=store.outbox,
        cursors=store.inbox,
        reconciliations=MemoryReconciliations(store),
        receipts=store.ledger,
        leases=store.ledger,
        tags=store.tags,
        accounts=MemoryAccounts(store),
        export_audit=store.export_audit,
    )
    return Side(stores, (store, store), write_to_memory, take=partial(_take, stores.leases))


class PostgresSides:
    """Makes sides of one database, empty at first."""

    def __init__(self, database: FaultyDatabase) -> None:
        inner = [PostgresStore(database, "test", Rules()) for _ in range(2)]
        self._daemons = [for_trio(store) for store in inner]
        inbox = for_trio(PostgresInbox(database))
        outbox = for_trio(PostgresOutbox(database))
        self._stores = Stores(
            payments=self._daemons[0],
            lists=for_trio(PostgresPaymentLists(database, inner[0])),
            histories=for_trio(PostgresHistories(database)),
            stored_rows=for_trio(PostgresStoredRows(database)),
            inbox=inbox,
            outbox=outbox,
            published=outbox,
            cursors=inbox,
            reconciliations=for_trio(PostgresReconciliations(database)),
            receipts=for_trio(PostgresReceipts(database)),
            leases=for_trio(PostgresLeases(database)),
            tags=for_trio(PostgresTags(database)),
            accounts=for_trio(PostgresAccounts(database)),
            export_audit=_exports_nothing,
        )
        self._database = database
        self._trio = for_trio(database)
        self._empty: Any = None

    async def new(self) -> Side:
        """The same database, emptied."""
        if self._empty is None:
            self._empty = for_trio(await self._trio.connect())
            await self._empty.execute(TRAIL.format("DISABLE"))
        await self._empty.execute(EMPTY)
        take = partial(_take, self._stores.leases)
        return Side(self._stores, self._daemons, self._database.write, take=take)

    async def close(self) -> None:
        """Close every connection."""
        await self._trio.close()
        if self._empty is not None:
            await self._empty.execute(TRAIL.format("ENABLE"))
            await self._empty.close()


async def _take(leases: Leases, name: str) -> Lease:
    """Take a lease, and end the session that has it: only its number counts here."""
    for _ in range(500):
        if (held := await leases.acquire(name)) is not None:
            await for_trio(held).release()
            return held.lease
        # The server may still be ending the session before.
        await trio.sleep(0.01)
    raise AssertionError(f"{name} is not given back")


async def _exports_nothing(write: Callable[[str], object], key: SigningKey) -> None:
    """No history exports its trail."""


@pytest.fixture
async def postgres(
    migrated_database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PostgresSides]:
    """PostgreSQL, in which no released event becomes due within a history."""
    monkeypatch.setattr(postgres_outbox, "RETRY_IN", timedelta(hours=1))
    async with _opened(migrated_database) as sides:
        yield sides


@asynccontextmanager
async def _opened(settings: DatabaseSettings) -> AsyncIterator[PostgresSides]:
    async with open_loop(_refuse):
        sides = PostgresSides(FaultyDatabase(settings))
        try:
            yield sides
        finally:
            with trio.CancelScope(shield=True):
                await sides.close()


def _refuse(message: str, error: BaseException | None) -> None:
    raise AssertionError(message) from error


async def test_a_slice_of_random_histories_ends_alike(postgres: PostgresSides) -> None:
    for seed in SLICE:
        await compare(seed, history(seed), postgres)


@pytest.mark.campaign
@pytest.mark.parametrize("seeds", CAMPAIGN, ids=str)
async def test_a_hundred_thousand_random_histories_end_alike(
    postgres: PostgresSides, seeds: range
) -> None:
    differences = []
    for seed in seeds:
        try:
            await compare(seed, history(seed), postgres)
        except Difference as difference:
            differences.append(difference)
            if len(differences) == DIFFERENCES_MAX:
                break
    if differences:
        raise ExceptionGroup(f"from seed {seeds[0]} to {seed}", differences)


async def compare(seed: int, steps: Sequence[Step], postgres: PostgresSides) -> None:
    """Run a history on PostgreSQL, and then in memory. Raises Difference."""
    real = await postgres.new()
    seen = [(step, await _seen(step, real)) for step in steps]
    end = await everything(real)
    difference = await _difference(memory_side(), [], seen, end)
    if difference is not None:
        number, expected, found = difference
        raise Difference(seed, steps[:number], expected, found)


async def _seen(step: Step, real: Side) -> Any:
    """What a step returned, and for calls at once also what is stored after them."""
    if isinstance(step, Call):
        return await step.on(real)
    return await _at_once(step.calls, real), await everything(real)


async def _at_once(calls: Sequence[Call], side: Side) -> list[Any]:
    """The results of calls that begin together: each holds what was read before."""
    results: dict[int, Any] = {}
    callers = [side.another() for _ in calls]

    async def run(number: int) -> None:
        results[number] = await calls[number].on(callers[number])

    async with trio.open_nursery() as nursery:
        for number in range(len(calls)):
            nursery.start_soon(run, number)
    side.learn_from(callers)
    return [results[number] for number in range(len(calls))]


async def _difference(
    memory: Side, past: Sequence[Sequence[Call]], seen: Sequence[tuple[Step, Any]], end: Any
) -> tuple[int, Any, Any] | None:
    """The first step that memory does differently, with both results, or None.

    `memory` is what it is after `past`. Of calls at once some order has to explain everything that
    is seen later, too: orders that look alike at first may differ in what only a later call reads.
    """
    past = list(past)
    for number, (step, found) in enumerate(seen):
        if not isinstance(step, Call):
            return await _in_some_order(step.calls, past, seen[number:], end)
        past.append((step,))
        expected = await step.on(memory)
        if expected != found:
            return len(past), expected, found
    expected = await everything(memory)
    return None if expected == end else (len(past), expected, end)


async def _in_some_order(
    calls: Sequence[Call],
    past: Sequence[Sequence[Call]],
    seen: Sequence[tuple[Step, Any]],
    end: Any,
) -> tuple[int, Any, Any] | None:
    """None if an order explains everything; else the difference of the one that explains most."""
    (_, found), *later = seen
    differences = []
    for order in permutations(range(len(calls))):
        memory = memory_side()
        for earlier in past:
            await _in_order(earlier, memory)
        ordered = [calls[number] for number in order]
        results = dict(zip(order, await _in_order(ordered, memory), strict=True))
        expected = [results[number] for number in range(len(calls))], await everything(memory)
        if expected != found:
            differences.append((len(past) + 1, expected, found))
            continue
        difference = await _difference(memory, [*past, ordered], later, end)
        if difference is None:
            return None
        differences.append(difference)
    return max(differences, key=lambda difference: difference[0])


async def _in_order(calls: Sequence[Call], side: Side) -> list[Any]:
    callers = [side.another() for _ in calls] if len(calls) > 1 else [side]
    results = [await call.on(caller) for call, caller in zip(calls, callers, strict=True)]
    side.learn_from(callers)
    return results
