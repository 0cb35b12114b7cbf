"""A scan reads every event at least once, for any windows and pages, and reports its end."""

import json
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from stripe_provider import MANIFEST
from stripe_provider.config import StripeConfig
from stripe_provider.provider import StripeProvider
from stripe_provider.webhooks import EVENTS
from trio.testing import MockClock
from unit.stripe.builders import (
    NOW,
    SDK_WARNING,
    SECOND,
    a_completed,
    deliver,
    open_fake,
)
from unit.stripe.shelf import Hand, Shelf, events_at

from payd.plugins import (
    Clock,
    Page,
)
from payd.providers.validation import is_page

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)
HOUR = 3600
DAY = 24 * HOUR
OVERLAP = HOUR


@pytest.fixture
def autojump_clock() -> MockClock:
    """No test waits for the pace."""
    return MockClock(autojump_threshold=0)


@attrs.define
class Running:
    """A clock that goes with trio's."""

    start: float = attrs.Factory(trio.current_time)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=trio.current_time() - self.start)


async def scanned(
    shelf: Shelf, hand: Clock, cursor: str | None, *, most: int = 500, pause_s: float = 0
) -> list[Page]:
    """Steps until one says that it is the last."""
    pages: list[Page] = []
    async with open_fake(handler=shelf, pause_s=pause_s, requests_per_second=10_000) as (api, _):
        provider = StripeProvider(api, StripeConfig(), hand, livemode=False)
        while not pages or pages[-1].more:
            assert len(pages) < most, "it does not come to an end"
            pages.append(await provider.scan(cursor))
            assert is_page(pages[-1])
            cursor = pages[-1].cursor
    return pages


def ids_of(pages: list[Page]) -> set[str]:
    return {event.id for page in pages for event in page.events}


def names_of(rows: list[dict[str, Any]]) -> set[str]:
    return {row["id"] for row in rows}


def times_of(page: Page) -> list[int]:
    return [event.content["created"] for event in page.events]


# -- the windows -------------------------------------------------------------------------------


async def test_the_first_scan_reads_a_day_back() -> None:
    rows = events_at(SECOND - DAY - 1, SECOND - DAY, SECOND - 5, SECOND)
    (page,) = await scanned(Shelf(rows), Hand(), None)
    assert ids_of([page]) == {"evt_1", "evt_2", "evt_3"}
    assert page.cursor == str(SECOND - OVERLAP)


async def test_every_query_names_the_types_that_are_read() -> None:
    shelf = Shelf([])
    await scanned(shelf, Hand(), None)
    for query in shelf.queries:
        asked = [value for name, value in query.items() if name.startswith("types[")]
        assert asked == list(EVENTS)
        assert query["limit"] == "100"


async def test_a_window_is_closed_so_that_its_pages_do_not_move(
    autojump_clock: MockClock,
) -> None:
    shelf = Shelf(events_at(*range(SECOND - 90, SECOND)), page=5)
    pages = await scanned(shelf, Running(), None, pause_s=5)
    assert len(ids_of(pages)) == 90
    assert len({query["created[lte]"] for query in shelf.queries}) == 1
    assert len({query["created[gte]"] for query in shelf.queries}) == 1


async def test_a_fraction_of_a_second_loses_nothing() -> None:
    hand = Hand(NOW + timedelta(microseconds=999_999))
    rows = events_at(*(SECOND - DAY + n * HOUR + d for n in range(25) for d in (0, 1)))
    assert ids_of(await scanned(Shelf(rows, page=3), hand, None)) == names_of(rows)


async def test_the_last_hour_is_read_again() -> None:
    shelf, hand = Shelf(events_at(SECOND - 100)), Hand()
    (first,) = await scanned(shelf, hand, str(SECOND - 2 * HOUR))
    # Late: Stripe lists it after we looked, with a time from before.
    shelf.rows = events_at(SECOND - HOUR, SECOND - 100, SECOND)
    hand.time += timedelta(minutes=10)
    (second,) = await scanned(shelf, hand, first.cursor)
    assert sorted(times_of(second)) == [SECOND - HOUR, SECOND - 100, SECOND]
    assert int(second.cursor) == SECOND + 600 - OVERLAP


async def test_the_cursor_never_goes_back() -> None:
    hand = Hand()
    (page,) = await scanned(Shelf([]), hand, str(SECOND - 10))
    assert page.cursor == str(SECOND - 10)
    hand.time -= timedelta(days=1)
    (page,) = await scanned(Shelf([]), hand, page.cursor)
    assert page.cursor == str(SECOND - 10)


async def test_what_stripe_dates_after_our_clock_is_read_when_its_time_has_come() -> None:
    shelf, hand = Shelf(events_at(SECOND + 5, SECOND + 2 * HOUR)), Hand()
    (first,) = await scanned(shelf, hand, None)
    hand.time += timedelta(hours=3)
    (second,) = await scanned(shelf, hand, first.cursor)
    assert (ids_of([first]), ids_of([second])) == ({"evt_0"}, {"evt_0", "evt_1"})


async def test_the_clocks_zone_changes_nothing() -> None:
    rows = events_at(SECOND - 7 * HOUR, SECOND)
    shelf, other = Shelf(rows), Shelf(rows)
    pages = await scanned(shelf, Hand(), None)
    hand = Hand(NOW.astimezone(ZoneInfo("America/New_York")))
    assert await scanned(other, hand, None) == pages
    assert other.queries == shelf.queries


