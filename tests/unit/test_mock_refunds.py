"""Refunds of the mock: what a payment's metadata or a refund's reason asks for happens."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
import trio
from mock_provider import MockConfig
from mock_provider.provider import MockProvider, open_provider
from trio.testing import MockClock
from unit.providers.toys import (
    REFUND_ID,
    START,
    CollectingSink,
    Journal,
    TrioClock,
    a_ref,
    a_refund,
    a_refund_ref,
    an_operation,
)

from payd.plugins import (
    Absent,
    Declined,
    Found,
    IdempotencyConflict,
    InvalidRequest,
    OutcomeUnknown,
    ProviderContext,
    RefundOperation,
    RefundSnapshot,
    RefundState,
)

#: What each second refund is called.
OTHER_ID = UUID("01890000-0000-7000-8000-00000000000a")


@asynccontextmanager
async def paid(
    sink: CollectingSink | None = None, state_file: Path | None = None, **metadata: str
) -> AsyncIterator[MockProvider]:
    """A mock whose session was paid in full, 10.00 USD."""
    context = ProviderContext(environment="test", secrets={}, clock=TrioClock(), log=Journal())
    async with open_provider(context, MockConfig(state_file=state_file)) as provider:
        assert isinstance(provider, MockProvider)
        metadata = {"mock_delay_ms": "1000", **metadata}
        await provider.create(an_operation(metadata=metadata))
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            await nursery.start(provider.watch, sink or CollectingSink())
            yield provider
            nursery.cancel_scope.cancel()


async def of(provider: MockProvider, **overrides: Any) -> RefundOperation:
    """A refund of the mock's session."""
    return a_refund(**{"reference": (await found(provider)).created.reference, **overrides})


async def found(provider: MockProvider) -> Found:
    result = await provider.fetch(a_ref())
    assert isinstance(result, Found)
    return result


async def states(provider: MockProvider, *seconds: float) -> Sequence[RefundState]:
    """The refund's states after each of these pauses."""
    seen = []
    for pause in seconds:
        await trio.sleep(pause)
        refund = await provider.fetch_refund(a_refund_ref())
        assert isinstance(refund, RefundSnapshot)
        seen.append(refund.state)
    return seen


def reported(sink: CollectingSink) -> Sequence[tuple[str, RefundState, int]]:
    """The refunds that the watch reported."""
    facts = [observation.fact for observation in sink.seen]
    return [(f.reference, f.state, f.amount) for f in facts if isinstance(f, RefundSnapshot)]


#: scenario → states at once, half a second later, and after the delay
FATES = {
    "succeed": ["SUCCEEDED"] * 3,
    "pending": ["PENDING", "PENDING", "SUCCEEDED"],
    "fail": ["PENDING", "PENDING", "FAILED"],
    "fail_later": ["SUCCEEDED", "SUCCEEDED", "FAILED"],
    "timeout_before": ["SUCCEEDED"] * 3,
    "timeout_after": ["SUCCEEDED"] * 3,
}


@pytest.mark.parametrize("asks_in", ["metadata", "reason"])
@pytest.mark.parametrize("scenario", FATES)
async def test_a_scenario_happens_and_is_reported(
    scenario: str, asks_in: str, autojump_clock: MockClock
) -> None:
    sink = CollectingSink()
    wanted = scenario if asks_in == "metadata" else "succeed"
    reason = f"Broken (mock_refund={scenario})." if asks_in == "reason" else "Broken."
    async with paid(sink, mock_refund=wanted) as provider:
        operation = await of(provider, reason=reason)
        while True:
            try:
                refund = await provider.refund(operation)
                break
            except OutcomeUnknown:
                continue
        seen = await states(provider, 0, 0.5, 1)
        await trio.sleep(1)
    assert [state.value for state in seen] == FATES[scenario]
    assert refund.state is seen[0]
    assert (refund.refund_id, refund.amount, refund.asset) == (REFUND_ID, 400, "USD")
    changes = [state for state, before in zip(seen, [None, *seen], strict=False) if state != before]
    assert reported(sink) == [(refund.reference, state, 400) for state in changes]


async def test_a_lost_request_is_absent_and_a_lost_answer_is_found(
    autojump_clock: MockClock,
) -> None:
    for scenario, is_there in (("timeout_before", False), ("timeout_after", True)):
        async with paid(mock_refund=scenario) as provider:
            operation = await of(provider)
            with pytest.raises(OutcomeUnknown):
                await provider.refund(operation)
            seen = await provider.fetch_refund(a_refund_ref())
            assert isinstance(seen, RefundSnapshot) is is_there
            again = await provider.refund(operation)
            assert not is_there or again == seen


