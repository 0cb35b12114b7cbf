"""Refunds: each is made once, its amount is exact, and every report of it names the same refund."""

from datetime import timedelta

import attrs
import trio

from payd.plugins import (
    Absent,
    CryptoTransfer,
    Declined,
    IdempotencyConflict,
    InvalidRequest,
    Lookup,
    ProviderManifest,
    ProviderStatus,
    Redirect,
    RefundCapabilities,
    RefundInstructions,
    RefundOperation,
    RefundSnapshot,
    RefundState,
    Sends,
    Show,
    SupportsRefund,
)
from payd.plugins.testing.bench import CLOCKS_APART, Bench
from payd.plugins.testing.checks.refunding import Paid, known, paid
from payd.plugins.testing.checks.standing import looked
from payd.plugins.testing.registry import Failed, Level, check

#: Short enough for every idempotency window worth declaring.
_LATER = timedelta(minutes=10)


def _able(manifest: ProviderManifest) -> RefundCapabilities | None:
    return manifest.capabilities.refunds


def sends(manifest: ProviderManifest, _provider: object) -> bool:
    """Condition: the remote side sends the money of a refund."""
    able = _able(manifest)
    return able is not None and able.sends is Sends.PROVIDER


def _instructs(manifest: ProviderManifest, _provider: object) -> bool:
    able = _able(manifest)
    return able is not None and able.sends is Sends.INSTRUCTIONS


def _sends_parts(manifest: ProviderManifest, provider: object) -> bool:
    able = _able(manifest)
    return able is not None and sends(manifest, provider) and able.partial


def _sends_several(manifest: ProviderManifest, provider: object) -> bool:
    able = _able(manifest)
    return able is not None and _sends_parts(manifest, provider) and able.several


def _proves_absence(manifest: ProviderManifest, _provider: object) -> bool:
    able = _able(manifest)
    return able is not None and able.lookup is Lookup.INCLUDING_ABSENCE


def _whole(bench: Bench, payment: Paid) -> int:
    """An amount that can be refunded first: a part, unless only the whole can be refunded."""
    able = _able(bench.manifest)
    return payment.due // 2 if able is not None and able.partial else payment.due


async def refunded(bench: Bench) -> tuple[Paid, RefundOperation, RefundSnapshot]:
    """Refund a paid object, in part where that is possible."""
    payment = await paid(bench)
    refund = payment.refund(_whole(bench, payment))
    return payment, refund, await payment.send(refund)


@check(Level.BASIC, "payd asks for refunds only where the manifest declares them.")
async def refunds_are_announced(bench: Bench) -> None:
    announced = _able(bench.manifest) is not None
    if isinstance(bench.provider, SupportsRefund) != announced:
        has = "lacks" if announced else "has"
        raise Failed(
            f"Capabilities.refunds is {_able(bench.manifest)}, but the provider {has}"
            " refund and fetch_refund"
        )


# -- the remote side sends -------------------------------------------------------------------------


@check(Level.REFUNDS, "payd sends a refund again after a crash; it must not be paid twice.", sends)
async def the_same_refund_twice_is_one_refund(bench: Bench) -> None:
    payment, refund, first = await refunded(bench)
    by = min(_window(bench), _LATER)
    for wait in (timedelta(0), by):
        bench.clock.advance(wait)
        await bench.remote.later(wait)
        again = await payment.send(refund)
        if again.reference != first.reference:
            raise Failed(f"refund returned {first.reference}, then {again.reference}")
        if abs(again.time - first.time) > CLOCKS_APART + bench.remote.time_resolution:
            raise Failed(
                f"refund returned the time {first.time.isoformat()}, then {again.time.isoformat()}:"
                " its time is when the refund was made, not when it was read"
            )
    if (number := await payment.count()) != 1:
        raise Failed(f"the remote side has {number} refunds, not 1")


@check(Level.REFUNDS, "Several daemons may send one refund at the same time.", sends)
async def the_same_refund_concurrently_is_one_refund(bench: Bench) -> None:
    payment = await paid(bench)
    refund = payment.refund(_whole(bench, payment))
    references: set[str] = set()

    async def send() -> None:
        references.add((await payment.send(refund)).reference)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(send)
    if len(references) != 1 or (await payment.count()) != 1:
        raise Failed(f"five concurrent calls made the refunds {sorted(references)}")


@check(Level.REFUNDS, "One operation id with two amounts is a bug that must be visible.", sends)
async def another_amount_under_one_key_is_a_conflict(bench: Bench) -> None:
    payment, refund, _ = await refunded(bench)
    error = await payment.raised(attrs.evolve(refund, amount=refund.amount - 1, is_all=False))
    if not isinstance(error, IdempotencyConflict):
        raise Failed(
            f"refund with another amount and the same operation id raised {error!r},"
            " not IdempotencyConflict"
        )


