"""A long look at the remote side: it tells everything, from where it was left, and ends when told."""

import contextlib

import trio

from payd.plugins import ProviderManifest, ReceiptState, SupportsWatch
from payd.plugins.testing.bench import PATIENCE_S, Bench, BenchSink, due, names
from payd.plugins.testing.registry import Failed, Level, check


def _watches(_manifest: ProviderManifest, provider: object) -> bool:
    return isinstance(provider, SupportsWatch)


async def _watch(bench: Bench, sink: BenchSink, seconds: float = 0.0) -> None:
    """Until nothing new has come for a while; or for so long."""
    assert isinstance(bench.provider, SupportsWatch)
    with trio.move_on_after(seconds or PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run, bench, sink)
            await _until_quiet(bench, sink)
            nursery.cancel_scope.cancel()


async def _run(bench: Bench, sink: BenchSink) -> None:
    """As payd runs it: again when it ends."""
    assert isinstance(bench.provider, SupportsWatch)
    while True:
        # The sink's: what it refused must come again.
        with contextlib.suppress(OSError):
            await bench.provider.watch(sink, task_status=trio.TASK_STATUS_IGNORED)
        await trio.sleep(0.05)


async def _until_quiet(bench: Bench, sink: BenchSink) -> None:
    quiet, seen = 0, -1
    while quiet < 8:
        await bench.remote.rest()
        await trio.sleep(0.1)
        quiet = quiet + 1 if len(sink.stored) == seen else 0
        seen = len(sink.stored)


def _told(sink: BenchSink, called: set[str]) -> int:
    """The sum of the final receipts that name it, each once."""
    receipts = sink.receipts(called)
    return sum(one.amount for one in receipts if one.state is ReceiptState.CONFIRMED)


@check(Level.WATCH, "What is not told by the watch is told by nobody.", _watches)
async def a_watch_tells_what_was_paid(bench: Bench) -> None:
    sink = bench.sink()
    operation, ref, created = await bench.opened()
    await bench.remote.pay(ref, due(operation))
    await _watch(bench, sink)
    if _told(sink, names(operation, created)) != due(operation):
        raise Failed(
            f"{due(operation)} were paid, {_told(sink, names(operation, created))} were told"
        )


@check(
    Level.WATCH,
    "Daemons are restarted: what happens meanwhile must be told afterwards, once.",
    _watches,
)
async def a_watch_that_was_stopped_goes_on_where_it_was(bench: Bench) -> None:
    sink = bench.sink()
    told: list[tuple[set[str], int]] = []
    for _ in range(3):
        operation, ref, created = await bench.opened()
        await bench.remote.pay(ref, due(operation))
        told.append((names(operation, created), due(operation)))
        await _watch(bench, sink)
    for called, wanted in told:
        if _told(sink, called) != wanted:
            raise Failed(f"after three runs {_told(sink, called)} of {wanted} were told")


@check(
    Level.WATCH,
    "The database may refuse: then nothing of it is stored, and it must come again.",
    _watches,
)
async def what_could_not_be_stored_is_told_again(bench: Bench) -> None:
    sink = bench.sink(refusals=2)
    operation, ref, created = await bench.opened()
    await bench.remote.pay(ref, due(operation))
    await _watch(bench, sink)
    if _told(sink, names(operation, created)) != due(operation):
        raise Failed(
            f"after refusals {_told(sink, names(operation, created))} of {due(operation)} were told"
        )


@check(
    Level.WATCH,
    "A repetition is known by its id; the same money under two ids counts twice.",
    _watches,
)
async def the_same_money_has_the_same_id(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    await bench.remote.pay(ref, due(operation))
    sinks = []
    for _ in range(2):
        sinks.append(bench.sink())
        await _watch(bench, sinks[-1])
    both = BenchSink(stored=[*sinks[0].stored, *sinks[1].stored])
    if _told(both, names(operation, created)) != due(operation):
        raise Failed(
            f"two watches together tell {_told(both, names(operation, created))}, {due(operation)} were paid"
        )


@check(Level.WATCH, "A daemon that is to stop does not wait.", _watches)
async def a_watch_ends_when_it_is_cancelled(bench: Bench) -> None:
    assert isinstance(bench.provider, SupportsWatch)
    with trio.move_on_after(0.5) as scope:
        await _run(bench, bench.sink())
    late_s = trio.current_time() - scope.deadline
    if late_s > 1:
        raise Failed(f"cancelled, it went on for {late_s:.1f} s")