async def test_a_failed_refund_says_why_and_gives_its_money_back(
    autojump_clock: MockClock,
) -> None:
    async with paid(mock_refund="fail_later") as provider:
        await provider.refund(await of(provider, amount=1000))
        other = await of(
            provider,
            amount=1000,
            operation_id="op-2",
            refund_id=OTHER_ID,
            reason="mock_refund=succeed",
        )
        with pytest.raises(Declined, match="0 left of 1000"):
            await provider.refund(other)
        await trio.sleep(1)
        failed = await provider.fetch_refund(a_refund_ref())
        assert isinstance(failed, RefundSnapshot)
        assert failed.failure_code == "mock_failed"
        assert (await provider.refund(other)).state is RefundState.SUCCEEDED


async def test_a_declined_refund_leaves_nothing(autojump_clock: MockClock) -> None:
    async with paid(mock_refund="decline") as provider:
        with pytest.raises(Declined, match="mock_declined"):
            await provider.refund(await of(provider))
        assert await provider.fetch_refund(a_refund_ref()) == Absent()


async def test_the_same_refund_twice_is_one_and_another_amount_is_a_conflict(
    autojump_clock: MockClock,
) -> None:
    async with paid() as provider:
        operation = await of(provider)
        first = await provider.refund(operation)
        await trio.sleep(3)
        assert await provider.refund(operation) == first
        assert (await found(provider)).snapshot.refunds == (first,)
        with pytest.raises(IdempotencyConflict):
            await provider.refund(attrs.evolve(operation, amount=401))


async def test_parts_add_up_to_what_was_paid_and_no_further(autojump_clock: MockClock) -> None:
    async with paid() as provider:
        for number, amount in enumerate((400, 600)):
            await provider.refund(await of(provider, amount=amount, operation_id=f"op-{number}"))
        with pytest.raises(Declined, match="exceeds_paid"):
            await provider.refund(await of(provider, amount=1, operation_id="op-3"))
        look = (await found(provider)).snapshot
        assert (sum(one.amount for one in look.refunds), look.received) == (1000, 1000)


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"reference": "mock_other"}, "no_such_session"), ({"asset": "EUR"}, "wrong_asset")],
)
async def test_what_cannot_be_refunded_is_declined(
    changes: dict[str, Any], why: str, autojump_clock: MockClock
) -> None:
    async with paid() as provider:
        with pytest.raises(Declined, match=why):
            await provider.refund(await of(provider, **changes))


async def test_an_unpaid_session_is_not_refunded(autojump_clock: MockClock) -> None:
    async with paid(mock_scenario="pending") as provider:
        with pytest.raises(Declined, match="not_paid"):
            await provider.refund(await of(provider))


async def test_a_misspelt_scenario_is_refused_with_its_field(autojump_clock: MockClock) -> None:
    async with paid() as provider:
        with pytest.raises(InvalidRequest, match="mock_refund must be one of") as refused:
            await provider.refund(await of(provider, reason="mock_refund=often"))
        assert refused.value.field == "reason"
        with pytest.raises(InvalidRequest, match="must be one of") as refused:
            await provider.create(an_operation(operation_id="x", metadata={"mock_refund": "often"}))
        assert refused.value.field == "metadata.mock_refund"


async def test_a_refund_in_the_mocks_dashboard_is_reported_as_not_ours(
    autojump_clock: MockClock,
) -> None:
    sink = CollectingSink()
    async with paid(sink, mock_scenario="refunded") as provider:
        assert (await found(provider)).snapshot.refunds == ()
        await trio.sleep(2)
        [refund] = (await found(provider)).snapshot.refunds
    assert (refund.refund_id, refund.amount, refund.state) == (None, 1000, RefundState.SUCCEEDED)
    assert refund.time == START + timedelta(seconds=2)
    assert reported(sink) == [(refund.reference, RefundState.SUCCEEDED, 1000)]


async def test_a_cancelled_session_is_not_refunded_in_the_dashboard(
    autojump_clock: MockClock,
) -> None:
    sink = CollectingSink()
    context = ProviderContext(environment="test", secrets={}, clock=TrioClock(), log=Journal())
    async with open_provider(context, MockConfig()) as provider, trio.open_nursery() as nursery:
        assert isinstance(provider, MockProvider)
        await provider.create(an_operation(metadata={"mock_scenario": "refunded"}))
        await provider.cancel(a_ref())
        await nursery.start(provider.watch, sink)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert sink.seen == []


async def test_refunds_survive_the_death_of_the_daemon(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    state_file = tmp_path / "mock.sqlite3"
    async with paid(state_file=state_file, mock_refund="pending") as provider:
        first = await provider.refund(await of(provider))
    sink = CollectingSink()
    context = ProviderContext(environment="test", secrets={}, clock=TrioClock(), log=Journal())
    async with open_provider(context, MockConfig(state_file=state_file)) as again:
        assert isinstance(again, MockProvider)
        await trio.sleep(5)
        seen = await again.fetch_refund(a_refund_ref(reference=first.reference))
        assert isinstance(seen, RefundSnapshot)
        assert seen == attrs.evolve(first, state=RefundState.SUCCEEDED)
        async with trio.open_nursery() as nursery:
            await nursery.start(again.watch, sink)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
    assert (first.reference, RefundState.SUCCEEDED, 400) in reported(sink)
