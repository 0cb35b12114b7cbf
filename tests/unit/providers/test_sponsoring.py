"""Wallets' requests for a sponsor cost no payment its place, whatever the provider does."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from unit.providers.toys import CREATED, Toy, an_operation, fenced, says

from payd.plugins import CryptoTransfer, NotAttempted, SponsorRequest
from payd.providers.fence import SPONSORED_MAX

REQUEST = SponsorRequest(
    payment_id=uuid4(),
    action=CryptoTransfer(
        currency="USDC",
        chain_id=1,
        token_address="0x20c0",
        receiver_address="0x7ea5",
        amount_base_units=7,
        decimals=6,
        memo="0x",
        calldata="",
        payment_uri="",
    ),
    left=7,
    expire_time=datetime(2030, 1, 1, tzinfo=UTC),
    body=b"{}",
)


@attrs.define(kw_only=True)
class SponsoringToy(Toy):
    """A provider that forwards, as a test says."""

    forwards: Callable[..., Awaitable[Any]] = attrs.field(factory=lambda: says(b"signed"))

    async def sponsor(self, request: SponsorRequest, /) -> bytes:
        return await self.forwards(request)  # anything, on purpose


async def test_the_response_is_passed_on() -> None:
    async with fenced(SponsoringToy(says=says(CREATED))) as fence:
        assert await fence.sponsor(REQUEST) == b"signed"


@pytest.mark.parametrize(
    "word", [ValueError("a bug"), NotAttempted("away"), None, "text"], ids=repr
)
async def test_what_is_no_response_is_none(autojump_clock: MockClock, word: object) -> None:
    toy = SponsoringToy(says=says(CREATED), forwards=says(word))
    async with fenced(toy) as fence:
        for _ in range(20):
            assert await fence.sponsor(REQUEST) is None
        assert (await fence.create(an_operation())).evidence == (CREATED,), "payments go on"


async def test_a_provider_without_a_sponsor_is_not_asked() -> None:
    async with fenced(Toy(says=says(CREATED))) as fence:
        assert await fence.sponsor(REQUEST) is None


async def test_wallets_that_wait_take_no_place_of_a_payment(autojump_clock: MockClock) -> None:
    async def for_ever(request: SponsorRequest) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    toy = SponsoringToy(says=says(CREATED), forwards=for_ever)
    async with fenced(toy) as fence, trio.open_nursery() as nursery:
        for _ in range(10 * SPONSORED_MAX):
            nursery.start_soon(fence.sponsor, REQUEST)
        await wait_all_tasks_blocked()
        start = trio.current_time()
        assert (await fence.create(an_operation())).evidence == (CREATED,)
        assert trio.current_time() == start
        nursery.cancel_scope.cancel()
