"""Group commit: waiting items share a statement, and each caller gets its own result or error."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from payd.adapters.postgres.batch import Batcher
from payd.domain.errors import StoreUnavailable

PATIENCE_S = 60.0


class Statements:
    """Runs batches when it may, and keeps them."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_run = asyncio.Event()
        self.may_run.set()
        self.errors: dict[str, Exception] = {}

    async def run(self, items: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(items))
        await self.may_run.wait()
        for item in items:
            if item in self.errors:
                raise self.errors[item]
        return [item.upper() for item in items]


def run(test: Callable[[Statements, Batcher[str, str]], Coroutine[Any, Any, None]]) -> None:
    async def with_limit() -> None:
        statements = Statements()
        async with asyncio.timeout(PATIENCE_S):
            await test(statements, Batcher(statements.run, keys=lambda item: item[0], batch_max=3))

    asyncio.run(with_limit())


async def while_one_runs(
    statements: Statements, batcher: Batcher[str, str], items: Sequence[str]
) -> list[Any]:
    """Submit items while a first statement runs; return their results and errors."""
    statements.may_run.clear()
    first = asyncio.create_task(batcher.submit("first"))
    await asyncio.sleep(0)
    tasks = [asyncio.create_task(batcher.submit(item)) for item in items]
    await asyncio.sleep(0)
    statements.may_run.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_items_that_wait_share_a_statement_of_limited_size() -> None:
    async def test(statements: Statements, batcher: Batcher[str, str]) -> None:
        assert await while_one_runs(statements, batcher, list("abcd")) == list("ABCD")
        assert statements.batches == [["first"], ["a", "b", "c"], ["d"]]

    run(test)


def test_two_items_with_one_key_are_in_two_statements() -> None:
    async def test(statements: Statements, batcher: Batcher[str, str]) -> None:
        assert await while_one_runs(statements, batcher, ["a1", "b", "a2"]) == ["A1", "B", "A2"]
        assert statements.batches == [["first"], ["a1", "b"], ["a2"]]

    run(test)


def test_an_item_of_several_keys_is_written_whole_and_no_later_one_overtakes_it() -> None:
    async def test(statements: Statements, _: Batcher[str, str]) -> None:
        batcher = Batcher(statements.run, keys=list, batch_max=3)
        items = ["ab", "cd", "d", "a", "e", "fghij", "k"]
        results = await while_one_runs(statements, batcher, items)
        assert results == [item.upper() for item in items]
        assert statements.batches == [["first"], ["ab", "e"], ["cd", "a"], ["d", "k"], ["fghij"]]

    run(test)


def test_a_faulty_item_fails_alone() -> None:
    async def test(statements: Statements, batcher: Batcher[str, str]) -> None:
        statements.errors["b"] = ValueError("faulty")
        results = await while_one_runs(statements, batcher, list("abc"))
        assert [results[0], repr(results[1]), results[2]] == ["A", "ValueError('faulty')", "C"]
        assert statements.batches[1:] == [["a", "b", "c"], ["a"], ["b"], ["c"]]

    run(test)


def test_an_absent_store_fails_the_whole_batch_once() -> None:
    async def test(statements: Statements, batcher: Batcher[str, str]) -> None:
        away = StoreUnavailable("away")
        statements.errors["b"] = away
        assert await while_one_runs(statements, batcher, list("abc")) == [away, away, away]
        assert len(statements.batches) == 2

    run(test)


@pytest.mark.parametrize("items", [["a"], ["a", "b"]])
def test_an_item_is_written_although_its_caller_was_cancelled(items: list[str]) -> None:
    async def test(statements: Statements, batcher: Batcher[str, str]) -> None:
        statements.may_run.clear()
        first = asyncio.create_task(batcher.submit("first"))
        await asyncio.sleep(0)
        leaving = asyncio.create_task(batcher.submit_all(items))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
        assert leaving.cancelled()
        statements.may_run.set()
        await batcher.drain()
        assert statements.batches == [["first"], items]
        assert await first == "FIRST"

    run(test)


def test_the_first_error_of_several_items_is_raised() -> None:
    async def test(statements: Statements, batcher: Batcher[str, str]) -> None:
        statements.errors["b"] = ValueError("faulty")
        with pytest.raises(ValueError, match="faulty"):
            await batcher.submit_all(["a", "b"])
        assert statements.batches == [["a", "b"], ["a"], ["b"]]

    run(test)


def test_a_cancelled_statement_fails_its_callers() -> None:
    async def test(statements: Statements, batcher: Batcher[str, str]) -> None:
        async def cancelled(items: Sequence[str]) -> Sequence[str]:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await Batcher(cancelled, keys=lambda item: (item,)).submit("a")

    run(test)