@check(Level.REFUNDS, "payd sends a refund again if it is absent.", _proves_absence)
async def what_was_never_refunded_is_absent(bench: Bench) -> None:
    payment = await paid(bench)
    result = await payment.fetch(payment.refund())
    if not isinstance(result, Absent):
        raise Failed(f"fetch_refund of a refund that was never sent returned {result!r}")


@check(
    Level.REFUNDS,
    "Whatever was refunded too little or too much is somebody's loss.",
    _sends_several,
)
async def parts_are_refunded_exactly(bench: Bench) -> None:
    payment = await paid(bench)
    parts = (payment.due // 3, 1, payment.due - payment.due // 3 - 1)
    for part in parts:
        await payment.send(payment.refund(part))
    await bench.settled()
    snapshot = await looked(bench, payment.operation, payment.ref, payment.created)
    shown = sorted(one.amount for one in snapshot.refunds)
    if shown != sorted(parts):
        raise Failed(f"{sorted(parts)} were refunded, but fetch shows {shown}")
    if snapshot.received != payment.due:
        raise Failed(
            f"after the refunds, received is {snapshot.received}: it must stay {payment.due}"
        )
    if snapshot.status is ProviderStatus.OPEN:
        raise Failed("after the refunds, the status is OPEN, which means payable")


@check(
    Level.REFUNDS,
    "A refund that is taken for another one ends with that one's outcome.",
    _sends_several,
)
async def each_of_several_refunds_is_found_as_itself(bench: Bench) -> None:
    able, payment = _able(bench.manifest), await paid(bench)
    # Two of them differ in nothing but their ids.
    refunds = [payment.refund(payment.due // part) for part in (4, 4, 8)]
    made = [(refund, await payment.send(refund)) for refund in refunds]
    names = {said.reference for _, said in made}
    if len(names) != len(made):
        raise Failed(f"{len(made)} refunds have the references {sorted(names)}")
    for refund, said in made:
        known = (said,) if able is None or able.lookup is Lookup.NONE else (said, None)
        for one in known:
            found = await payment.found(refund, one)
            if found.reference != said.reference:
                how = "with" if one else "without"
                raise Failed(
                    f"fetch_refund {how} a reference returned {found.reference}, another refund of"
                    f" the payment than {said.reference}"
                )
    if able is not None and able.lookup is Lookup.INCLUDING_ABSENCE:
        result = await payment.fetch(payment.refund(payment.due // 4))
        if not isinstance(result, Absent):
            raise Failed(
                f"fetch_refund of a refund that was never sent returned {result!r}, another one of"
                " the payment"
            )


@check(Level.REFUNDS, "More than was paid must never go back.", sends)
async def more_than_what_is_left_is_declined(bench: Bench) -> None:
    payment, refund, _ = await refunded(bench)
    left = payment.due - refund.amount
    _declined(await payment.raised(payment.refund(left + 1)), f"{left + 1} of {left}")
    if (number := await payment.count()) != 1:
        raise Failed(f"the remote side has {number} refunds, not 1")


@check(Level.REFUNDS, "What never came cannot go back.", sends)
async def an_unpaid_object_is_not_refunded(bench: Bench) -> None:
    payment = await known(bench, *await bench.opened())
    _declined(await payment.raised(payment.refund(payment.due)), "an unpaid object")


@check(Level.REFUNDS, "The bank takes disputed money back: a refund would pay it twice.", sends)
async def a_disputed_object_is_not_refunded(bench: Bench) -> None:
    payment = await paid(bench)
    await bench.remote.dispute(payment.ref)
    await bench.settled()
    _declined(await payment.raised(payment.refund(payment.due)), "a disputed object")


@check(Level.REFUNDS, "payd tells the customer that the money is back only when it is.", sends)
async def a_refund_on_its_way_is_pending_until_it_arrives(bench: Bench) -> None:
    payment = await paid(bench)
    await bench.remote.slow_refunds(payment.ref)
    refund = payment.refund(_whole(bench, payment))
    said = await payment.send(refund)
    _is(said, RefundState.PENDING, "refund")
    _is(await payment.found(refund, said), RefundState.PENDING, "fetch_refund")
    await bench.remote.end_refund(payment.ref_of(refund, said), failed=False)
    await bench.settled()
    _is(await payment.found(refund, said), RefundState.SUCCEEDED, "fetch_refund")


@check(Level.REFUNDS, "A bank may refuse a refund days later: the money is ours again.", sends)
async def a_refund_that_fails_later_is_reported(bench: Bench) -> None:
    payment, refund, said = await refunded(bench)
    await bench.remote.end_refund(payment.ref_of(refund, said), failed=True)
    await bench.settled()
    found = await payment.found(refund, said)
    _is(found, RefundState.FAILED, "fetch_refund")
    if not found.failure_code:
        raise Failed("a failed refund has no failure_code")
    results = [one.state for _, one in await payment.reported() if one.reference == said.reference]
    if RefundState.FAILED not in results:
        raise Failed(f"the refund failed, but the reports say {[one.value for one in results]}")


@check(Level.REFUNDS, "Two names of one refund would count its money twice.", sends)
async def every_report_of_a_refund_names_the_same(bench: Bench) -> None:
    payment, refund, said = await refunded(bench)
    results = [*(await payment.reported()), ("fetch_refund", await payment.found(refund))]
    for by, one in results:
        if one.reference != said.reference:
            raise Failed(f"refund returned {said.reference}, but {by} reports {one.reference}")
        payment.is_of(refund, one, by)
    channels = {by for by, _ in await payment.reports()}
    if silent := sorted(channels - {by for by, _ in results}):
        raise Failed(f"{' and '.join(silent)} did not report the refund")


# -- payd can only say what to send ----------------------------------------------------------------


@check(Level.REFUNDS, "A person may read the instructions twice, and send only once.", _instructs)
async def instructions_are_the_same_for_the_same_operation(bench: Bench) -> None:
    payment = await paid(bench)
    refund = payment.refund()
    first = await payment.instruct(refund)
    _fits(refund, first)
    bench.clock.advance(_LATER)
    if await payment.instruct(refund) != first:
        raise Failed("refund returned other instructions for the same operation")
    if await payment.instruct(payment.refund()) == first:
        raise Failed("two refunds have the same instructions: a transfer would fit both")


@check(Level.REFUNDS, "Money that is sent to nowhere is lost.", _instructs)
async def an_invalid_destination_is_refused(bench: Bench) -> None:
    payment = await paid(bench)
    error = await payment.raised(payment.refund(destination="nowhere"))
    if not isinstance(error, InvalidRequest) or error.field != "destination":
        raise Failed(
            f"a refund to 'nowhere' raised {error!r}, not InvalidRequest of the field destination"
        )


@check(Level.REFUNDS, "The merchant's transfer ends the refund without a person.", _instructs)
async def the_transfer_that_was_asked_for_ends_the_refund(bench: Bench) -> None:
    payment = await paid(bench)
    refund = payment.refund()
    instructions = await payment.instruct(refund)
    results = [by for by, one in await payment.reported() if one.refund_id == refund.refund_id]
    if results:
        raise Failed(f"nothing was sent, but {results[0]} reports the refund")
    await bench.remote.transfer(instructions.next_action)
    done = [one for _, one in await payment.reported() if one.refund_id == refund.refund_id]
    if not done:
        raise Failed("the transfer was made, but no report names the refund")
    for one in done:
        payment.is_of(refund, one, "the report of the transfer")
        _is(one, RefundState.SUCCEEDED, "the report of the transfer")
    if len({one.reference for one in done}) != 1:
        raise Failed("one transfer was reported as several refunds")


def _fits(refund: RefundOperation, instructions: RefundInstructions) -> None:
    match instructions.next_action:
        case CryptoTransfer() as transfer:
            if transfer.amount_base_units != refund.amount:
                raise Failed(
                    f"the transfer is for {transfer.amount_base_units}, not {refund.amount}"
                )
            if transfer.token_address.lower() != refund.asset.lower():
                raise Failed(f"the transfer is in {transfer.token_address}, not {refund.asset}")
            if transfer.receiver_address.lower() != refund.destination.lower():
                raise Failed(
                    f"the transfer is to {transfer.receiver_address}, not {refund.destination}"
                )
        case Show(fields=fields, payload=payload):
            if not fields and not payload:
                raise Failed("the instructions are empty")
        case Redirect():
            raise Failed("the instructions are a page; payd shows them itself")


# -- what they share -------------------------------------------------------------------------------


def _window(bench: Bench) -> timedelta:
    able = _able(bench.manifest)
    return able.idempotency_window if able is not None else timedelta(0)


def _declined(error: BaseException | None, what: str) -> None:
    if not isinstance(error, Declined):
        raise Failed(f"a refund of {what} raised {error!r}, not Declined")
    if not error.code or not error.message:
        raise Failed(f"a refund of {what}: Declined has no code, or no message for people")


def _is(said: RefundSnapshot, state: RefundState, what: str) -> None:
    if said.state is not state:
        raise Failed(f"{what} says {said.state.value}, expected {state.value}")
