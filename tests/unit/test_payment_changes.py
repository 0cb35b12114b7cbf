"""Watchers of payments: one statement for all, the newest version for each, and their end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from uuid import UUID

import attrs
import pytest
from integration.grpc.server import PAYMENT

from payd.adapters.payment_changes import PolledChanges, PolledWatcher
from payd.domain.errors import Overloaded, ShuttingDown
from payd.domain.payment import Payment

PATIENCE_S = 60.0


@attrs.define
class Versions:
    """Stored payments, and the statements that read them."""

    payments: dict[UUID, Payment] = attrs.field(factory=dict)
    statements: list[Mapping[UUID, int]] = attrs.field(factory=list)

    def store(self, number: int, version: int) -> None:
        payment_id = UUID(int=number)
        self.payments[payment_id] = attrs.evolve(PAYMENT, id=payment_id, version=version)

    async def newer(self, versions: Mapping[UUID, int]) -> Sequence[Payment]:
        self.statements.append(versions)
        await asyncio.sleep(0)
        return [
            payment
            for payment_id, version in versions.items()
            if (payment := self.payments.get(payment_id)) and payment.version > version
        ]


def running(
    test: Callable[[PolledChanges, Versions], Awaitable[None]], watchers_max: int = 1000
) -> None:
    """Run a test beside the loop, on asyncio."""

    async def both() -> None:
        stored = Versions()
        changes = PolledChanges(watchers_max)
        loop = asyncio.create_task(changes.run(stored.newer))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await test(changes, stored)
        finally:
            loop.cancel()
            with suppress(asyncio.CancelledError):
                await loop

    asyncio.run(both())


async def version(watcher: PolledWatcher) -> int | None:
    payment = await watcher.newer(PATIENCE_S)
    return None if payment is None else payment.version


def test_a_change_reaches_its_watchers_and_a_thousand_cost_one_statement() -> None:
    async def test(changes: PolledChanges, stored: Versions) -> None:
        with ExitStack() as watching:
            watchers = [
                watching.enter_context(changes.watch(UUID(int=number % 500), 1))
                for number in range(1000)
            ]
            for number in range(500):
                stored.store(number, 2)
            changes.note(UUID(int=7))

            assert [await version(watcher) for watcher in watchers] == [2] * 1000
            assert len(stored.statements) == 1
            assert len(stored.statements[0]) == 500
        assert changes.watchers == 0

    running(test)


def test_a_slow_reader_gets_the_newest_version_and_never_an_old_one() -> None:
    async def test(changes: PolledChanges, stored: Versions) -> None:
        with changes.watch(UUID(int=1), 1) as slow, changes.watch(UUID(int=1), 1) as quick:
            for number in (2, 3, 4):
                stored.store(1, number)
                changes.wake()
                assert await version(quick) == number

            assert await version(slow) == 4
            assert await slow.newer(0.01) is None

    running(test)


def test_without_a_word_from_anybody_a_change_is_found_by_polling() -> None:
    async def test(changes: PolledChanges, stored: Versions) -> None:
        with changes.watch(UUID(int=1), 1) as watcher:
            assert await watcher.newer(0.2) is None
            stored.store(1, 2)

            assert await version(watcher) == 2

    running(test)


def test_a_payment_that_nobody_watches_is_not_read() -> None:
    async def test(changes: PolledChanges, stored: Versions) -> None:
        with changes.watch(UUID(int=1), 1) as watcher:
            stored.store(1, 2)
            await version(watcher)
        read = len(stored.statements)
        stored.store(1, 3)
        changes.note(UUID(int=1))
        changes.wake()
        await asyncio.sleep(0.2)

        assert len(stored.statements) == read

    running(test)


def test_beyond_the_limit_a_watcher_is_refused_until_another_leaves() -> None:
    async def test(changes: PolledChanges, stored: Versions) -> None:
        with (
            changes.watch(UUID(int=1), 1),
            pytest.raises(Overloaded),
            changes.watch(UUID(int=2), 1),
        ):
            raise AssertionError("the second watcher was let in")
        with changes.watch(UUID(int=2), 1):
            assert changes.watchers == 1

    running(test, watchers_max=1)


def test_at_the_stop_every_watcher_ends_and_no_new_one_begins() -> None:
    async def test(changes: PolledChanges, stored: Versions) -> None:
        with changes.watch(UUID(int=1), 1) as watcher:
            waiting = asyncio.create_task(watcher.newer(None))
            await asyncio.sleep(0)
            changes.end()

            with pytest.raises(ShuttingDown):
                await waiting
            with pytest.raises(ShuttingDown):
                await watcher.newer(None)
        with pytest.raises(ShuttingDown), changes.watch(UUID(int=1), 1):
            raise AssertionError("a watch began")

    running(test)
