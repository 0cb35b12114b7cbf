"""What webhooks and scans tell is stored once, as it was told, with the cursor of the scan."""

from datetime import timedelta
from functools import partial
from uuid import uuid4

import attrs
import pytest
import trio
from contract.stores import NOW, Stores, all_at_once

from payd.domain.evidence import Conflict, Observation, ProviderStatus, Reversal, Snapshot
from payd.plugins.interface import ProviderEvent
from payd.ports import Cursor, Report

LEASE_S = 60.0
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
REVERSAL = Reversal(asset="USD", refunded=100, disputed=True, aliases=("ch_1",))


@pytest.mark.parametrize(
    "report",
    [
        EVENT,
        Observation(id="o_1", reference="cs_1", fact=SEEN),
        Observation(id="o_1", reference="cs_1", fact=REVERSAL),
        Observation(id="o_1", reference="cs_1", fact=Conflict()),
    ],
    ids=["event", "snapshot", "reversal", "conflict"],
)
async def test_a_report_comes_back_as_it_was_put(stores: Stores, report: Report) -> None:
    assert await stores.inbox.put("stripe", [report]) == 1

    [row] = await stores.inbox.claim(10, LEASE_S)

    assert (row.provider, row.report, row.conflicting) == ("stripe", report, False)


async def test_a_webhook_comes_back_as_it_was_put(stores: Stores) -> None:
    assert await stores.inbox.put_webhook("stripe", EVENT, b"{}")

    [row] = await stores.inbox.claim(10, LEASE_S)

    assert row.report == EVENT


async def test_a_hundred_copies_at_once_leave_one_row(stores: Stores) -> None:
    copies = [partial(stores.inbox.put_webhook, "stripe", EVENT, b"{}")] * 100

    assert sum(await all_at_once(copies)) == 1

    assert len(await stores.inbox.claim(200, LEASE_S)) == 1


async def test_many_webhooks_at_once_are_all_stored(stores: Stores) -> None:
    events = [attrs.evolve(EVENT, id=f"evt_{n}") for n in range(200)]

    told = await all_at_once([partial(stores.inbox.put_webhook, "stripe", e, b"") for e in events])

    assert sum(told) == 200
    stored = await stores.inbox.claim(300, LEASE_S)
    assert {row.report.id for row in stored} == {event.id for event in events}


async def test_the_order_of_keys_is_no_content(stores: Stores) -> None:
    turned = attrs.evolve(EVENT, content=dict(reversed(EVENT.content.items())))

    assert await stores.inbox.put_webhook("stripe", EVENT, b"1")
    assert not await stores.inbox.put_webhook("stripe", turned, b"2")


async def test_what_a_webhook_told_is_not_new_to_a_scan(stores: Stores) -> None:
    await stores.inbox.put_webhook("stripe", EVENT, b"{}")

    assert await stores.inbox.put("stripe", [EVENT, attrs.evolve(EVENT, id="evt_2")]) == 1


async def test_other_content_under_a_known_id_is_kept_and_marked(stores: Stores) -> None:
    other = attrs.evolve(EVENT, content={"created": 2})

    assert await stores.inbox.put_webhook("stripe", EVENT, b"1")
    assert await stores.inbox.put_webhook("stripe", other, b"2")

    rows = await stores.inbox.claim(10, LEASE_S)
    assert [(row.report, row.conflicting) for row in rows] == [(EVENT, False), (other, True)]


async def test_a_row_that_settled_is_still_known(stores: Stores) -> None:
    await stores.inbox.put_webhook("stripe", EVENT, b"{}")
    [row] = await stores.inbox.claim(10, LEASE_S)
    await stores.inbox.finish(row.id, "not_ours")

    assert not await stores.inbox.put_webhook("stripe", EVENT, b"{}")


# -- the cursor ----------------------------------------------------------------------------------


async def test_a_cursor_is_claimed_by_one_of_many(stores: Stores) -> None:
    name = str(uuid4())
    claims = [partial(stores.cursors.claim_cursor, "stripe", name, LEASE_S)] * 20

    assert sorted(map(str, await all_at_once(claims))) == sorted(["(None,)", *["None"] * 19])


async def test_a_cursor_rests_and_goes_on_from_its_value(stores: Stores) -> None:
    assert await stores.cursors.claim_cursor("stripe", "events", LEASE_S) == (None,)
    await stores.inbox.put("stripe", [], Cursor(name="events", value="7", rest=timedelta(0)))
    assert await stores.cursors.claim_cursor("stripe", "events", LEASE_S) == ("7",)

    resting = Cursor(name="events", value="8", rest=timedelta(hours=1))
    await stores.inbox.put("stripe", [EVENT], resting)

    assert await stores.cursors.claim_cursor("stripe", "events", LEASE_S) is None
    assert await stores.cursors.claim_cursor("stripe", "objects", LEASE_S) == (None,)
    assert await stores.cursors.claim_cursor("other", "events", LEASE_S) == (None,)
    assert len(await stores.inbox.claim(10, LEASE_S)) == 1


async def test_a_claim_that_died_is_taken_up(stores: Stores) -> None:
    assert await stores.cursors.claim_cursor("stripe", "events", 0.05) == (None,)

    with trio.fail_after(10):
        while await stores.cursors.claim_cursor("stripe", "events", LEASE_S) is None:  # noqa: ASYNC110 - a lease ends without an event
            await trio.sleep(0.02)
