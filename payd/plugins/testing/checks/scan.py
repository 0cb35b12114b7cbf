"""Scans: reading the provider's event list in pages, from a cursor, without a gap."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from uuid import UUID

import trio

from payd.plugins import Page, ProviderEvent, SupportsScan, SupportsWebhooks
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.checks.webhooks import verified
from payd.plugins.testing.operations import due, names
from payd.plugins.testing.registry import Failed, Level, check, supports
from payd.plugins.testing.remote import CannotHappen, NotScripted

_PAGES_MAX = 200
#: Short enough that nothing expires.
_LAG_MAX = timedelta(minutes=10)
#: What other software may call its orders: text, payd's own kind of id, nothing.
_FOREIGN = ("order 17", str(UUID(int=17)), "")


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
    """Pay new objects, at once where the remote side can do it; return the names of each."""
    opened = [await bench.opened() for _ in range(number)]
    refs, amounts = [ref for _, ref, _ in opened], [due(operation) for operation, _, _ in opened]
    try:
        await bench.remote.pay_together(refs, amounts)
    except (NotScripted, CannotHappen):
        for ref, amount in zip(refs, amounts, strict=True):
            await bench.remote.pay(ref, amount)
    await bench.remote.rest()
    return [names(operation, created) for operation, _, created in opened]


def _missing(
    bench: Bench, paid: Sequence[set[str]], events: Mapping[str, ProviderEvent]
) -> Sequence[set[str]]:
    """The payments that no event reports. Raises Failed when translate raises."""
    reported = {one.reference for event in events.values() for one in bench.translated(event)}
    return [one for one in paid if not one & reported]


def _all_reported(
    bench: Bench, paid: Sequence[set[str]], events: Mapping[str, ProviderEvent]
) -> None:
    if missing := _missing(bench, paid, events):
        raise Failed(
            f"{len(missing)} of {len(paid)} payments were not reported by a whole scan, which"
            " began at a cursor from before they were paid"
        )


async def add_foreign(bench: Bench) -> None:
    """Let other software use the account, with ids of several kinds."""
    for name in _FOREIGN:
        await bench.remote.add_foreign(name)


@check(Level.SCAN, "If a webhook is lost, only the scan reports the money.", supports(SupportsScan))
async def a_scan_reports_what_webhooks_missed(bench: Bench) -> None:
    _, start = await read(bench, None)
    for add in (partial(add_foreign, bench), bench.remote.add_unreadable):
        with suppress(NotScripted, CannotHappen):
            await add()
    paid = await _paid(bench, 3)
    events, _ = await read(bench, start)
    _all_reported(bench, paid, events)


@check(Level.SCAN, "An event missed between two pages would never be read.", supports(SupportsScan))
async def nothing_is_lost_between_pages(bench: Bench) -> None:
    _, cursor = await read(bench, None)
    paid: list[set[str]] = []
    events: dict[str, ProviderEvent] = {}
    # A full page, more than a page, a few more. After each all is there: what a later scan happens
    # to read again would be late by the time between two scans, or missing.
    for number in (bench.remote.events_per_page, bench.remote.events_per_page + 5, 2):
        paid += await _paid(bench, number)
        more, cursor = await read(bench, cursor)
        events |= more
        _all_reported(bench, paid, events)


@check(
    Level.SCAN,
    "Some reports appear late, with a time before the cursor; a scan that goes by the time misses"
    " them.",
    supports(SupportsScan),
)
async def an_event_that_appears_late_is_read(bench: Bench) -> None:
    _, start = await read(bench, None)
    operation, ref, created = await bench.opened()
    await bench.remote.hold_reports(ref)
    await bench.remote.pay(ref, due(operation))
    lag = min(bench.remote.report_lag, _LAG_MAX)
    if not bench.clock.is_real:
        await bench.passed(lag)
    await _paid(bench, 1)
    _, cursor = await read(bench, start)
    await bench.remote.release_reports()
    await bench.remote.rest()
    events, _ = await read(bench, cursor)
    if _missing(bench, [names(operation, created)], events):
        raise Failed(
            f"a payment that was reported {lag.total_seconds() / 60:g} minutes after its time was"
            " not read, because a newer one had moved the cursor: read again from at least"
            f" {lag.total_seconds() / 60:g} minutes before the newest, or set Remote.report_lag to"
            " how late a report can be"
        )


@check(
    Level.SCAN,
    "After a crash the daemon scans again from the stored cursor.",
    supports(SupportsScan),
)
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
    supports(SupportsScan, SupportsWebhooks),
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
