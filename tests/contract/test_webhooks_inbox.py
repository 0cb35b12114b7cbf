"""Events of webhooks and scans are stored once, unchanged, with the cursor of the scan."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import uuid4

import attrs
import pytest
import trio
from contract.stores import NOW, Stores, all_at_once

from payd.adapters.columns import dumps
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.reports import report_json
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import (
    Conflict,
    Observation,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Snapshot,
)
from payd.domain.refund import RefundSnapshot, RefundState
from payd.plugins.interface import ProviderEvent
from payd.ports import Report, Unreadable

LEASE_S = 60.0
#: What may stand in a JSON text, and what some store changed once.
CONTENT = {
    "text": "ü 💳 \\ \" \u2028 \u0001 %s $1 :name '",
    "numbers": [0, -1, 2**63, 2**256, -(2**200)],
    "others": [None, True, False, "", [], {}],
    "deep": {"a": {"b": {"c": [{"d": [[["e"]]]}]}}},
    "": "a name that is empty",
    "a": 1,
    "A": 2,
}
EVENT = ProviderEvent(
    id="evt_1",
    type="checkout.session.completed",
    content={"created": 1, "account": None, "object": {"id": "cs_1", "metadata": {"a": "ü"}}},
)
SEEN = Snapshot(
    status=ProviderStatus.PAID,
    asset="USD",
    received=500,
    confirmed=500,
    as_of=NOW,
    due=500,
    reference="cs_1",
    aliases=("pi_1", "ch_1"),
)
DISPUTED = attrs.evolve(
    SEEN,
    refunds=(
        RefundSnapshot(
            reference="re_1",
            state=RefundState.FAILED,
            asset="USD",
            amount=500,
            time=NOW,
            refund_id=uuid4(),
            failure_code="lost_card",
        ),
        RefundSnapshot(
            reference="re_2", state=RefundState.PENDING, asset="USD", amount=1, time=NOW
        ),
    ),
    disputes=(
        Dispute(
            id="dp_1",
            status=DisputeStatus.NEEDS_RESPONSE,
            asset="USD",
            amount=500,
            open_time=NOW,
            as_of=NOW,
            evidence_due_time=NOW,
        ),
        Dispute(
            id="dp_2",
            status=DisputeStatus.LOST,
            asset="USD",
            amount=500,
            open_time=NOW,
            as_of=NOW,
        ),
    ),
    fee=30,
)
BARE = Snapshot(status=ProviderStatus.DECLINED, asset="USD", received=0, confirmed=0, as_of=NOW)
RECEIPT = Receipt(id="r1", asset="USD", amount=1, state=ReceiptState.DROPPED, time=NOW)


async def test_events_that_wait_are_listed_by_pages_until_they_are_settled(stores: Stores) -> None:
    events = [attrs.evolve(EVENT, id=f"evt_{n}") for n in range(5)]
    for event in events:
        await stores.inbox.put_webhook("mock", [event], b"{}")
    await stores.inbox.put("mock", [Observation(id="o1", reference="cs_1", fact=SEEN)])
    await stores.inbox.put_webhook("stripe", [EVENT], b"{}")
    claimed, *_ = await stores.inbox.claim(10, LEASE_S)

    first = await stores.inbox.waiting_events("mock", 0, 3)
    rest = await stores.inbox.waiting_events("mock", first[-1][0], 3)
    assert [event for _, event in (*first, *rest)] == events

    await stores.inbox.finish({claimed.id: "applied"})
    waiting = await stores.inbox.waiting_events("mock", 0, 10)
    assert [event for _, event in waiting] == events[1:]


@pytest.mark.parametrize(
    "report",
    [
        EVENT,
        attrs.evolve(EVENT, content=CONTENT),
        ProviderEvent(id='evt " ü 💳 \\', type="", content={}),
        Observation(id="o_1", reference="cs_1", fact=SEEN),
        Observation(id="o_1", reference="cs_1", fact=BARE),
        Observation(id="o_1", reference="cs_1", fact=attrs.evolve(SEEN, due=2**70)),
        Observation(id="o_1", reference="cs_1", fact=DISPUTED),
        Observation(id="o_1", reference="cs_1", fact=(RECEIPT, attrs.evolve(RECEIPT, id="r2"))),
        Observation(id="o_1", reference="cs_1", fact=()),
        Observation(id="o_1", reference="cs_1", fact=DISPUTED.refunds[0]),
        Observation(id="o_1", reference="cs_1", fact=DISPUTED.disputes[0]),
        Observation(id="o_1", reference="cs_1", fact=Conflict()),
        Observation(id="o_1", reference="cs_1", fact=Conflict(detail="test money")),
    ],
    ids=[
        "event",
        "any content",
        "bare event",
        "snapshot",
        "bare snapshot",
        "large snapshot",
        "snapshot with refunds and disputes",
        "receipts",
        "no receipts",
        "refund",
        "dispute",
        "bare conflict",
        "conflict",
    ],
)
async def test_a_report_comes_back_as_it_was_put(stores: Stores, report: Report) -> None:
    assert await stores.inbox.put("stripe", [report]) == 1

    [row] = await stores.inbox.claim(10, LEASE_S)

    assert (row.provider, row.report, row.conflicting) == ("stripe", report, False)


async def test_a_webhook_comes_back_as_it_was_put(stores: Stores) -> None:
    assert await stores.inbox.put_webhook("stripe", [EVENT], b"{}")

    [row] = await stores.inbox.claim(10, LEASE_S)

    assert row.report == EVENT


async def test_the_events_of_a_webhook_keep_its_span(stores: Stores) -> None:
    events = [attrs.evolve(EVENT, id=f"evt_{n}") for n in range(2)]
    await stores.inbox.put_webhook("stripe", events, b"{}", "00-span")
    await stores.inbox.put("mock", [Observation(id="o1", reference="cs_1", fact=SEEN)])

    rows = await stores.inbox.claim(10, LEASE_S)

    assert [row.traceparent for row in rows] == ["00-span", "00-span", ""]


async def test_the_events_of_one_webhook_are_stored_together(stores: Stores) -> None:
    events = [attrs.evolve(EVENT, id=f"evt_{n}") for n in (2, 1, 3)]
    await stores.inbox.put_webhook("stripe", events[:1], b"{}")

    assert await stores.inbox.put_webhook("stripe", events, b"[]") == 2
    assert await stores.inbox.put_webhook("stripe", events, b"[]") == 0

    rows = await stores.inbox.claim(10, LEASE_S)
    assert len(rows) == 3
    assert all(row.report in events for row in rows)
    assert not any(row.conflicting for row in rows)


async def test_webhooks_that_share_events_count_each_once(stores: Stores) -> None:
    events = [attrs.evolve(EVENT, id=f"evt_{n}") for n in range(20)]
    webhooks = [events[n : n + 5] for n in range(16)] + [events[n : n - 5 : -1] for n in (19, 9)]

    new = await all_at_once(
        [partial(stores.inbox.put_webhook, "stripe", one, b"") for one in webhooks]
    )

    assert sum(new) == 20
    assert len(await stores.inbox.claim(100, LEASE_S)) == 20


async def test_a_webhook_of_which_one_event_cannot_be_stored_stores_none(
    stores: Stores,
) -> None:
    if isinstance(stores.inbox, PostgresInbox):
        bad = attrs.evolve(EVENT, id="evt_2", content={"text": "\0"})
        with pytest.raises(Exception, match="Unicode"):
            await stores.inbox.put_webhook("stripe", [EVENT, bad], b"{}")

        assert await stores.inbox.put_webhook("stripe", [EVENT], b"{}") == 1


async def test_a_hundred_copies_at_once_leave_one_row(stores: Stores) -> None:
    copies = [partial(stores.inbox.put_webhook, "stripe", [EVENT], b"{}")] * 100

    assert sum(await all_at_once(copies)) == 1

    assert len(await stores.inbox.claim(200, LEASE_S)) == 1


async def test_many_webhooks_at_once_are_all_stored(stores: Stores) -> None:
    events = [attrs.evolve(EVENT, id=f"evt_{n}") for n in range(200)]

    news = await all_at_once(
        [partial(stores.inbox.put_webhook, "stripe", [e], b"") for e in events]
    )

    assert sum(news) == 200
    stored = await stores.inbox.claim(300, LEASE_S)
    ids = {row.report.id for row in stored if isinstance(row.report, ProviderEvent)}
    assert ids == {event.id for event in events}


async def test_the_order_of_keys_is_no_content(stores: Stores) -> None:
    turned = attrs.evolve(EVENT, content=dict(reversed(list(EVENT.content.items()))))

    assert await stores.inbox.put_webhook("stripe", [EVENT], b"1")
    assert not await stores.inbox.put_webhook("stripe", [turned], b"2")


async def test_an_event_from_a_webhook_is_not_new_to_a_scan(stores: Stores) -> None:
    await stores.inbox.put_webhook("stripe", [EVENT], b"{}")

    assert await stores.inbox.put("stripe", [EVENT, attrs.evolve(EVENT, id="evt_2")]) == 1


async def test_other_content_under_a_known_id_is_kept_and_marked(stores: Stores) -> None:
    other = attrs.evolve(EVENT, content={"created": 2})

    assert await stores.inbox.put_webhook("stripe", [EVENT], b"1")
    assert await stores.inbox.put_webhook("stripe", [other], b"2")

    rows = await stores.inbox.claim(10, LEASE_S)
    assert [(row.report, row.conflicting) for row in rows] == [(EVENT, False), (other, True)]


async def test_a_row_that_settled_is_still_known(stores: Stores) -> None:
    await stores.inbox.put_webhook("stripe", [EVENT], b"{}")
    [row] = await stores.inbox.claim(10, LEASE_S)
    await stores.inbox.finish({row.id: "not_ours"})

    assert not await stores.inbox.put_webhook("stripe", [EVENT], b"{}")


async def test_any_content_comes_back_by_a_webhook_too(stores: Stores) -> None:
    event = attrs.evolve(EVENT, content=CONTENT)
    await stores.inbox.put_webhook("stripe", [event], bytes(range(256)))

    [row] = await stores.inbox.claim(10, LEASE_S)

    assert row.report == event
    assert not await stores.inbox.put_webhook("stripe", [row.report], b"")


async def test_an_event_and_an_observation_under_one_id_conflict(stores: Stores) -> None:
    seen = Observation(id=EVENT.id, reference="cs_1", fact=SEEN)

    assert await stores.inbox.put_webhook("stripe", [EVENT], b"1")
    assert await stores.inbox.put("stripe", [seen]) == 1

    rows = await stores.inbox.claim(10, LEASE_S)
    assert [(row.report, row.conflicting) for row in rows] == [(EVENT, False), (seen, True)]


async def test_each_content_under_one_id_is_kept_once(stores: Stores) -> None:
    contents = [attrs.evolve(EVENT, content={"created": n}) for n in (1, 2, 3, 2, 1, 3)]

    new = [await stores.inbox.put_webhook("stripe", [event], b"") for event in contents]

    assert new == [True, True, True, False, False, False]
    rows = await stores.inbox.claim(10, LEASE_S)
    assert [row.conflicting for row in rows] == [False, True, True]


async def test_contents_that_conflict_at_once_leave_one_row_each_and_one_is_no_conflict(
    stores: Stores,
) -> None:
    contents = [attrs.evolve(EVENT, content={"created": n % 3}) for n in range(60)]

    new = await all_at_once(
        [partial(stores.inbox.put_webhook, "stripe", [e], b"") for e in contents]
    )

    assert sum(new) == 3
    rows = await stores.inbox.claim(10, LEASE_S)
    assert sorted(row.conflicting for row in rows) == [False, True, True]


async def test_a_webhook_and_a_scan_at_once_leave_one_row(stores: Stores) -> None:
    events = [attrs.evolve(EVENT, id=f"evt_{n}") for n in range(50)]
    calls: list[Callable[[], Awaitable[int]]] = [
        partial(stores.inbox.put_webhook, "stripe", [event], b"") for event in events
    ]
    calls.insert(25, partial(stores.inbox.put, "stripe", events))

    new = await all_at_once(calls)

    assert sum(new) == 50
    assert len(await stores.inbox.claim(100, LEASE_S)) == 50


async def test_one_id_of_two_providers_is_two_reports(stores: Stores) -> None:
    other = attrs.evolve(EVENT, content={})

    new = await all_at_once(
        [
            partial(stores.inbox.put_webhook, "stripe", [EVENT], b""),
            partial(stores.inbox.put_webhook, "other", [other], b""),
        ]
    )

    assert new == [True, True]
    rows = await stores.inbox.claim(10, LEASE_S)
    reports = {row.provider: (row.report, row.conflicting) for row in rows}
    assert reports == {"stripe": (EVENT, False), "other": (other, False)}


async def test_a_webhook_wakes_its_waiting_worker(stores: Stores) -> None:
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stores.inbox.put_webhook, "stripe", [EVENT], b"")
            while not await stores.inbox.claim(10, LEASE_S):
                await stores.inbox.wait(30)


@pytest.mark.parametrize(
    "report",
    ['{"id": "1", "reference": "r", "of_a_newer_version": {}}', '{"event": {"kind": 1}}', "[]"],
)
def test_a_report_that_this_version_cannot_read_stops_no_other(
    report: str, migrated_database: DatabaseSettings
) -> None:
    asyncio.run(_claim_beside(report, migrated_database))


async def _claim_beside(report: str, settings: DatabaseSettings) -> None:
    database = Database(settings)
    provider = str(uuid4())
    session = await database.connect()
    await session.execute(
        "INSERT INTO inbox (provider, event_id, content_hash, report, receive_time)"
        " VALUES ($1, 'of a newer version', '\\x00', $2, now())",
        provider,
        report,
    )
    inbox = PostgresInbox(database)
    await inbox.put(provider, [EVENT])

    claimed = [row.report for row in await inbox.claim(1000, 0) if row.provider == provider]

    assert isinstance(claimed[0], Unreadable)
    assert claimed[1] == EVENT
    assert [event for _, event in await inbox.waiting_events(provider, 0, 10)] == [EVENT]
    await session.execute("DELETE FROM inbox WHERE provider = $1", provider)
    await session.close()
    await database.close()


def test_contents_that_two_daemons_store_at_the_same_time_conflict(
    migrated_database: DatabaseSettings,
) -> None:
    asyncio.run(_store_by_two(migrated_database))


async def _store_by_two(settings: DatabaseSettings) -> None:
    database = Database(settings)
    provider = str(uuid4())
    first, second = (attrs.evolve(EVENT, content={"created": n}) for n in (1, 2))
    session = await database.connect()
    # The other daemon's statement has run, and its commit is on its way.
    transaction = session.transaction()
    await transaction.start()
    await session.execute(
        "INSERT INTO inbox (provider, event_id, content_hash, report, receive_time)"
        " VALUES ($1, $2, '\\x00', $3, now())",
        provider,
        EVENT.id,
        dumps(report_json(first)),
    )
    inbox = PostgresInbox(database)
    storing = asyncio.create_task(inbox.put(provider, [second]))
    # A store that waits for the other one is right, too.
    await asyncio.wait([storing], timeout=0.2)
    await transaction.commit()
    assert await storing == 1

    claimed = [row for row in await inbox.claim(1000, 0) if row.provider == provider]

    assert [row.conflicting for row in claimed] == [False, True]
    await session.close()
    await database.close()
