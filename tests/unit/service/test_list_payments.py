"""ListPayments and ListAttention: what an e-mail and a reference lead to, and what is refused."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
from support.memory import MemoryPaymentLists
from support.memory.store import MemoryStore
from unit.service.world import World

from payd.domain.attention import Attention
from payd.domain.errors import InvalidFilter
from payd.domain.page import Page, Position
from payd.domain.payment import Customer, Payment, Status, flag
from payd.domain.payment_filter import Names, PaymentFilter, Selection
from payd.service.list_payments import CUSTOMERS_MAX, NAMED_MAX

EMAIL = "ann@example.org"
MANY = f"^more than {CUSTOMERS_MAX} customers have this email: pass customer_id instead$"


async def found(world: World, **wanted: Any) -> list[Payment]:
    page = await world.lists.newest_first(PaymentFilter(**wanted), None, 100)
    assert page.next is None
    return list(page.items)


async def paying(world: World, number: int, **customer: str) -> Payment:
    world.clock.move(minutes=1)
    key = f"key-{number}"
    return await world.initiate(idempotency_key=key, customer=Customer(**customer))


async def test_payments_are_listed_page_after_page(world: World) -> None:
    made = [await paying(world, n, id="user-1") for n in range(3)]
    first = await world.lists.newest_first(PaymentFilter(), None, 2)
    assert list(first.items) == made[:0:-1]
    rest = await world.lists.newest_first(PaymentFilter(), first.next, 2)
    assert (list(rest.items), rest.next) == (made[:1], None)


async def test_an_email_finds_the_payments_of_all_its_customers(world: World) -> None:
    first = await paying(world, 1, id="user-1", email=EMAIL)
    second = await paying(world, 2, id="user-2", email=EMAIL)
    await paying(world, 3, id="user-3")

    assert [one.id for one in await found(world, email=EMAIL.upper())] == [second.id, first.id]
    assert [one.id for one in await found(world, email=EMAIL, customer_id="user-1")] == [first.id]
    assert await found(world, email=EMAIL, customer_id="user-3") == []
    assert await found(world, email="nobody@example.org") == []


@pytest.mark.parametrize("also", [{}, {"customer_id": "user-0"}])
async def test_an_email_of_too_many_customers_is_refused(world: World, also: Any) -> None:
    for number in range(CUSTOMERS_MAX + 1):
        await paying(world, number, id=f"user-{number}", email=EMAIL)
    with pytest.raises(InvalidFilter, match=MANY) as refused:
        await found(world, email=EMAIL, **also)
    assert refused.value.metadata == {"filter": "email", "add": "customer_id"}


async def test_an_email_of_as_many_customers_as_a_list_reads_is_searched(world: World) -> None:
    for number in range(CUSTOMERS_MAX):
        await paying(world, number, id=f"user-{number}", email=EMAIL)
    assert len(await found(world, email=EMAIL)) == CUSTOMERS_MAX


async def test_a_reference_finds_its_payment_only(world: World) -> None:
    payment = await paying(world, 1, id="user-1")
    await paying(world, 2, id="user-1")

    for reference in (str(payment.id), "key-1", payment.provider_reference or ""):
        assert [one.id for one in await found(world, reference=reference)] == [payment.id]
    assert await found(world, reference="key-3") == []
    assert await found(world, reference="key-1", customer_id="user-2") == []
    assert await found(world, reference="key-1", statuses=frozenset({Status.FAILED})) == []


async def test_too_many_payments_are_not_searched(world: World) -> None:
    payment = await paying(world, 1, id="user-1")
    with pytest.raises(InvalidFilter, match="add create_time_from"):
        await found(world, min_minor_units=1)
    since = world.clock.now() - timedelta(days=1)
    assert await found(world, min_minor_units=1, create_time_from=since) == [payment]


class WatchedLists(MemoryPaymentLists):
    """Notes how much is read of customers, of names, and of payments."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.read: list[tuple[str, int]] = []

    async def customers_with_email(self, email: str, limit: int) -> Sequence[str]:
        self.read.append(("customers", limit))
        return await super().customers_with_email(email, limit)

    async def payments_named(self, names: Names, limit: int) -> Sequence[UUID]:
        self.read.append(("names", limit))
        return await super().payments_named(names, limit)

    async def newest_first(
        self, selection: Selection, after: Position | None, limit: int
    ) -> Page[Payment]:
        self.read.append(("payments", limit))
        return await super().newest_first(selection, after, limit)


async def test_no_more_is_read_than_a_list_needs(world: World) -> None:
    """One customer more than a list reads shows that there are too many."""
    payment = await paying(world, 1, id="user-1", email=EMAIL)
    lists = WatchedLists(world.store)
    world.lists = attrs.evolve(world.lists, lists=lists)
    assert await found(world, email=EMAIL, reference="key-1") == [payment]
    assert lists.read == [("customers", CUSTOMERS_MAX + 1), ("names", NAMED_MAX), ("payments", 100)]


@pytest.mark.parametrize("nothing", [{"email": "nobody@example.org"}, {"reference": "key-3"}])
async def test_no_list_is_read_where_no_payment_can_be_meant(world: World, nothing: Any) -> None:
    await paying(world, 1, id="user-1")
    lists = WatchedLists(world.store)
    world.lists = attrs.evolve(world.lists, lists=lists)
    assert await found(world, **nothing) == []
    assert [what for what, _ in lists.read if what == "payments"] == []


# -- ListAttention -----------------------------------------------------------------------------


async def with_attention(world: World, number: int) -> Payment:
    payment = await paying(world, number, id="user-1")
    flagged = flag(payment, Attention.STUCK, "a fact", world.clock.now())
    world.store.replace(flagged)
    return flagged


async def test_attention_is_listed_from_the_oldest(world: World) -> None:
    made = [await with_attention(world, n) for n in range(3)]
    await paying(world, 9, id="user-1")

    first = await world.lists.longest_attention_first(PaymentFilter(), None, 2)
    rest = await world.lists.longest_attention_first(PaymentFilter(), first.next, 2)

    assert [one.id for one in (*first.items, *rest.items)] == [one.id for one in made]
    assert rest.next is None


async def test_attention_needs_no_other_filter(world: World) -> None:
    payment = await with_attention(world, 1)
    of_amount = PaymentFilter(min_minor_units=1)
    page = await world.lists.longest_attention_first(of_amount, None, 2)
    assert [one.id for one in page.items] == [payment.id]
    nobody = PaymentFilter(email="nobody@example.org")
    assert (await world.lists.longest_attention_first(nobody, None, 2)).items == ()
    now = world.clock.now()
    backwards = PaymentFilter(create_time_from=now, create_time_before=now)
    with pytest.raises(InvalidFilter, match="leave one out"):
        await world.lists.longest_attention_first(backwards, None, 2)
