"""What a watch meets: a database that refuses, a remote side that is away, money that vanishes."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from payd.plugins import ReceiptState, SupportsWatch
from payd.plugins.testing.bench import PATIENCE_S, Bench
from payd.plugins.testing.checks.faults import CALL_FAULTS, Opened, under_each
from payd.plugins.testing.checks.watch import (
    STILL,
    confirmed,
    until_quiet,
    until_reported,
    watch_until_quiet,
)
from payd.plugins.testing.given import BenchSink
from payd.plugins.testing.operations import due, names
from payd.plugins.testing.registry import Failed, Level, check, supports
from payd.plugins.testing.remote import CannotHappen, Fault, NotScripted, RemoteMistake
from payd.plugins.testing.watching import keep_watching

#: Puts of one run of which each is refused once: enough for a cursor that is stored by itself.
_PUTS = 4
#: Seconds of a watch under a fault: many looks of any watch.
_UNDER_S = 0.6
#: Seconds to wait after a rate limit that names no delay.
_DELAY_S = 1.0
#: Seconds between two looks at the number of requests; and by how much earlier than after the whole
#: delay the kit looks for the last time, so that no request after it counts.
_LOOK_S = 0.05
_EARLY_S = 0.4
#: Requests during the delay that a second watch, or another endpoint, may send.
_ASKED_MAX = 3
#: Looks, 0.1 s apart, at an unchanged sink that will hold no final money.
_UNFINAL = 20


@check(
    Level.WATCH,
    "A cursor that is stored before its reports passes over money when the next write fails.",
    supports(SupportsWatch),
)
async def a_write_that_fails_at_any_moment_loses_nothing(bench: Bench) -> None:
    for number in range(_PUTS):
        sink = bench.sink(refuses=[number])
        operation, ref, created = await bench.opened()
        await bench.remote.pay(ref, due(operation))
        called = names(operation, created)
        await watch_until_quiet(bench, sink, called)
        if (reported := confirmed(sink, called)) != due(operation):
            raise Failed(
                f"put number {number + 1} of a run failed once, and then {reported} of"
                f" {due(operation)} were reported: store a cursor together with the reports that"
                " it covers, and read it again from the sink after an error"
            )
        if sink.puts <= number:
            return


@check(
    Level.WATCH,
    "The remote side is away now and then; what is paid meanwhile must be reported afterwards.",
    supports(SupportsWatch),
)
async def a_fault_in_the_watch_loses_nothing(bench: Bench) -> None:
    bench.require_requests("watch")

    async def act(fault: Fault, opened: Opened) -> None:
        delay_s = _delay_s(bench) if fault is Fault.RATE_LIMITED else 0.0
        await _through(bench, fault.value, opened, partial(bench.remote.fault, fault), delay_s)

    await under_each(bench, CALL_FAULTS, act)


@check(
    Level.WATCH,
    "A refusal that is read as an empty list moves the cursor past the money.",
    supports(SupportsWatch),
)
async def a_forbidden_watch_loses_nothing(bench: Bench) -> None:
    bench.require_requests("watch")
    # Before anything is created for it: it may be impossible.
    await bench.remote.forbid()
    await bench.remote.mend()
    operation, ref, created = await bench.opened()
    opened = Opened(operation=operation, ref=ref, created=created)
    await _through(bench, "refusal (403)", opened, bench.remote.forbid)


@check(
    Level.WATCH,
    "Who asks again too early is refused for longer, and no money is seen meanwhile.",
    supports(SupportsWatch),
    alone=True,
)
async def a_watch_waits_as_long_as_the_remote_side_asks(bench: Bench) -> None:
    bench.require_requests("watch")
    assert isinstance(bench.provider, SupportsWatch)
    wanted_s = bench.remote.retry_after_s()
    opened = await _open(bench)
    sink = bench.sink()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_watching, bench.provider, sink, bench.watch_errors)
        await _pay(bench, sink, opened)
        await bench.remote.fault(Fault.RATE_LIMITED)
        before = await bench.remote.requests()
        for _ in range(STILL):
            await trio.sleep(_LOOK_S)
            if await bench.remote.requests() > before:
                break
        # What it had under way, it may end.
        await trio.sleep(_LOOK_S)
        before = await bench.remote.requests()
        await trio.sleep(max(wanted_s - _EARLY_S, 0.0))
        asked = await bench.remote.requests() - before
        nursery.cancel_scope.cancel()
    if asked > _ASKED_MAX:
        raise Failed(
            f"the remote side asked for a pause of {wanted_s:g} s, and the watch sent {asked}"
            " requests in it, expected none: let RateLimited end the watch, and payd starts it"
            " again after the delay; or wait for it"
        )


async def _through(
    bench: Bench,
    what: str,
    during: Opened,
    begin: Callable[[], Awaitable[None]],
    delay_s: float = 0.0,
) -> None:
    """Pay one object before a fault of a running watch, one during it, and one after it.

    `delay_s`: seconds after the fault in which the watch may be silent, as it was asked to be.
    """
    assert isinstance(bench.provider, SupportsWatch)
    await bench.remote.mend()
    before, after = [await _open(bench) for _ in range(2)]
    sink = bench.sink()
    with trio.move_on_after(3 * PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_watching, bench.provider, sink, bench.watch_errors)
            await _pay(bench, sink, before)
            await begin()
            await bench.remote.pay(during.ref, due(during.operation))
            await trio.sleep(_UNDER_S)
            if confirmed(sink, during.called):
                raise RemoteMistake(
                    f"under a {what} the watch reported what was paid: every request of it must"
                    " meet the fault until `mend`"
                )
            await bench.remote.mend()
            await bench.waited(delay_s)
            await until_reported(bench, sink, during.called)
            await _pay(bench, sink, after)
            # More may come of each.
            await until_quiet(bench, sink, after.called)
            nursery.cancel_scope.cancel()
    _complete(sink, what, (before, during, after))


async def _open(bench: Bench) -> Opened:
    operation, ref, created = await bench.opened()
    return Opened(operation=operation, ref=ref, created=created)


async def _pay(bench: Bench, sink: BenchSink, opened: Opened) -> None:
    await bench.remote.pay(opened.ref, due(opened.operation))
    await until_reported(bench, sink, opened.called)


def _complete(sink: BenchSink, what: str, paid: Sequence[Opened]) -> None:
    for when, one in zip(("before", "during", "after"), paid, strict=True):
        if (reported := confirmed(sink, one.called)) != due(one.operation):
            raise Failed(
                f"{reported} of {due(one.operation)} were reported that were paid {when} a {what}:"
                " raise an error, or ask again, and move the cursor only over what was read"
            )


def _delay_s(bench: Bench) -> float:
    try:
        return bench.remote.retry_after_s()
    except (NotScripted, CannotHappen):
        return _DELAY_S


@check(
    Level.WATCH,
    "A customer waits for money that payd shows as on its way, and that will never come.",
    supports(SupportsWatch),
    alone=True,
)
async def money_that_vanishes_is_dropped(bench: Bench) -> None:
    sink = bench.sink()
    operation, ref, created = await bench.opened()
    called = names(operation, created)
    await bench.remote.pay_unfinal(ref, due(operation))
    await watch_until_quiet(bench, sink, called, _UNFINAL)
    if not sink.receipts(called):
        raise CannotHappen("the watch reports money when it is final")
    await bench.remote.take_back(ref)
    await watch_until_quiet(bench, sink, called, _UNFINAL)
    states = {one.id: one.state for one in sink.receipts(called)}
    if left := [name for name, state in states.items() if state is not ReceiptState.DROPPED]:
        raise Failed(
            f"money that was not final has vanished, but its receipt {left[0]} is"
            f" {states[left[0]].value}: report it again as DROPPED"
        )
