"""The inbox is searched for a customer part by part, and erased where nothing waits."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

import pytest
from contract.conftest import EMPTY

from payd.adapters.postgres import personal_data
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.personal_data import PostgresPersonalData
from payd.ports import Traces

R = TypeVar("R")
Session = Any
Act = Callable[[PostgresPersonalData, Session], Awaitable[R]]

PUT = """
    INSERT INTO inbox (
        provider, event_id, content_hash, report, raw_body, receive_time, settle_time, outcome
    )
    SELECT
        'mock', $1, sha256($1::text::bytea), $2, $3, now(),
        CASE WHEN $4::boolean THEN now() END, CASE WHEN $4::boolean THEN 'applied' END
    RETURNING id
"""


@pytest.fixture
def with_inbox(migrated_database: DatabaseSettings) -> Callable[[Act[R]], R]:
    """Run a coroutine with an empty inbox."""

    async def run(act: Act[R]) -> R:
        database = Database(migrated_database)
        session = await database.connect()
        await session.execute(EMPTY)
        try:
            return await act(PostgresPersonalData(database), session)
        finally:
            await session.close()
            await database.close()

    return lambda act: asyncio.run(run(act))


async def put(
    session: Session, text: str, body: bytes | None = None, *, settled: bool = True
) -> int:
    name = f"event {await session.fetchval('SELECT count(*) FROM inbox')}"
    found = await session.fetchval(PUT, name, json.dumps({"name": text}), body, settled)
    return int(found)


async def found_by(
    personal: PostgresPersonalData, names: Collection[str], *, erase: bool = False
) -> set[int]:
    traces, after, found = Traces(names=frozenset(names)), 0, set[int]()
    while True:
        part = await personal.erase_reports(traces, after, erase=erase)
        found |= part.found
        if part.next_after is None:
            return found
        after = part.next_after


def test_a_name_is_found_in_the_content_and_in_the_raw_body(
    with_inbox: Callable[[Act[None]], None],
) -> None:
    async def act(personal: PostgresPersonalData, session: Session) -> None:
        both = await put(session, "<ADA+1@example.org>", b"of ada+1@example.org")
        body = await put(session, "other", b"\xff cs_test_1 \x00")
        await put(session, "cs_test_10", b"nada+1@example.org")
        names = ["cs_test_1", "ada+1@example.org"]
        assert await found_by(personal, names) == {both, body}
        assert await found_by(personal, names, erase=True) == {both, body}
        kept = await session.fetch("SELECT report, raw_body FROM inbox ORDER BY id")
        assert [(json.loads(row["report"]), row["raw_body"]) for row in kept] == [
            ({"erased": True}, None),
            ({"name": "other"}, None),
            ({"name": "cs_test_10"}, b"nada+1@example.org"),
        ]
        assert await found_by(personal, names) == set()

    with_inbox(act)


def test_many_names_and_rows_are_searched_part_by_part(
    with_inbox: Callable[[Act[None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "_INBOX_ROWS", 10)
    names = [f"payment-{number:04}" for number in range(500)]

    async def act(personal: PostgresPersonalData, session: Session) -> None:
        rows = [await put(session, f"payment-{number:04}") for number in range(0, 1000, 20)]
        assert await found_by(personal, names, erase=True) == set(rows[:25])
        assert await found_by(personal, names, erase=True) == set()
        left = await session.fetchval(
            """SELECT count(*) FROM inbox WHERE report <> '{"erased": true}'"""
        )
        assert left == 25

    with_inbox(act)


def test_a_report_that_waits_is_left_whole(with_inbox: Callable[[Act[None]], None]) -> None:
    async def act(personal: PostgresPersonalData, session: Session) -> None:
        row = await put(session, "payment-1", b"payment-1", settled=False)
        traces = Traces(names=frozenset({"payment-1"}))
        part = await personal.erase_reports(traces, 0, erase=True)
        assert (part.found, part.waiting) == (frozenset(), frozenset({row}))
        assert await session.fetchval("SELECT raw_body FROM inbox") == b"payment-1"

    with_inbox(act)


def test_reports_that_the_trail_names_are_found_without_a_name(
    with_inbox: Callable[[Act[None]], None],
) -> None:
    async def act(personal: PostgresPersonalData, session: Session) -> None:
        row, _ = await put(session, "a"), await put(session, "b")
        traces = Traces(report_ids=frozenset({row}))
        part = await personal.erase_reports(traces, 0, erase=True)
        assert part.found == {row}
        part = await personal.erase_reports(traces, 0, erase=True)
        assert part.found == frozenset()

    with_inbox(act)
