"""A rotation of the database's password that happens while payd logs in."""

import asyncio
from typing import Any

import asyncpg
import pytest

from payd.adapters.postgres.database import Database, DatabaseSettings


class _Admitted(Exception):
    """The server accepted the password."""


SETTINGS = DatabaseSettings(
    host="database.invalid", port=5432, user="payd", password="old", name="payd"
)


def test_a_password_that_becomes_valid_while_the_old_one_is_tried_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server_knows, tried = "old", []

    async def connect(*_args: Any, password: str, **_more: Any) -> Any:
        nonlocal server_knows
        tried.append(password)
        is_known = password == server_knows
        # Changed by its operator, just after payd was refused with the new one.
        server_knows = "new"
        raise _Admitted if is_known else asyncpg.InvalidPasswordError

    async def run() -> None:
        pool = Database(SETTINGS)
        await pool.use_password("new")
        await pool.connect()

    monkeypatch.setattr(asyncpg, "connect", connect)
    with pytest.raises(_Admitted):
        asyncio.run(run())
    assert tried == ["new", "old", "new"]


def test_a_password_that_arrives_while_the_old_one_is_refused_is_used_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody brings it a second time."""
    tried, asked = [], []

    async def run() -> None:
        database = Database(SETTINGS, on_refused=lambda: asked.append(True))

        async def connect(*_args: Any, password: str, **_more: Any) -> Any:
            tried.append(password)
            if password == "new":
                raise _Admitted
            await database.use_password("new")
            raise asyncpg.InvalidPasswordError

        monkeypatch.setattr(asyncpg, "connect", connect)
        await database.ping()

    with pytest.raises(_Admitted):
        asyncio.run(run())
    assert (tried, asked) == (["old", "new"], [])
