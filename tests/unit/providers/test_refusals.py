"""A provider that refuses every payment is noticed, however good its health looks."""

from typing import Any

import pytest
from unit.providers.toys import CREATED, Journal, Toy, an_operation, fenced, says

from payd.plugins import (
    Declined,
    InvalidRequest,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    RateLimited,
)
from payd.providers.state import REFUSALS_MAX, ProviderState

REFUSED = InvalidRequest("items", "Received unknown parameter: payment_method_types")
FORBIDDEN = Misconfigured("may not create sessions")


async def after(*words: object, log: Journal | None = None) -> ProviderState:
    """How the provider stands when it has answered creates so, and is asked for its health."""
    toy = Toy(says=says(*words))
    async with fenced(toy, log=log or Journal()) as fence:
        for _ in words:
            await fence.create(an_operation())
        await fence.check_health()
        return fence.state()


@pytest.mark.parametrize("refusal", [REFUSED, FORBIDDEN])
async def test_refusals_in_a_row_are_reported_with_the_last_reason(refusal: Exception) -> None:
    state = await after(*[refusal] * REFUSALS_MAX)
    assert (state.healthy, state.creates_refused) == (True, REFUSALS_MAX)
    assert state.create_refusal is not None
    assert str(refusal) in state.create_refusal


async def test_fewer_may_be_the_callers_mistake() -> None:
    state = await after(*[REFUSED] * (REFUSALS_MAX - 1))
    assert (state.creates_refused, state.create_refusal) == (REFUSALS_MAX - 1, None)


@pytest.mark.parametrize("answer", [CREATED, Declined("card_declined", "no")])
async def test_one_payment_that_is_accepted_or_declined_ends_it(answer: object) -> None:
    state = await after(*[REFUSED] * REFUSALS_MAX, answer)
    assert (state.creates_refused, state.create_refusal) == (0, None)


@pytest.mark.parametrize(
    "silence", [OutcomeUnknown("lost"), NotAttempted("no connection"), RateLimited(1)]
)
async def test_where_nothing_was_learnt_nothing_changes(silence: Any) -> None:
    state = await after(*[REFUSED] * REFUSALS_MAX, silence)
    assert state.creates_refused == REFUSALS_MAX


async def test_it_is_logged_once() -> None:
    log = Journal()
    await after(*[REFUSED] * (REFUSALS_MAX + 2), log=log)
    assert log.events().count("provider_refuses_creates") == 1


async def test_a_long_reason_is_cut() -> None:
    state = await after(*[InvalidRequest("items", "x" * 10_000)] * REFUSALS_MAX)
    assert state.create_refusal is not None
    assert len(state.create_refusal) < 400
