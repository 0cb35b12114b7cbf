"""Turns: calls about one payment pass one after another, and nothing is remembered of them."""

import asyncio
from uuid import UUID

import pytest

from payd.adapters.turns import AsyncioTurns

ONE, OTHER = UUID(int=1), UUID(int=2)


def test_calls_about_one_payment_pass_in_their_order_and_others_do_not_wait() -> None:
    turns, passed = AsyncioTurns(), list[str]()

    async def call(payment_id: UUID, name: str, turn: asyncio.Event | None = None) -> None:
        async with turns.of(payment_id):
            if turn is not None:
                await turn.wait()
            passed.append(name)

    async def run() -> None:
        release = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(call(ONE, "first", release))
            group.create_task(call(ONE, "second"))
            group.create_task(call(ONE, "third"))
            await group.create_task(call(OTHER, "other"))
            assert len(turns) == 1
            release.set()

    asyncio.run(run())
    assert passed == ["other", "first", "second", "third"]
    assert len(turns) == 0


def test_a_call_that_fails_or_is_cancelled_gives_its_turn_away() -> None:
    turns = AsyncioTurns()

    async def fail() -> None:
        async with turns.of(ONE):
            raise ValueError("no")

    async def wait_for_ever() -> None:
        async with turns.of(ONE):
            await asyncio.Event().wait()

    async def run() -> None:
        with pytest.raises(ValueError, match="no"):
            await fail()
        holder = asyncio.create_task(wait_for_ever())
        waiter = asyncio.create_task(wait_for_ever())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in (waiter, holder):
            task.cancel()
        await asyncio.gather(holder, waiter, return_exceptions=True)
        assert len(turns) == 0
        async with turns.of(ONE):
            await turns.rest()

    asyncio.run(run())
    assert len(turns) == 0
