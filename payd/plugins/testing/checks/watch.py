"""Watches: they report everything, continue from their cursor, and end when cancelled."""

import trio

from payd.plugins import ReceiptState, SupportsWatch
from payd.plugins.testing.bench import PATIENCE_S, Bench
from payd.plugins.testing.given import BenchSink
from payd.plugins.testing.operations import due, names
from payd.plugins.testing.registry import Failed, Level, check, supports
from payd.plugins.testing.watching import keep_watching

#: Looks, 0.1 s apart, at an unchanged sink after which a watch counts as idle: when it has reported
#: money of the object, and when it has not. On a busy machine the first report may take seconds.
_QUIET = 8
STILL = 60
#: The same for a watch that has reported before, and need not report it again.
_AGAIN = 20


async def watch_until_quiet(
    bench: Bench, sink: BenchSink, called: set[str], still: int | None = None
) -> None:
    """Run the watch until it has reported money of the object and then nothing new.

    `still`: looks after which one that has reported nothing counts as idle, other than STILL.
    """
    assert isinstance(bench.provider, SupportsWatch)
    with trio.move_on_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_watching, bench.provider, sink, bench.watch_errors)
            await until_quiet(bench, sink, called, still)
            nursery.cancel_scope.cancel()


async def until_quiet(
    bench: Bench, sink: BenchSink, called: set[str], still: int | None = None
) -> None:
    """Wait until a running watch has reported money of the object and then nothing new."""
    quiet, seen = 0, -1
    still = STILL if still is None else still
    while quiet < (_QUIET if confirmed(sink, called) else still):
        await bench.remote.rest()
        await trio.sleep(0.1)
        quiet = quiet + 1 if len(sink.stored) == seen else 0
        seen = len(sink.stored)


async def until_reported(bench: Bench, sink: BenchSink, called: set[str]) -> None:
    """Wait until a running watch has reported money of the object, or long enough."""
    for _ in range(STILL):
        if confirmed(sink, called):
            return
        await bench.remote.rest()
        await trio.sleep(0.1)


def confirmed(sink: BenchSink, called: set[str]) -> int:
    """The confirmed amount of the object, as payd merges receipts, each id once, and snapshots."""
    receipts = sink.receipts(called)
    return max(
        sum(one.amount for one in receipts if one.state is ReceiptState.CONFIRMED),
        sink.confirmed(called),
    )


@check(Level.WATCH, "Nothing else reports money that the watch misses.", supports(SupportsWatch))
async def a_watch_reports_what_was_paid(bench: Bench) -> None:
    sink = bench.sink()
    operation, ref, created = await bench.opened()
    await bench.remote.pay(ref, due(operation))
    called = names(operation, created)
    await watch_until_quiet(bench, sink, called)
    reported = confirmed(sink, called)
    if reported != due(operation):
        raise Failed(f"{due(operation)} were paid, but {reported} were reported")


@check(
    Level.WATCH,
    "Daemons restart; what happened meanwhile must be reported afterwards, once.",
    supports(SupportsWatch),
)
async def a_restarted_watch_continues_where_it_stopped(bench: Bench) -> None:
    sink = bench.sink()
    paid: list[tuple[set[str], int]] = []
    for _ in range(3):
        operation, ref, created = await bench.opened()
        await bench.remote.pay(ref, due(operation))
        paid.append((names(operation, created), due(operation)))
        await watch_until_quiet(bench, sink, paid[-1][0])
    for called, amount in paid:
        if (reported := confirmed(sink, called)) != amount:
            raise Failed(f"after three runs, {reported} of {amount} were reported")


@check(
    Level.WATCH,
    "A failed database write stores nothing, so the watch must report it again.",
    supports(SupportsWatch),
)
async def what_could_not_be_stored_is_reported_again(bench: Bench) -> None:
    sink = bench.sink(refuses=range(2))
    operation, ref, created = await bench.opened()
    await bench.remote.pay(ref, due(operation))
    called = names(operation, created)
    await watch_until_quiet(bench, sink, called)
    reported = confirmed(sink, called)
    if reported != due(operation):
        raise Failed(f"after failed writes, {reported} of {due(operation)} were reported")


@check(
    Level.WATCH,
    "payd recognises a repeated receipt by its id; money with two ids counts twice.",
    supports(SupportsWatch),
    alone=True,
)
async def the_same_money_has_the_same_id(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    await bench.remote.pay(ref, due(operation))
    called = names(operation, created)
    sinks = []
    for still in (STILL, _AGAIN):
        sinks.append(bench.sink())
        await watch_until_quiet(bench, sinks[-1], called, still)
    both = BenchSink(stored=[*sinks[0].stored, *sinks[1].stored])
    reported = confirmed(both, called)
    if reported != due(operation):
        raise Failed(f"two watches reported {reported} in all, but {due(operation)} were paid")


@check(
    Level.WATCH,
    "A watch that ignores cancellation delays the daemon's stop.",
    supports(SupportsWatch),
)
async def a_watch_ends_when_it_is_cancelled(bench: Bench) -> None:
    assert isinstance(bench.provider, SupportsWatch)
    with trio.move_on_after(0.5) as scope:
        await keep_watching(bench.provider, bench.sink(), bench.watch_errors)
    late_s = trio.current_time() - scope.deadline
    if late_s > 1:
        raise Failed(f"it ran for {late_s:.1f} s after its cancellation")
