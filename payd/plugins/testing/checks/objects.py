"""Comparison: the list of objects ends, misses none at a page's border, and keeps to its period."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from payd.plugins import ObjectPage, RemoteObject, SupportsCompare
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.checks.scan import add_foreign
from payd.plugins.testing.registry import Failed, Level, check, supports
from payd.plugins.testing.remote import CannotHappen, NotScripted

_PAGES_MAX = 100
#: Objects created before the list is read again, and until the kit gives up on a second page.
_STEP = 6
_OBJECTS_MAX = 48
_NEAR = timedelta(minutes=1)
#: Between two objects whose periods differ; short enough that none expires.
_APART = timedelta(minutes=10)


async def _listed(
    bench: Bench, since: datetime, until: datetime
) -> tuple[Mapping[UUID | None, RemoteObject], int]:
    """Read the whole list; return payd's objects by payment, and the number of pages."""
    assert isinstance(bench.provider, SupportsCompare)
    listed: dict[UUID | None, RemoteObject] = {}
    cursor: str | None = None
    seen: set[str] = set()
    for number in range(1, _PAGES_MAX + 1):
        result = await bench.in_time(bench.provider.objects, since, until, cursor)
        page = bench.expect(ObjectPage, result, "objects")
        listed |= {one.payment_id: one for one in page.objects}
        cursor = page.cursor
        if cursor is None:
            return listed, number
        if cursor in seen:
            raise Failed(f"the list does not end: the cursor {cursor!r} came twice")
        seen.add(cursor)
    raise Failed(f"the list did not end after {_PAGES_MAX} pages")


@check(
    Level.SCAN,
    "payd reads the whole list every day; one without an end is read for ever.",
    supports(SupportsCompare),
)
async def the_list_of_objects_ends(bench: Bench) -> None:
    _, ref, _ = await bench.opened()
    now = bench.clock.now()
    listed, _ = await _listed(bench, now - _NEAR, now + _NEAR)
    if ref.payment_id not in listed:
        raise Failed("the list has no object of a payment that was created in its period")
    await _listed(bench, now - 3 * _NEAR, now - 2 * _NEAR)


@check(
    Level.SCAN, "An object that is missing from the list counts as lost.", supports(SupportsCompare)
)
async def no_object_is_lost_between_pages(bench: Bench) -> None:
    created: dict[UUID, str] = {}
    since, pages = bench.clock.now() - _NEAR, 0
    with suppress(NotScripted, CannotHappen):
        await add_foreign(bench)
    while pages < 2:
        if len(created) >= _OBJECTS_MAX:
            raise NotScripted(
                f"{_OBJECTS_MAX} objects fit into one page of this remote side: let its pages be"
                " smaller"
            )
        for _ in range(_STEP):
            _, ref, answer = await bench.opened()
            created[ref.payment_id] = answer.reference
        listed, pages = await _listed(bench, since, bench.clock.now() + _NEAR)
        if missing := [one for one in created if one not in listed]:
            raise Failed(
                f"objects() ended after {pages} page{'s' if pages > 1 else ''}, without"
                f" {len(missing)} of the {len(created)} objects of the period"
            )
    for payment_id, reference in created.items():
        if (other := listed[payment_id].found.created.reference) != reference:
            raise Failed(f"the list has {other} for a payment whose object is {reference}")


@check(
    Level.SCAN,
    "payd misses the payments of objects that are of another day.",
    supports(SupportsCompare),
)
async def only_objects_of_the_period_are_listed(bench: Bench) -> None:
    began = bench.clock.now()
    _, early, _ = await bench.opened()
    bench.clock.advance(_APART)
    await bench.remote.later(_APART)
    _, late, _ = await bench.opened()
    border = began + _APART / 2
    for since, until, wanted, other in (
        (began - _NEAR, border, early, late),
        (border, border + _APART, late, early),
    ):
        listed, _ = await _listed(bench, since, until)
        if wanted.payment_id not in listed:
            raise Failed("the list misses an object that was created in its period")
        if other.payment_id in listed:
            raise Failed("the list has an object that was not created in its period")
