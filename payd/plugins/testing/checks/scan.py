"""Scans: reading the provider's event list in pages, from a cursor, without a gap."""

from collections.abc import Mapping

import trio

from payd.plugins import Page, ProviderEvent, ProviderManifest, SupportsScan, SupportsWebhooks
from payd.plugins.testing.bench import Bench, due, names
from payd.plugins.testing.checks.webhooks import verified
from payd.plugins.testing.registry import Failed, Level, check

_PAGES_MAX = 200


def _scans(_manifest: ProviderManifest, provider: object) -> bool:
    return isinstance(provider, SupportsScan)


def _scans_and_takes_webhooks(_manifest: ProviderManifest, provider: object) -> bool:
    return isinstance(provider, SupportsScan) and isinstance(provider, SupportsWebhooks)


async def read(bench: Bench, cursor: str | None) -> tuple[dict[str, ProviderEvent], str | None]:
    """Read all events from the cursor on; return them by id, and the next cursor."""
    assert isinstance(bench.provider, SupportsScan)
    events: dict[str, ProviderEvent] = {}
    for _ in range(_PAGES_MAX):
        page = bench.expect(Page, await bench.in_time(bench.provider.scan, cursor), "scan")
        for event in page.events:
            if event.id in events and events[event.id] != event:
                raise Failed(f"event {event.id} was returned with different contents")
            events[event.id] = event
        if page.more and page.cursor == cursor:
            raise Failed("the page says more=True, but its cursor did not change")
        cursor = page.cursor
        if not page.more:
            return events, cursor
        await trio.lowlevel.checkpoint()
    raise Failed(f"the scan did not end after {_PAGES_MAX} pages")


async def _paid(bench: Bench, number: int) -> list[set[str]]:
    payments = []
    for _ in range(number):
        operation, ref, created = await bench.opened()
        await bench.remote.pay(ref, due(operation))
        payments.append(names(operation, created))
    await bench.remote.rest()
    return payments


def _all_reported(bench: Bench, paid: list[set[str]], events: Mapping[str, ProviderEvent]) -> None:
    assert isinstance(bench.provider, SupportsScan)
    reported = {
        observation.reference
        for event in events.values()
        for observation in bench.provider.translate(event)
    }
    if missing := [one for one in paid if not one & reported]:
        raise Failed(f"{len(missing)} of {len(paid)} payments were not reported")


@check(Level.SCAN, "If a webhook is lost, only the scan reports the money.", _scans)
async def a_scan_reports_what_webhooks_missed(bench: Bench) -> None:
    _, start = await read(bench, None)
    paid = await _paid(bench, 3)
    events, _ = await read(bench, start)
    _all_reported(bench, paid, events)


@check(Level.SCAN, "An event missed between two pages would never be read.", _scans)
async def nothing_is_lost_between_pages(bench: Bench) -> None:
    _, start = await read(bench, None)
    paid = await _paid(bench, 25)
    events, cursor = await read(bench, start)
    paid += await _paid(bench, 2)
    later, _ = await read(bench, cursor)
    _all_reported(bench, paid, {**events, **later})


@check(Level.SCAN, "After a crash the daemon scans again from the stored cursor.", _scans)
async def a_scan_from_the_same_cursor_returns_the_same_events(bench: Bench) -> None:
    _, start = await read(bench, None)
    await _paid(bench, 3)
    first, _ = await read(bench, start)
    second, _ = await read(bench, start)
    if missing := first.keys() - second.keys():
        raise Failed(f"{len(missing)} events are missing from the second scan")
    if any(first[one] != second[one] for one in first):
        raise Failed("the second scan returned an event with other contents")


@check(
    Level.SCAN,
    "The inbox drops repeated event ids; an event with two ids would be processed twice.",
    _scans_and_takes_webhooks,
)
async def an_event_is_the_same_by_webhook_and_scan(bench: Bench) -> None:
    _, start = await read(bench, None)
    _, ref, _ = await bench.paid()
    events = verified(bench, bench.remote.webhook(ref, bench.clock.now()))
    scanned, _ = await read(bench, start)
    for event in events:
        if event.id not in scanned:
            raise Failed(
                f"the webhook's event {event.id} is not among the scan's {sorted(scanned)}"
            )
        if scanned[event.id] != event:
            raise Failed(f"event {event.id} differs between webhook and scan")
