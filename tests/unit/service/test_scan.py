"""A scan reads events that no webhook delivered, from where the last scan stopped."""

from datetime import timedelta

import attrs
import pytest
from unit.service.fakes import FakeProvider, FakeProviders
from unit.service.world import World, capable

from payd.domain.payment import Status
from payd.plugins.interface import Page, ProviderEvent, WebhookRequest
from payd.service.scan import Scan


def an_event(name: str) -> ProviderEvent:
    return ProviderEvent(id=name, type="paid", content={})


async def test_what_is_new_is_stored_and_the_next_scan_goes_on_from_there(world: World) -> None:
    world.provider.pages = [
        Page(events=(an_event("evt_1"), an_event("evt_2")), cursor="100"),
        Page(events=(an_event("evt_2"), an_event("evt_3")), cursor="200"),
    ]

    assert await scanned(world) == 2
    world.clock.time += world.scan.interval()
    assert await scanned(world) == 1

    assert world.provider.cursors == [None, "100"]
    assert [row.report for row in await world.reports.claim_batch()] == [
        an_event(name) for name in ("evt_1", "evt_2", "evt_3")
    ]


async def test_a_scan_rests_until_it_is_due(world: World) -> None:
    world.provider.pages = [Page(events=(), cursor="1")]
    await scanned(world)

    world.clock.time += world.scan.interval() - timedelta(seconds=1)
    assert await world.scan.claim_batch() == []

    world.clock.move(seconds=1)
    assert len(await world.scan.claim_batch()) == 1


async def test_a_lower_interval_takes_effect_at_once(world: World) -> None:
    world.provider.pages = [Page(events=(), cursor="1"), Page(events=(), cursor="2")]
    await scanned(world)
    assert await world.scan.claim_batch() == []

    world.scan.interval = lambda: timedelta(seconds=5)
    assert await world.scan.claim_batch() == []
    world.clock.move(seconds=5)
    await scanned(world)

    assert world.provider.cursors == [None, "1"]
    world.clock.move(seconds=5)
    assert len(await world.scan.claim_batch()) == 1


async def test_a_higher_interval_leaves_the_rest_that_has_begun(world: World) -> None:
    world.provider.pages = [Page(events=(), cursor="1")]
    await scanned(world)
    world.clock.time += world.scan.interval()

    world.scan.interval = lambda: timedelta(hours=1)
    assert len(await world.scan.claim_batch()) == 1


async def test_a_scan_keeps_its_claim_though_the_interval_is_shorter_than_the_lease(
    world: World,
) -> None:
    world.scan.interval = lambda: timedelta(seconds=5)
    assert len(await world.scan.claim_batch()) == 1

    for _ in range(2):
        world.clock.move(seconds=10)
        assert await world.scan.claim_batch() == []

    world.clock.move(seconds=world.scan.lease_s)
    assert len(await world.scan.claim_batch()) == 1


async def test_a_provider_that_cannot_be_scanned_does_not_hide_the_next_one(world: World) -> None:
    other = FakeProvider(world.clock, capable())
    other.name = "other"
    world.provider.can_scan = False
    card, crypto = world.providers.registered()
    both = FakeProviders(card, attrs.evolve(crypto, provider=other))
    scan = Scan(inbox=world.inbox, cursors=world.inbox, providers=both)

    assert [step.provider.name for step in await scan.claim_batch()] == ["other"]

    world.provider.can_scan = True
    assert [step.provider.name for step in await scan.claim_batch()] == ["mock"]


async def test_a_scan_that_has_more_to_read_goes_on_at_once(world: World) -> None:
    world.provider.pages = [Page(events=(), cursor="1", more=True), Page(events=(), cursor="2")]

    await scanned(world)
    await scanned(world)

    assert world.provider.cursors == [None, "1"]
    assert await world.scan.claim_batch() == []


async def test_a_scan_that_gets_nowhere_rests_although_there_is_more(world: World) -> None:
    world.provider.pages = [Page(events=(), cursor="1", more=True)] * 2
    await scanned(world)

    await scanned(world)

    assert world.provider.cursors == [None, "1"]
    assert await world.scan.claim_batch() == []


async def test_a_provider_that_does_not_answer_is_asked_again_when_the_lease_ends(
    world: World,
) -> None:
    world.provider.pages = [None, Page(events=(an_event("evt_1"),), cursor="1")]

    assert await scanned(world) == 0
    assert await world.scan.claim_batch() == []
    world.clock.move(seconds=world.scan.lease_s)
    assert await scanned(world) == 1

    assert world.provider.cursors == [None, None]


async def test_one_daemon_scans_at_a_time(world: World) -> None:
    assert len(await world.scan.claim_batch()) == 1
    assert await world.scan.claim_batch() == []


@pytest.mark.parametrize("can_scan", [True, False])
async def test_only_providers_that_can_be_scanned_are(world: World, can_scan: bool) -> None:
    world.provider.can_scan = can_scan

    assert len(await world.scan.claim_batch()) == can_scan


async def test_a_scanned_event_is_settled_as_a_webhook_is(world: World) -> None:
    payment = await world.initiate()
    world.provider.object.pay()
    world.provider.meanings["evt_1"] = (world.provider.observe(world.provider.object),)
    world.provider.pages = [Page(events=(an_event("evt_1"),), cursor="1")]

    await scanned(world)

    assert await world.events() == ["payment.completed"]
    assert (await world.newest(payment)).status is Status.COMPLETED


async def test_an_event_from_a_webhook_is_not_new_to_a_scan(world: World) -> None:
    world.provider.webhooks[b"signed"] = [an_event("evt_1")]
    await world.intake.accept_webhook("mock", WebhookRequest(body=b"signed", headers={}))
    world.provider.pages = [Page(events=(an_event("evt_1"),), cursor="1")]

    assert await scanned(world) == 0

    assert len(await world.reports.claim_batch()) == 1


async def test_a_daemon_that_died_before_its_page_was_stored_reads_it_again(world: World) -> None:
    [died] = await world.scan.claim_batch()
    world.clock.move(seconds=world.scan.lease_s)
    world.provider.pages = [Page(events=(an_event("evt_1"),), cursor="1")] * 2

    assert await scanned(world) == 1
    assert await world.scan.work(died) == 0, "the one that was only slow brings nothing twice"

    assert world.provider.cursors == [None, None]


async def test_an_empty_page_moves_the_cursor(world: World) -> None:
    world.provider.pages = [Page(events=(), cursor="1"), Page(events=(), cursor="2")]
    await scanned(world)
    world.clock.time += world.scan.interval()
    await scanned(world)

    assert world.provider.cursors == [None, "1"]


async def test_a_comparison_does_not_hold_up_a_scan(world: World) -> None:
    assert await world.reconcile.claim_batch() == [world.port]

    assert len(await world.scan.claim_batch()) == 1


async def scanned(world: World) -> int:
    """One pass; how many events were new."""
    [step] = await world.scan.claim_batch()
    return await world.scan.work(step)
