"""Errors and values that no honest provider gives: each gets a name, and none leaves the fence."""

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock
from unit.providers.toys import (
    CREATED,
    OPEN,
    PAYMENT_ID,
    REFUNDED,
    REFUNDS,
    START,
    CollectingSink,
    RefundingToy,
    Toy,
    WatchingToy,
    a_refund,
    a_refund_ref,
    an_operation,
    fenced,
    says,
)

from payd.domain.evidence import (
    Observation,
    OutcomeUnknown,
    Outflow,
    Receipt,
    ReceiptState,
    Unanswered,
)
from payd.domain.next_action import CryptoTransfer
from payd.plugins import PUT_MAX, Declined, InvalidRequest, RateLimited
from payd.ports.provider import Answer, RefundReply
from payd.providers.calls import PluginFailed, describe, guarded
from payd.providers.validation import check_put, is_json

UNKNOWN = Answer(evidence=(OutcomeUnknown(),))
RECEIPT = Receipt(id="r", asset="USD", amount=1, state=ReceiptState.CONFIRMED, time=START)
SEEN = Observation(id="o", reference=str(PAYMENT_ID), fact=(RECEIPT,))
GONE = Outflow(id="out", asset="USD", amount=1, time=START)


class Weird(BaseException):
    """Of no usual kind."""


class Mute(Exception):
    """It cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Unmade(Declined):
    """An error that does not initialise its base class."""

    def __init__(self) -> None:
        Exception.__init__(self)


def anyhow(kind: Callable[..., BaseException], *words: Any) -> BaseException:
    return kind(*words)


#: Each is raised by `create`.
ERRORS: Sequence[BaseException] = [
    Weird("x"),
    asyncio.CancelledError(),
    GeneratorExit(),
    StopIteration(3),
    Mute(),
    Unmade(),
    BaseExceptionGroup("both", [Weird("x"), ValueError("y")]),
    ExceptionGroup("nested", [ExceptionGroup("deeper", [Mute(), ValueError("z")])]),
    anyhow(Declined, 5, None),
    anyhow(Declined, "code", "a NUL: \0"),
    anyhow(InvalidRequest, None, 7),
    anyhow(RateLimited, math.nan),
    anyhow(RateLimited, math.inf),
    anyhow(RateLimited, -1.0),
    anyhow(RateLimited, "soon"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_whatever_it_raises_is_an_unknown_outcome(error: BaseException) -> None:
    async with fenced(Toy(says=says(error, CREATED))) as fence:
        assert await fence.create(an_operation()) == UNKNOWN
        assert fence.state().running
        assert (await fence.create(an_operation())).evidence == (CREATED,)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_whatever_a_refund_raises_is_an_unknown_outcome(error: BaseException) -> None:
    toy = RefundingToy(
        says=says(CREATED), refunds=says(error, REFUNDED), finds_refund=says(error, REFUNDED)
    )
    async with fenced(toy, capabilities={"refunds": REFUNDS}) as fence:
        assert await fence.refund(a_refund()) == RefundReply(answer=OutcomeUnknown())
        assert await fence.fetch_refund(a_refund_ref()) == RefundReply(answer=Unanswered())
        assert fence.state().running
        assert (await fence.refund(a_refund())).answer == REFUNDED
        assert (await fence.fetch_refund(a_refund_ref())).answer == REFUNDED


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_a_pure_method_raises_escapes_by_one_name(error: BaseException) -> None:
    def act() -> None:
        raise error

    with pytest.raises(PluginFailed):
        guarded(act)


@pytest.mark.parametrize(
    "ours", [KeyboardInterrupt(), BaseExceptionGroup("g", [KeyboardInterrupt()])]
)
def test_what_is_not_the_plugins_own_passes(ours: BaseException) -> None:
    def act() -> None:
        raise ours

    with pytest.raises(type(ours)):
        guarded(act)


async def test_a_cancellation_passes_the_fence_of_a_pure_method() -> None:
    def again(cancelled: BaseException) -> None:
        raise cancelled

    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            guarded(partial(again, cancelled))
    assert scope.cancelled_caught


def test_an_error_without_a_usable_text_is_named_by_its_class() -> None:
    assert describe(Mute()) == "Mute: its message cannot be read"


# -- values ----------------------------------------------------------------------------------------


def test_an_integer_of_thousands_of_digits_is_no_json() -> None:
    assert is_json(10**999)
    assert not is_json(10**1000)
    assert not is_json({"a": -(10**5000)})


@pytest.mark.parametrize("due", ["149", 149.0, True])
def test_what_an_object_asks_for_is_whole_units(due: Any) -> None:
    with pytest.raises(ValueError, match="due: must be an integer"):
        attrs.evolve(OPEN, due=due)


@pytest.mark.parametrize("field", ["chain_id", "decimals"])
def test_a_transfer_is_asked_for_in_whole_numbers(field: str) -> None:
    transfer = CryptoTransfer(
        currency="USDC",
        chain_id=1,
        token_address="0x1",
        receiver_address="0x2",
        amount_base_units=1,
        decimals=6,
        memo="0x",
        calldata="0x",
        payment_uri="",
    )
    assert attrs.evolve(CREATED, next_action=transfer).next_action == transfer
    wrong: dict[str, Any] = {field: "6"}
    with pytest.raises(ValueError, match=f"{field}: must be an integer"):
        attrs.evolve(transfer, **wrong)


@pytest.mark.parametrize("details", [None, "x", {"a": 1}, {1: "a"}, {"a": "\0"}])
def test_a_receipt_says_for_people_what_can_be_stored(details: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="details"):
        attrs.evolve(RECEIPT, details=details)


# -- what a watch puts -----------------------------------------------------------------------------


def test_what_can_be_stored_may_be_put() -> None:
    check_put([SEEN], [GONE], "7")
    check_put((), (), None)
    check_put([SEEN] * PUT_MAX, (), None)


def test_too_much_at_once_is_refused() -> None:
    with pytest.raises(ValueError, match="more than"):
        check_put([SEEN] * PUT_MAX, [GONE], None)


@pytest.mark.parametrize(
    ("observations", "outflows", "cursor"),
    [
        (["paid"], (), None),
        ([RECEIPT], (), None),
        ((), ["gone"], None),
        ((), [SEEN], None),
        ((), (), 7),
        ((), (), "\0"),
    ],
)
def test_what_cannot_be_stored_may_not_be_put(
    observations: Any, outflows: Any, cursor: Any
) -> None:
    with pytest.raises(TypeError, match="can"):
        check_put(observations, outflows, cursor)


async def test_a_watch_that_puts_nonsense_is_started_again_and_stores_nothing(
    autojump_clock: MockClock,
) -> None:
    puts: list[object] = [["paid"], [SEEN]]
    sink = CollectingSink()

    async def watch(here: Any) -> None:
        await here.put(puts.pop(0))
        await trio.sleep_forever()

    toy = WatchingToy(says=says(CREATED), watches=watch)
    async with fenced(toy) as fence, trio.open_nursery() as nursery:
        await nursery.start(fence.run_watch, sink)
        await sink.reach(1)
        restarts = fence.state().watch_restarts
        await fence.stop()
    assert sink.seen == [SEEN]
    assert restarts == 1
