"""All sessions of a span, and the one whose name was lost."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from stripe_provider.config import StripeConfig
from stripe_provider.provider import StripeProvider
from trio.testing import MockClock
from unit.stripe.builders import (
    NOW,
    SDK_WARNING,
    SECOND,
    SESSION_ID,
    a_refund_ref,
    a_session,
    an_intent,
    answer,
    open_fake,
)
from unit.stripe.shelf import Hand, Shelf

from payd.plugins import Absent, Found, ObjectPage, OutcomeUnknown, PaymentRef, ProviderStatus

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)


@pytest.fixture
def autojump_clock() -> MockClock:
    """No test waits for the pace."""
    return MockClock(autojump_threshold=0)


def sessions_at(*times: int) -> list[dict[str, Any]]:
    """One each, of payments 0, 1, 2, …"""
    return [
        a_session(
            id=f"cs_{n}",
            created=time,
            client_reference_id=str(UUID(int=n)),
            metadata={"payment_id": str(UUID(int=n))},
        )
        for n, time in enumerate(sorted(times))
    ]


async def compared(shelf: Shelf, since: int, until: int) -> list[ObjectPage]:
    pages: list[ObjectPage] = []
    span = [datetime.fromtimestamp(second, UTC) for second in (since, until)]
    async with open_fake(handler=shelf, requests_per_second=10_000) as (api, _):
        provider = StripeProvider(api, StripeConfig(), Hand(), livemode=False)
        while not pages or pages[-1].cursor is not None:
            cursor = pages[-1].cursor if pages else None
            pages.append(await provider.objects(span[0], span[1], cursor))
    return pages


async def test_a_comparison_lists_each_session_of_its_span_once() -> None:
    rows = sessions_at(*range(SECOND - 250, SECOND + 1))
    pages = await compared(Shelf(rows), SECOND - 249, SECOND)
    listed = [one.payment_id for page in pages for one in page.objects]
    assert sorted(filter(None, listed)) == [UUID(int=n) for n in range(1, 250)]
    assert len(pages) == 3


async def test_a_comparison_leaves_out_what_is_not_ours() -> None:
    rows = sessions_at(SECOND - 3, SECOND - 2, SECOND - 1)
    rows[1] |= {"client_reference_id": None, "amount_total": None, "currency": None}
    (page,) = await compared(Shelf(rows), SECOND - 10, SECOND)
    assert [one.found.created.reference for one in page.objects] == ["cs_2", "cs_0"]


def a_ref(payment: int = 0, reference: str | None = None) -> PaymentRef:
    return PaymentRef(
        operation_id="key",
        payment_id=UUID(int=payment),
        reference=reference,
        asset="USD",
        create_time=NOW - timedelta(minutes=10),
    )


async def fetched(shelf: Any, ref: PaymentRef, per_second: int = 10_000) -> Found | Absent:
    async with open_fake(handler=shelf, requests_per_second=per_second) as (api, _):
        return await StripeProvider(api, StripeConfig(), Hand(), livemode=False).fetch(ref)


async def test_a_lost_session_is_found_by_its_payment_on_any_page() -> None:
    shelf = Shelf(sessions_at(*range(SECOND - 600, SECOND - 300)))
    found = await fetched(shelf, a_ref(payment=7))
    assert isinstance(found, Found)
    assert found.created.reference == "cs_7"
    assert len(shelf.queries) == 2
    assert shelf.queries[0]["created[gte]"] == str(SECOND - 660)
    assert shelf.queries[0]["created[lte]"] == str(SECOND - 480), "the first try has ended by then"
    assert shelf.queries[0]["expand[0]"] == "data.payment_intent"


@pytest.mark.parametrize(("ago_s", "payment"), [(60, 9), (700, 0)])
async def test_a_session_that_is_not_there_is_absent(ago_s: int, payment: int) -> None:
    shelf = Shelf(sessions_at(SECOND - ago_s))
    assert await fetched(shelf, a_ref(payment)) == Absent()


async def test_among_too_many_sessions_absence_is_not_claimed(autojump_clock: MockClock) -> None:
    bare = {"id": SESSION_ID, "client_reference_id": None}
    page = {"object": "list", "data": [bare], "has_more": True}
    with pytest.raises(OutcomeUnknown):
        await fetched(lambda sent: answer(page), a_ref(), per_second=10)


async def test_a_known_session_is_fetched_by_its_name() -> None:
    session = a_session(status="expired", payment_intent=an_intent("processing"))
    found = await fetched(lambda sent: answer(session), a_ref(reference=SESSION_ID))
    assert isinstance(found, Found)
    assert found.created.reference == SESSION_ID
    assert found.snapshot.status is ProviderStatus.PROCESSING


EMPTY = {"object": "list", "url": "/v1/x", "data": [], "has_more": True}


@pytest.mark.parametrize("page", [EMPTY, EMPTY | {"data": [{"object": "event"}]}])
async def test_a_page_that_does_not_say_where_to_go_on_is_no_answer(page: dict[str, Any]) -> None:
    """It shows nothing and says that there is more: nobody knows what was left out."""
    async with open_fake(answer(page), requests_per_second=1000) as (api, _):
        provider = StripeProvider(api, StripeConfig(), Hand(), livemode=False)
        for ask in (
            lambda: provider.scan(None),
            lambda: provider.objects(NOW - timedelta(days=1), NOW, None),
            lambda: provider.fetch(a_ref()),
            lambda: provider.fetch_refund(a_refund_ref()),
        ):
            with pytest.raises(OutcomeUnknown, match="has_more without a last object"):
                await ask()
