"""Published events, to publish again: of a payment, of one id or of a span, page by page."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from contract.stores import CALLER, Stores

from payd.domain.decide import decide
from payd.domain.evidence import Declined
from payd.domain.published import EventSelection, PublishedPosition
from payd.ports import OutboxRow

LEASE_S = 60.0
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def publish(stores: Stores, payments: int) -> list[OutboxRow]:
    """The events of declined payments, in the order in which they were published."""
    rows = []
    for _ in range(payments):
        payment = await stores.add()
        decision = decide(payment, Declined(code="no", message="No."), payment.update_time)
        assert decision is not None
        await stores.payments.commit(payment, decision, CALLER)
        [row] = await stores.outbox.claim(10, LEASE_S)
        await stores.outbox.mark_published([row.id])
        rows.append(row)
    return rows


async def all_pages(stores: Stores, wanted: EventSelection, size: int = 2) -> list[OutboxRow]:
    found: list[OutboxRow] = []
    after: PublishedPosition | None = None
    while page := await stores.published.published(wanted, after, size):
        found += [row for _, row in page]
        after = page[-1][0]
        if wanted.event_id is not None:
            break
    return found


async def test_every_published_event_of_a_span_is_read_once_in_order(stores: Stores) -> None:
    rows = await publish(stores, 5)
    assert await all_pages(stores, EventSelection(published_from=LONG_AGO)) == rows
    assert await all_pages(stores, EventSelection(published_from=LONG_AGO), size=50) == rows


async def test_a_span_has_an_end_that_does_not_belong_to_it(stores: Stores) -> None:
    await publish(stores, 2)
    [first, second] = await stores.published.published(
        EventSelection(published_from=LONG_AGO), None, 10
    )
    until = second[0].publish_time
    before = EventSelection(published_from=LONG_AGO, published_before=until)
    since = EventSelection(published_from=until)
    assert first[1] in await all_pages(stores, before) or first[0].publish_time == until
    assert second[1] not in await all_pages(stores, before)
    assert second[1] in await all_pages(stores, since)
    late = EventSelection(published_from=until + timedelta(days=1))
    assert await all_pages(stores, late) == []


async def test_the_events_of_a_payment_are_read_and_no_others(stores: Stores) -> None:
    rows = await publish(stores, 3)
    assert await all_pages(stores, EventSelection(payment_id=rows[1].payment_id)) == [rows[1]]
    assert await all_pages(stores, EventSelection(payment_id=uuid4())) == []


async def test_one_event_is_read_by_its_id(stores: Stores) -> None:
    rows = await publish(stores, 2)
    assert await all_pages(stores, EventSelection(event_id=rows[0].event_id)) == [rows[0]]
    assert await all_pages(stores, EventSelection(event_id=uuid4())) == []


async def test_an_event_that_waits_to_be_published_is_not_among_them(stores: Stores) -> None:
    [row] = await publish(stores, 1)
    payment = await stores.add()
    decision = decide(payment, Declined(code="no", message="No."), payment.update_time)
    assert decision is not None
    await stores.payments.commit(payment, decision, CALLER)
    assert await all_pages(stores, EventSelection(payment_id=payment.id)) == []
    assert await all_pages(stores, EventSelection(published_from=LONG_AGO)) == [row]
