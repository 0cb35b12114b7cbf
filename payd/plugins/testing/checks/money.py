"""Money is told as it is: all of it, a part, too much, and what goes back beside what came."""

from datetime import timedelta

from payd.plugins import (
    Observation,
    PaymentRef,
    ProviderEvent,
    ProviderStatus,
    Reversal,
    Snapshot,
    SupportsEvents,
    SupportsScan,
    SupportsWebhooks,
)
from payd.plugins.testing.bench import Bench, asset, due
from payd.plugins.testing.checks.scan import read
from payd.plugins.testing.checks.standing import looked, stands
from payd.plugins.testing.checks.webhooks import verified
from payd.plugins.testing.registry import Failed, Level, check
from payd.plugins.testing.remote import CannotHappen

#: Before any object has expired.
_LATER = timedelta(minutes=10)
#: Clocks differ, and some tell whole seconds only.
_CLOCKS_APART = timedelta(seconds=2)


@check(Level.BASIC, "The whole point.")
async def a_paid_object_is_found_paid(bench: Bench) -> None:
    operation, ref, created = await bench.paid()
    snapshot = await looked(bench, operation, ref, created)
    stands(snapshot, operation, ProviderStatus.PAID, received=due(operation))
    if snapshot.confirmed != due(operation):
        raise Failed(f"paid and final, but confirmed is {snapshot.confirmed}")


@check(Level.BASIC, "Part of the money is a customer's all the same, and not enough.")
async def partial_money_is_told_as_it_is(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    came = 0
    for part in (due(operation) // 2, due(operation) // 4):
        await bench.pay(ref, part)
        came += part
        snapshot = await looked(bench, operation, ref, created)
        if snapshot.received != came or snapshot.status is ProviderStatus.PAID:
            raise Failed(
                f"{came} of {due(operation)} were paid in all: it is {snapshot.status.value},"
                f" and {snapshot.received} came"
            )
    await bench.pay(ref, due(operation) - came)
    snapshot = await looked(bench, operation, ref, created)
    stands(snapshot, operation, ProviderStatus.PAID, received=due(operation))


@check(Level.BASIC, "What is too much is a customer's, and goes back to him: it must be known.")
async def more_than_due_is_told_as_it_is(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    await bench.pay(ref, due(operation) + 1)
    snapshot = await looked(bench, operation, ref, created)
    stands(snapshot, operation, ProviderStatus.PAID, received=due(operation) + 1)


@check(Level.BASIC, "Who paid a part before it was closed wants it back.")
async def a_cancel_of_what_was_paid_in_part_tells_the_part(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    part = due(operation) // 2
    await bench.pay(ref, part)
    snapshot = await bench.standing(operation, created, await bench.cancel(ref))
    if snapshot.received != part or snapshot.status is ProviderStatus.PAID:
        raise Failed(
            f"{part} came, and the cancel says {snapshot.received}, {snapshot.status.value}"
        )


@check(
    Level.BASIC, "By its time a look decides whether an open payment is over, and money was late."
)
async def a_look_tells_when_it_was(bench: Bench) -> None:
    if bench.remote.needs_watch:
        raise CannotHappen("a look tells how far the watch has come")
    operation, ref, _ = await bench.opened()
    await bench.passed(_LATER)
    await bench.pay(ref, due(operation))
    before = bench.clock.now()
    as_of = (await bench.found(ref)).snapshot.as_of
    if not before - _CLOCKS_APART <= as_of <= bench.clock.now() + _CLOCKS_APART:
        raise Failed(
            f"looked at {before.isoformat()}, it tells how it stood at {as_of.isoformat()}"
        )


@check(
    Level.BASIC,
    "A cent too little keeps a payment open for ever; a cent too much is a person's work.",
)
async def amounts_are_exact(bench: Bench) -> None:
    for way in bench.ways():
        for minor_units in filter(way.takes, bench.remote.amounts):
            operation, ref, created = await bench.paid(minor_units=minor_units, way=way)
            snapshot = await looked(bench, operation, ref, created)
            if snapshot.received != due(operation):
                raise Failed(
                    f"{due(operation)} units of {asset(operation)} were due and paid"
                    f" ({minor_units} minor units, {way.decimals} decimals),"
                    f" it says {snapshot.received}"
                )


@check(
    Level.BASIC,
    "A refund that payd is not told of leaves a service running that nobody pays for.",
)
async def money_that_went_back_is_told(bench: Bench) -> None:
    operation, ref, _ = await bench.paid()
    cursor = (await read(bench, None))[1] if isinstance(bench.provider, SupportsScan) else None
    gone = 0
    for amount in (due(operation) // 2, due(operation) - due(operation) // 2):
        await bench.remote.refund(ref, amount)
        await bench.settled()
        gone += amount
        snapshot = (await bench.found(ref)).snapshot
        reports = await _reports(bench, ref, cursor)
        if isinstance(bench.provider, SupportsEvents) and not any(map(_refunded, reports)):
            raise Failed(f"{gone} went back, and no event says so")
        told = max([snapshot.refunded, *map(_refunded, reports)])
        if told != gone:
            raise Failed(f"{gone} went back in all, {told} is told")
        if snapshot.received != due(operation):
            raise Failed(
                f"{due(operation)} came and {gone} went back: received is {snapshot.received},"
                " and is to stay what came"
            )
        if snapshot.status is ProviderStatus.OPEN:
            raise Failed(f"{gone} went back, and it is said to be OPEN: payable again")


async def _reports(bench: Bench, ref: PaymentRef, cursor: str | None) -> list[Observation]:
    """What its events say since then, by both ways."""
    provider: object = bench.provider
    events: list[ProviderEvent] = []
    if not isinstance(provider, SupportsEvents):
        return []
    if isinstance(provider, SupportsWebhooks):
        events.append(verified(bench, bench.remote.webhook(ref, bench.clock.now())))
    if isinstance(provider, SupportsScan):
        events += (await read(bench, cursor))[0].values()
    return [one for event in events for one in provider.translate(event)]


def _refunded(report: Observation) -> int:
    return report.fact.refunded if isinstance(report.fact, Reversal | Snapshot) else 0
