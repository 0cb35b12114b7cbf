"""While sending is held after a restore, nothing new reaches a provider; it is asked as always."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from unit.domain.builders import NOW

from payd.adapters.held import held_provider
from payd.adapters.postgres.restores import SendingHold
from payd.domain.evidence import NotAttempted, OutcomeUnknown
from payd.ports import ProviderPort

BEFORE, AFTER = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)


class Rail:
    """A provider that notes what it is asked."""

    name = "rail"
    capabilities = None

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def create(self, operation: Any) -> str:
        self.calls.append("create")
        return "created"

    async def refund(self, operation: Any) -> str:
        self.calls.append("refund")
        return "refunded"

    async def sponsor(self, request: Any) -> bytes:
        self.calls.append("sponsor")
        return b"signed"

    async def fetch(self, ref: Any) -> str:
        self.calls.append("fetch")
        return "found"


def held(rail: Rail, *, is_held: bool = True) -> Any:
    async def blocks() -> bool:
        return is_held

    hold = SimpleNamespace(blocks=blocks, hold_time=NOW)
    return held_provider(cast(ProviderPort, rail), cast(SendingHold, hold))


def an_operation(create_time: Any) -> Any:
    return SimpleNamespace(create_time=create_time, payment_id=UUID(int=1))


@pytest.mark.parametrize("call", ["create", "refund"])
async def test_a_new_request_is_provably_not_sent(call: str) -> None:
    rail = Rail()
    reply = await getattr(held(rail), call)(an_operation(AFTER))
    said = reply.evidence[0] if call == "create" else reply.answer
    assert isinstance(said, NotAttempted)
    assert (reply.error.reason, reply.error.may_retry) == ("PROVIDER_UNAVAILABLE", True)
    assert rail.calls == []


@pytest.mark.parametrize("call", ["create", "refund"])
async def test_what_the_backup_has_may_have_been_sent(call: str) -> None:
    rail = Rail()
    reply = await getattr(held(rail), call)(an_operation(BEFORE))
    said = reply.evidence[0] if call == "create" else reply.answer
    assert isinstance(said, OutcomeUnknown)
    assert (reply.error, rail.calls) == (None, [])


async def test_no_sponsor_is_asked_for_what_the_backup_says_is_left() -> None:
    rail = Rail()
    assert await held(rail).sponsor(None) is None
    assert rail.calls == []
    assert await held(rail, is_held=False).sponsor(None) == b"signed"


async def test_everything_else_is_asked_as_always() -> None:
    rail = Rail()
    assert await held(rail).fetch(None) == "found"
    assert held(rail).name == "rail"
    open_again = held(rail, is_held=False)
    assert await open_again.create(an_operation(BEFORE)) == "created"
    assert await open_again.refund(an_operation(AFTER)) == "refunded"
    assert rail.calls == ["fetch", "create", "refund"]