# -- many events -------------------------------------------------------------------------------


async def test_many_pages_are_read_in_several_steps() -> None:
    shelf = Shelf(events_at(*range(SECOND - DAY, SECOND, 180)), page=5)
    pages = await scanned(shelf, Hand(), None)
    assert ids_of(pages) == names_of(shelf.rows)
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]
    assert len(pages) > 5
    assert len(shelf.queries) == 96


async def test_what_happens_between_two_steps_is_neither_lost_nor_in_the_way() -> None:
    shelf, hand = Shelf(events_at(*range(SECOND - 200, SECOND)), page=5), Hand()
    async with open_fake(handler=shelf, requests_per_second=10_000) as (api, _):
        first = await StripeProvider(api, StripeConfig(), hand, livemode=False).scan(None)
    assert first.more
    shelf.rows += [row | {"id": f"new_{row['id']}"} for row in events_at(SECOND + 1, SECOND + 90)]
    hand.time += timedelta(seconds=100)
    rest = await scanned(shelf, hand, first.cursor)
    after = await scanned(shelf, hand, rest[-1].cursor)
    assert ids_of([first, *rest, *after]) == names_of(shelf.rows)


@pytest.mark.parametrize("each_s", [0, 1])
@pytest.mark.parametrize("ago_s", [0, 59, 2 * HOUR, -30])
async def test_a_burst_is_read_whole(ago_s: int, each_s: int) -> None:
    rows = events_at(*(SECOND - ago_s - each_s * n // 4 for n in range(123)))
    shelf = Shelf(rows, page=5)
    assert ids_of(await scanned(shelf, Hand(), str(SECOND - 5 * HOUR))) == names_of(rows)


@pytest.mark.parametrize("ahead_s", [0, 1, HOUR])
async def test_a_burst_after_a_cursor_that_is_not_in_the_past_ends(ahead_s: int) -> None:
    # Our clock was put back, or Stripe's is ahead.
    rows = events_at(*([SECOND + ahead_s] * 123))
    pages = await scanned(Shelf(rows, page=5), Hand(), str(SECOND + ahead_s))
    assert ids_of(pages) == names_of(rows)


@pytest.mark.parametrize(
    ("pause_s", "per_second"), [(0.05, 25), (0.3, 25), (0.8, 25), (1.2, 25), (0.3, 2), (0.3, 1)]
)
async def test_each_step_ends_within_the_deadline_of_an_operation(
    autojump_clock: MockClock, pause_s: float, per_second: float
) -> None:
    # payd cancels it then, and the next one would begin where this one began.
    shelf = Shelf(events_at(*range(SECOND - 100, SECOND)), page=5)
    deadline_s = MANIFEST.capabilities.operation_timeout.total_seconds()
    async with open_fake(handler=shelf, pause_s=pause_s, requests_per_second=per_second) as (
        api,
        _,
    ):
        provider = StripeProvider(api, StripeConfig(), Running(), livemode=False)
        with trio.move_on_after(deadline_s) as scope:
            page = await provider.scan(None)
    assert not scope.cancelled_caught
    assert page.events


async def test_a_cursor_whose_event_stripe_has_forgotten_is_no_dead_end() -> None:
    # Stripe keeps events for 30 days; a daemon may have been off for longer.
    rows = events_at(*range(SECOND - 100, SECOND))
    async with open_fake(handler=Shelf(rows, page=5), requests_per_second=10_000) as (api, _):
        cursor = (
            await StripeProvider(api, StripeConfig(), Hand(), livemode=False).scan(None)
        ).cursor
    kept = [row | {"id": f"new_{row['id']}"} for row in rows]
    assert ids_of(await scanned(Shelf(kept, page=5), Hand(), cursor)) == names_of(kept)


_TIMES = st.lists(st.integers(SECOND - 40 * HOUR, SECOND + 60), max_size=30)


@given(times=_TIMES, copies=st.integers(1, 8), back=st.integers(0, 40 * HOUR))
def test_whatever_there_is_since_the_cursor_is_read(
    times: list[int], copies: int, back: int
) -> None:
    shelf = Shelf(events_at(*(time for time in times for _ in range(copies))), page=3)
    start = SECOND - back

    async def run() -> list[Page]:
        return await scanned(shelf, Hand(), str(start))

    pages = trio.run(run, clock=MockClock(autojump_threshold=0))
    wanted = [row for row in shelf.rows if row["created"] >= start]
    assert sum(len(page.events) for page in pages) == len(wanted)
    assert ids_of(pages) == names_of(wanted)


# -- odd ones ----------------------------------------------------------------------------------


async def test_an_event_that_cannot_be_read_hides_no_other() -> None:
    rows = events_at(SECOND - 3, SECOND - 2, SECOND - 1)
    rows[1]["data"] = None
    assert ids_of(await scanned(Shelf(rows), Hand(), None)) == {"evt_0", "evt_2"}


async def test_a_scanned_event_is_the_one_that_a_webhook_brings() -> None:
    completed = a_completed(created=SECOND - 5)
    delivered = deliver(
        json.dumps(completed | {"pending_webhooks": 1, "api_version": "2020-08-27"})
    )
    pages = await scanned(Shelf([completed]), Hand(), None)
    assert [event for page in pages for event in page.events] == [delivered]
