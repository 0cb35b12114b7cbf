"""Reported amounts: full, partial and excess payments, and refunds."""

from datetime import timedelta

from payd.plugins import ProviderStatus, SupportsEvents
from payd.plugins.testing.bench import CLOCKS_APART, Bench
from payd.plugins.testing.checks.refunding import FETCH, paid
from payd.plugins.testing.checks.standing import looked, stands
from payd.plugins.testing.operations import asset, due
from payd.plugins.testing.registry import Failed, Level, check
from payd.plugins.testing.remote import CannotHappen

#: Short enough that no object has expired.
_LATER = timedelta(minutes=10)


@check(Level.BASIC, "payd completes a payment only when the provider reports it as paid.")
async def a_paid_object_is_found_paid(bench: Bench) -> None:
    operation, ref, created = await bench.paid()
    snapshot = await looked(bench, operation, ref, created)
    stands(snapshot, operation, ProviderStatus.PAID, received=due(operation))
    if snapshot.confirmed != due(operation):
        raise Failed(f"all of {due(operation)} is final, but confirmed is {snapshot.confirmed}")


@check(Level.BASIC, "A partial payment must be recorded, but must not complete the payment.")
async def partial_payments_are_reported_exactly(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    came = 0
    for part in (due(operation) // 2, due(operation) // 4):
        await bench.pay(ref, part)
        came += part
        snapshot = await looked(bench, operation, ref, created)
        if snapshot.received != came or snapshot.status is ProviderStatus.PAID:
            raise Failed(
                f"{came} of {due(operation)} were paid, but status is {snapshot.status.value}"
                f" and received is {snapshot.received}"
            )
    await bench.pay(ref, due(operation) - came)
    snapshot = await looked(bench, operation, ref, created)
    stands(snapshot, operation, ProviderStatus.PAID, received=due(operation))


@check(Level.BASIC, "An operator has to return the excess, so payd must know it.")
async def overpayments_are_reported_exactly(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    await bench.pay(ref, due(operation) + 1)
    snapshot = await looked(bench, operation, ref, created)
    stands(snapshot, operation, ProviderStatus.PAID, received=due(operation) + 1)


@check(Level.BASIC, "A part that was paid before the cancellation must be returned.")
async def cancel_of_a_partly_paid_object_reports_the_part(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    part = due(operation) // 2
    await bench.pay(ref, part)
    snapshot = await bench.standing(operation, created, await bench.cancel(ref))
    if snapshot.received != part or snapshot.status is ProviderStatus.PAID:
        raise Failed(
            f"{part} was paid, but cancel returned status {snapshot.status.value}"
            f" and received {snapshot.received}"
        )


@check(
    Level.BASIC,
    "The time of a snapshot decides whether a payment has expired and whether money was late.",
)
async def fetch_reports_the_time_of_its_answer(bench: Bench) -> None:
    if bench.remote.needs_watch:
        raise CannotHappen("fetch reports the time that the watch has reached")
    operation, ref, _ = await bench.opened()
    await bench.passed(_LATER)
    await bench.pay(ref, due(operation))
    await bench.passed(_LATER)
    before = bench.clock.now()
    as_of = (await bench.found(ref)).snapshot.as_of
    early = before - CLOCKS_APART - bench.remote.time_resolution
    if not early <= as_of <= bench.clock.now() + CLOCKS_APART:
        raise Failed(
            f"as_of is {as_of.isoformat()}, but fetch was called at {before.isoformat()}: it is"
            " the time of the answer, not that of the object's last change"
        )


@check(
    Level.BASIC,
    "One unit too little keeps a payment open; one too much needs an operator.",
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
                    f" but received is {snapshot.received}"
                )
            if snapshot.asset.lower() != asset(operation).lower():
                raise Failed(
                    f"{asset(operation)} was due and paid, but asset is {snapshot.asset!r}"
                )


@check(
    Level.BASIC,
    "After an unreported refund, a service keeps running that is not paid for.",
)
async def refunds_are_reported(bench: Bench) -> None:
    payment = await paid(bench)
    gone = 0
    for amount in (payment.due // 2, payment.due - payment.due // 2):
        await bench.remote.refund(payment.ref, amount)
        gone += amount
        reported = await payment.reported()
        if isinstance(bench.provider, SupportsEvents) and not [
            by for by, _ in reported if by != FETCH
        ]:
            raise Failed(f"{gone} were refunded, but no event reports it")
        by_reference = {one.reference: one for _, one in reported}
        total = sum(one.amount for one in by_reference.values())
        if total != gone:
            raise Failed(f"{gone} were refunded in all, but {total} are reported")
        if any(one.refund_id is not None for one in by_reference.values()):
            raise Failed("a refund that payd did not make is reported with an id of payd's")
        snapshot = await looked(bench, payment.operation, payment.ref, payment.created)
        if snapshot.received != payment.due:
            raise Failed(
                f"after a refund of {gone}, received is {snapshot.received}:"
                f" it must stay {payment.due}"
            )
        if snapshot.status is ProviderStatus.OPEN:
            raise Failed(f"after a refund of {gone}, the status is OPEN, which means payable")
