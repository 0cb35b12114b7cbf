"""The path of a report, step by step: from a provider's observation to a consumer's event.

Each test takes one step further. Read them in their order, next to the file that each names.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import trio
from unit.service.world import World
from walks.card_rail import NOON, CardRail

from payd.domain.decide import Event, EventType, decide
from payd.domain.evidence import Observation, Outflow, ProviderStatus, Snapshot
from payd.domain.payment import Payment, Status
from payd.plugins.interface import Sink
from payd.ports import WATCH, Cursor
from payd.providers.fence import Fence

PAID = Snapshot(
    status=ProviderStatus.PAID, asset="USD", received=14900, confirmed=14900, as_of=NOON
)
REPORT = Observation(id="evt_1", reference="cs_1", fact=PAID)


class IntakeSink:
    """The nursery's sink: what a watch reports goes to the inbox, and nowhere else."""

    def __init__(self, house: World) -> None:
        self._house = house
        self.taken = trio.Event()

    @asynccontextmanager
    async def open(self, *, alone: bool) -> AsyncIterator[Sink]:
        yield self

    async def cursor(self) -> str | None:
        return await self._house.inbox.read_cursor("mock", WATCH)

    async def put(
        self,
        observations: Sequence[Observation],
        /,
        *,
        outflows: Sequence[Outflow] = (),
        cursor: str | None = None,
    ) -> None:
        moved = Cursor(name=WATCH, value=cursor, rest=timedelta(0)) if cursor else None
        await self._house.intake.accept("mock", observations, moved, outflows=outflows)
        self.taken.set()


# -- the provider's watch, plugins/fence: what it saw ----------------------------------------


async def test_stop_1_a_provider_reports_what_it_saw_and_names_no_status(
    house: World, fence: Fence, rail: CardRail
) -> None:
    await _pending(house)
    sink = IntakeSink(house)

    async with trio.open_nursery() as nursery:
        await nursery.start(fence.run_watch, sink)
        await rail.happens.send(REPORT)
        with trio.fail_after(30):
            await sink.taken.wait()
        nursery.cancel_scope.cancel()

    [row] = await house.reports.claim_batch()
    assert (row.provider, row.report) == ("mock", REPORT)


# -- service/intake.accept, put_observations: stored before it is believed -------------------


async def test_stop_2_a_report_is_stored_once_and_moves_nothing_yet(house: World) -> None:
    payment = await _pending(house)

    assert await house.intake.accept("mock", [REPORT]) == 1
    assert await house.intake.accept("mock", [REPORT]) == 0

    assert await house.newest(payment) == payment


# -- service/reports.work: whose it is -------------------------------------------------------


async def test_stop_3_a_report_is_matched_by_the_providers_name_for_the_payment(
    house: World,
) -> None:
    payment = await _pending(house)

    for name in ("cs_1", "pi_1", str(payment.id)):
        assert await house.store.find("mock", name) == payment


# -- domain/decide: what it makes of the payment ---------------------------------------------


async def test_stop_4_the_whole_sum_completes_the_payment_and_repeating_it_does_nothing(
    house: World,
) -> None:
    payment = await _pending(house)

    decision = decide(payment, PAID, house.clock.now())

    assert decision is not None
    assert decision.payment.status is Status.COMPLETED
    assert decision.events == (
        Event(type=EventType.COMPLETED, previous_status=Status.PENDING, reason=""),
    )
    assert decide(decision.payment, PAID, house.clock.now()) is None


# -- service/settle, commit_decisions: all of it at once -------------------------------------


async def test_stop_5_payment_audit_row_event_and_inbox_mark_are_one_commit(
    house: World,
) -> None:
    payment = await _pending(house)
    await house.intake.accept("mock", [REPORT])
    [row] = await house.reports.claim_batch()

    await house.reports.work([row])

    assert (await house.newest(payment)).status is Status.COMPLETED
    assert (await house.trail(payment))[-1] == "payment_completed"
    assert house.inbox.outcome(row.id) == "applied"
    assert (await house.outbox.depth())[0] == 1


# -- service/publish, adapters/jetstream: the consumers --------------------------------------


async def test_stop_6_the_event_is_published_and_then_done(house: World) -> None:
    payment = await _completed(house)

    [row] = await house.publish.claim_batch()
    assert await house.publish.publish([row]) == {}

    assert (row.subject, row.payment_id) == ("payment.completed", payment.id)
    assert house.publisher.published == [row]
    assert await house.outbox.depth() == (0, 0.0)


async def test_stop_7_a_consumer_reads_the_whole_payment(house: World) -> None:
    payment = await _completed(house)
    await house.publish_pass()
    [row] = house.publisher.published

    body = json.loads(row.body)

    assert row.headers["ce-id"] == body["event_id"] == str(row.event_id)
    assert row.headers["ce-type"] == "dev.payd.payment.completed.v1"
    assert (body["id"], body["status"]) == (str(payment.id), "PAYMENT_STATUS_COMPLETED")
    assert body["previous_status"] == "PAYMENT_STATUS_PENDING"
    assert body["received"] == {"currency_code": "USD", "minor_units": "14900"}


# -- the whole way ---------------------------------------------------------------------------


async def test_the_whole_way_a_hundred_times_over_publishes_one_event(house: World) -> None:
    payment = await _pending(house)

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(partial(house.intake.accept, "mock", [REPORT]))
    await house.settle_and_publish()

    assert (await house.newest(payment)).version == payment.version + 1
    assert [row.subject for row in house.publisher.published] == ["payment.completed"]


async def _pending(house: World) -> Payment:
    payment = await house.initiate()
    assert payment.status is Status.PENDING
    return payment


async def _completed(house: World) -> Payment:
    payment = await _pending(house)
    await house.intake.accept("mock", [REPORT])
    await house.intake_pass()
    return await house.newest(payment)
