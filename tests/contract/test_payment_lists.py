"""Lists of payments, over memory and PostgreSQL: who is on them, and page after page."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import trio
from contract.stores import CALLER, NOW, PRICE, OpenStores, Stores, a_new_payment, created, paid
from contract.test_refunds import a_dispute, a_refund, commit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.memory import MemoryPaymentLists, MemoryStore

from payd.adapters.postgres import payment_lists
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.system import SystemClock
from payd.domain.attention import Attention, AttentionRecord, resolve
from payd.domain.decide import decide
from payd.domain.evidence import Outflow, Receipt, ReceiptState
from payd.domain.money import Money
from payd.domain.next_action import CryptoTransfer
from payd.domain.payment import Customer, Payment, Status
from payd.domain.payment_filter import PaymentFilter, Selection, names_of
from payd.ports import Page, PaymentLists, Position

MINUTE = timedelta(minutes=1)
ALL = Selection()
TRANSACTION = "0x" + "ab" * 32
MEMO = "0x" + "7" * 64


def selecting(**wanted: Any) -> Selection:
    return Selection(filter=PaymentFilter(**wanted))


async def listed(
    stores: Stores, selection: Selection, size: int = 10, *, attention: bool = False
) -> list[UUID]:
    """The ids of all pages."""
    lists = stores.lists
    read = lists.longest_attention_first if attention else lists.newest_first
    return [payment.id async for payment in _pages(read, selection, size)]


async def _pages(
    read: Callable[..., Any], selection: Selection, size: int
) -> AsyncIterator[Payment]:
    after: Position | None = None
    while True:
        page: Page[Payment] = await read(selection, after, size)
        assert len(page.items) <= size
        for payment in page.items:
            yield payment
        if page.next is None:
            return
        after = page.next


# -- order -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
async def test_payments_are_listed_newest_first_by_pages(stores: Stores, size: int) -> None:
    made = [await stores.add(create_time=NOW + n // 2 * MINUTE) for n in range(7)]
    newest_first = sorted(made, key=lambda one: (one.create_time, one.id), reverse=True)

    assert await listed(stores, ALL, size) == [one.id for one in newest_first]


async def test_a_page_that_is_exactly_full_is_the_last_one(stores: Stores) -> None:
    for _ in range(3):
        await stores.add()
    assert (await stores.lists.newest_first(ALL, None, 3)).next is None
    assert (await stores.lists.newest_first(ALL, None, 2)).next is not None


async def test_a_list_without_payments_is_one_empty_page(stores: Stores) -> None:
    assert await stores.lists.newest_first(ALL, None, 10) == Page()
    assert await stores.lists.longest_attention_first(ALL, None, 10) == Page()


async def test_a_list_has_whole_payments(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    payment = await commit(
        stores, await stores.learn(payment, paid(payment)), refunds=(a_refund(),)
    )

    [one] = (await stores.lists.newest_first(ALL, None, 10)).items

    assert one == payment


# -- filters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"statuses": frozenset({Status.PENDING})}, "b"),
        ({"statuses": frozenset({Status.PENDING, Status.CREATING})}, "bacd"),
        ({"methods": frozenset({"crypto", "pix"})}, "c"),
        ({"providers": frozenset({"tempo"})}, "c"),
        ({"providers": frozenset({"tempo"}), "methods": frozenset({"card"})}, ""),
        ({"subscription_id": "sub-d"}, "d"),
        ({"subscription_id": "sub-1"}, "bac"),
        ({"metadata": ("order", "d")}, "d"),
        ({"metadata": ("order", "")}, ""),
        ({"metadata": ("d", "order")}, ""),
        ({"metadata": ("empty", "")}, "d"),
        ({"subscription_id": "sub-1", "metadata": ("order", "7")}, "bac"),
        ({"create_time_from": NOW - MINUTE}, "ba"),
        ({"create_time_before": NOW}, "acd"),
        ({"create_time_from": NOW - 2 * MINUTE, "create_time_before": NOW}, "ac"),
        ({"currency_code": "EUR"}, "d"),
        ({"min_minor_units": 14901}, "d"),
        ({"max_minor_units": 14900, "currency_code": "USD"}, "bac"),
        ({"min_minor_units": 14900, "max_minor_units": 14900}, "bac"),
    ],
)
async def test_a_filter_selects(stores: Stores, wanted: dict[str, Any], found: str) -> None:
    names = {
        (await stores.add(create_time=NOW - MINUTE)).id: "a",
        (await stores.learn(await stores.add(create_time=NOW), created())).id: "b",
        (await stores.add(create_time=NOW - 2 * MINUTE, method="crypto", provider="tempo")).id: "c",
        (
            await stores.add(
                create_time=NOW - 3 * MINUTE,
                amount=Money(currency_code="EUR", minor_units=20000),
                subscription_ids=("sub-2", "sub-d"),
                metadata={"order": "d", "empty": ""},
            )
        ).id: "d",
    }
    for size in (1, 10):
        ids = await listed(stores, selecting(**wanted), size)
        assert "".join(names[one] for one in ids) == found


async def test_payments_of_customers_are_merged_by_time(stores: Stores) -> None:
    made = [
        await stores.add(customer=Customer(id=f"user-{n % 3}"), create_time=NOW - n * MINUTE)
        for n in range(9)
    ]
    ours = [one.id for one in made if one.customer.id != "user-2"]
    for size in (1, 2, 10):
        of_two = Selection(customer_ids=frozenset({"user-0", "user-1"}))
        assert await listed(stores, of_two, size) == ours
    assert await listed(stores, Selection(customer_ids=frozenset({"nobody"}))) == []


async def test_customers_are_found_by_their_present_email_in_any_case(stores: Stores) -> None:
    for id_, email in (("a", "One@example.org"), ("b", "two@example.org"), ("c", "")):
        await stores.add(customer=Customer(id=id_, email=email))
    await stores.add(customer=Customer(id="d", email="old@example.org"))
    await stores.add(customer=Customer(id="d", email="one@example.org"))

    async def found(email: str, limit: int = 10) -> set[str]:
        return set(await stores.lists.customers_with_email(email, limit))

    assert await found("ONE@example.ORG") == {"a", "d"}
    assert len(await found("one@example.org", limit=1)) == 1
    assert await found("old@example.org") == await found("%@example.org") == set()


# -- references --------------------------------------------------------------------------------


async def _with_many_names(stores: Stores) -> Payment:
    payment = await stores.learn(
        await stores.add(idempotency_key="key-1"), created(reference=MEMO, aliases=("pi_1",))
    )
    receipt = Receipt(
        id=f"1:{TRANSACTION}:3",
        asset=payment.asset,
        amount=payment.due,
        state=ReceiptState.CONFIRMED,
        time=NOW,
        details={"transaction": TRANSACTION},
    )
    payment = await stores.learn(payment, (receipt,))
    typed = CryptoTransfer(
        currency="USDC",
        chain_id=1,
        token_address="0x1",
        receiver_address="0x2",
        amount_base_units=1,
        decimals=6,
        memo="0x" + b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".hex(),
        calldata="",
        payment_uri="",
    )
    refund = a_refund(
        id=UUID(int=9), idempotency_key="refund-1", provider_reference="re_1", next_action=typed
    )
    return await commit(stores, payment, refunds=(refund,), disputes=(a_dispute(id="dp_1"),))


@pytest.mark.parametrize(
    "reference",
    [
        *("key-1", MEMO, MEMO.removeprefix("0x"), "pi_1"),
        *(f"1:{TRANSACTION}:3", TRANSACTION, TRANSACTION.upper().replace("0X", "0x")),
        *(str(UUID(int=9)), "refund-1", "re_1", "dp_1"),
        *("0123456789ABCDEFGHJKMNPQRSTVWXYZ", "0123456789abcdefghjkmnpqrstvwxyz"),
    ],
)
async def test_a_payment_is_found_by_whatever_names_it(stores: Stores, reference: str) -> None:
    payment = await _with_many_names(stores)
    await stores.add(provider="other")

    names = names_of(reference)

    assert await stores.lists.payments_named(names, 10) == [payment.id]
    assert await stores.lists.payments_named(names, 0) == []


async def test_a_payment_is_found_by_the_transaction_that_refunded_it(stores: Stores) -> None:
    payment = await _with_many_names(stores)
    sent = Outflow(
        id="re_1",
        asset="USD",
        amount=100,
        time=NOW,
        details={"transaction": TRANSACTION[:-1] + "c"},
    )
    await stores.inbox.put(payment.provider, [], outflows=[sent])

    names = names_of(sent.details["transaction"])

    assert await stores.lists.payments_named(names, 10) == [payment.id]


async def test_a_payment_is_found_by_its_own_id_and_by_a_memo_of_its_id(stores: Stores) -> None:
    payment = await stores.add()
    for reference in (
        *(str(payment.id), str(payment.id).upper(), payment.id.hex),
        *(f"0x{payment.id.hex}{'0' * 32}", f"0x{'0' * 32}{payment.id.hex}"),
    ):
        found = await stores.lists.payments_named(names_of(reference), 10)
        assert found == [payment.id], reference


async def test_what_names_nothing_is_not_found(stores: Stores) -> None:
    await _with_many_names(stores)
    for reference in ("key-2", "PI_1", "pi_", str(uuid4()), "%", "0x", "'; --"):
        assert await stores.lists.payments_named(names_of(reference), 10) == []


async def test_a_list_of_named_payments_is_filtered_as_any(stores: Stores) -> None:
    made = [await stores.add(create_time=NOW - n * MINUTE) for n in range(3)]
    ids = frozenset(one.id for one in made)
    assert await listed(stores, Selection(payment_ids=ids), 2) == [one.id for one in made]
    pending = PaymentFilter(statuses=frozenset({Status.PENDING}))
    assert await listed(stores, Selection(payment_ids=ids, filter=pending)) == []


# -- attention ---------------------------------------------------------------------------------


def opened(reason: Attention, since: datetime) -> AttentionRecord:
    return AttentionRecord(reason=reason, since=since, facts=frozenset({"a fact"}), published=True)


async def _flagged(stores: Stores, *records: AttentionRecord, **fields: Any) -> Payment:
    return await commit(stores, await stores.add(**fields), attention_records=records)


async def test_open_attention_is_listed_by_its_age(stores: Stores) -> None:
    stuck = await _flagged(stores, opened(Attention.STUCK, NOW - 2 * MINUTE))
    lost = await _flagged(stores, opened(Attention.LOST_DISPUTE, NOW - 3 * MINUTE))
    both = await _flagged(
        stores, opened(Attention.UNDERPAID, NOW - 9 * MINUTE), opened(Attention.STUCK, NOW)
    )
    resolved = await _flagged(stores, opened(Attention.UNDERPAID, NOW - 5 * MINUTE))
    records = resolve(resolved.attention_records, list(Attention), "operator:x", "n", NOW)
    await commit(stores, resolved, attention_records=records)
    await stores.add()

    for size in (1, 2, 10):
        found = await listed(stores, ALL, size, attention=True)
        assert found == [both.id, lost.id, stuck.id]
    reasons = {Attention.STUCK, Attention.LOST_DISPUTE}
    wanted = selecting(attention=frozenset(reasons))
    assert await listed(stores, wanted, attention=True) == [both.id, lost.id, stuck.id]
    only_lost = selecting(attention=frozenset({Attention.LOST_DISPUTE}))
    assert await listed(stores, only_lost, attention=True) == [lost.id]
    assert await listed(stores, only_lost) == [lost.id]
    assert set(await listed(stores, wanted)) == {both.id, lost.id, stuck.id}
    assert await listed(stores, selecting(attention=frozenset({Attention.UNDERPAID}))) == [both.id]


async def test_attention_is_filtered_as_any_list(stores: Stores) -> None:
    old = await _flagged(stores, opened(Attention.STUCK, NOW), create_time=NOW - 9 * MINUTE)
    new = await _flagged(stores, opened(Attention.STUCK, NOW + MINUTE), method="crypto")
    for wanted, payment in (
        ({"create_time_before": NOW - 5 * MINUTE}, old),
        ({"create_time_from": NOW - 5 * MINUTE}, new),
        ({"methods": frozenset({"crypto"})}, new),
        ({"min_minor_units": PRICE.minor_units, "methods": frozenset({"card"})}, old),
    ):
        assert await listed(stores, selecting(**wanted), attention=True) == [payment.id]


async def test_attention_of_the_previous_version_is_listed_by_its_last_change(
    open_postgres: OpenStores, migrated_database: DatabaseSettings
) -> None:
    """It changes only the column `attention`."""
    async with open_postgres() as stores:
        ours = await _flagged(stores, opened(Attention.STUCK, NOW))
        ended = await _flagged(stores, opened(Attention.UNDERPAID, NOW - 9 * MINUTE))
        raised = [await stores.add() for _ in range(2)]
        change = "UPDATE payments SET attention = $2, update_time = $3 WHERE id = $1"
        await execute(migrated_database, change, ended.id, [], NOW)
        for number, payment in enumerate(raised):
            time = NOW + (number - 1) * MINUTE
            await execute(migrated_database, change, payment.id, ["OVERPAID"], time)

        for size in (1, 2, 10):
            found = await listed(stores, ALL, size, attention=True)
            assert found[0] == raised[0].id
            assert set(found[1:]) == {ours.id, raised[1].id}
        overpaid = selecting(attention=frozenset({Attention.OVERPAID}))
        assert set(await listed(stores, overpaid)) == {one.id for one in raised}


# -- labels ------------------------------------------------------------------------------------


async def test_values_that_are_erased_find_no_payment(
    open_postgres: OpenStores, migrated_database: DatabaseSettings
) -> None:
    async with open_postgres() as stores:
        payment = await stores.add(metadata={"order": "7", "name": "Ann"})
        erase = "UPDATE payments SET metadata = metadata - 'name' WHERE id = $1"
        await execute(migrated_database, erase, payment.id)

        assert await listed(stores, selecting(metadata=("name", "Ann"))) == []
        assert await listed(stores, selecting(metadata=("order", "7"))) == [payment.id]
        labels = "SELECT count(*) FROM payment_labels WHERE payment_id = $1"
        assert await execute(migrated_database, labels, payment.id) == 2


# -- while payments are written ----------------------------------------------------------------


async def test_walks_that_end_early_leave_nobody_out(
    open_postgres: OpenStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several walks some end before a page is full, wherever their payments are."""
    monkeypatch.setattr(payment_lists, "WALK_MAX", 3)
    async with open_postgres() as stores:
        made = [
            await stores.add(
                create_time=NOW - n * MINUTE,
                method="card" if n % 5 else "crypto",
                customer=Customer(id=f"user-{n % 7 % 2}"),
                metadata={"even": str(n % 2 == 0), "n": str(n)},
            )
            for n in range(40)
        ]
        customers = frozenset({"user-0", "user-1"})
        for size in (1, 2, 3, 10):
            for wanted in ({"even": "True"}, {"n": "33"}, {"n": "none"}):
                [pair] = wanted.items()
                ids = [one.id for one in made if one.metadata[pair[0]] == pair[1]]
                by_customers = Selection(
                    customer_ids=customers, filter=PaymentFilter(metadata=pair)
                )
                assert await listed(stores, selecting(metadata=pair), size) == ids
                assert await listed(stores, by_customers, size) == ids
            assert await listed(stores, ALL, size) == [one.id for one in made]
            assert await listed(stores, selecting(max_minor_units=1), size) == []


class Writes:
    """Payments that come and change, each step by a number."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.made: list[Payment] = []

    async def step(self, number: int) -> None:
        if not self.made or number % 3 == 0:
            time = NOW + timedelta(minutes=number % 20)
            payment = a_new_payment(create_time=time, update_time=time)
            self.made.append(await self.store.insert(payment, CALLER))
            return
        payment = self.made[number % len(self.made)]
        stored = await self.store.get(payment.id)
        assert stored is not None
        evidence = created() if stored.status is Status.CREATING else paid(stored)
        decision = decide(stored, evidence, NOW)
        if decision is not None:
            await self.store.commit(stored, decision, CALLER)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    before=st.lists(st.integers(0, 1000), max_size=20),
    between=st.lists(st.lists(st.integers(0, 1000), max_size=4), max_size=10),
    size=st.integers(1, 5),
)
async def test_pages_have_each_payment_once_while_others_are_written(
    before: list[int], between: list[list[int]], size: int
) -> None:
    store = MemoryStore(SystemClock())
    lists: PaymentLists = MemoryPaymentLists(store)
    writes = Writes(store)
    for number in before:
        await writes.step(number)
    there = [one.id for one in writes.made]

    found: list[UUID] = []
    after, steps = None, iter(between)
    while True:
        page = await lists.newest_first(ALL, after, size)
        found += [payment.id for payment in page.items]
        after = page.next
        if after is None:
            break
        for number in next(steps, []):
            await writes.step(number)

    assert len(set(found)) == len(found)
    assert set(there) <= set(found) <= {one.id for one in writes.made}
    keys = [(one.create_time, one.id) for one in map(dict(_by_id(writes.made)).get, found) if one]
    assert keys == sorted(keys, reverse=True)


def _by_id(payments: list[Payment]) -> list[tuple[UUID, Payment]]:
    return [(payment.id, payment) for payment in payments]


async def test_pages_have_each_payment_once_beside_concurrent_writers(stores: Stores) -> None:
    """Payments are created, and change their status, as fast as they can meanwhile."""
    there = [await stores.add(create_time=NOW - n // 3 * MINUTE) for n in range(60)]
    created_meanwhile: list[UUID] = []

    async def write(number: int, scope: trio.CancelScope) -> None:
        with scope:
            for turn in range(number, 1_000_000, 3):
                payment = there[turn % len(there)]
                stored = await stores.payments.get(payment.id)
                assert stored is not None
                if stored.status is Status.CREATING:
                    await stores.learn(stored, created())
                elif stored.status is Status.PENDING:
                    await stores.learn(stored, paid(stored))
                time = NOW - turn % 30 * MINUTE
                new = await stores.add(create_time=time, update_time=time)
                created_meanwhile.append(new.id)
                await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        scopes = [trio.CancelScope() for _ in range(3)]
        for number, scope in enumerate(scopes):
            nursery.start_soon(write, number, scope)
        rounds = [await listed(stores, ALL, size) for size in (3, 7, 20)]
        for scope in scopes:
            scope.cancel()

    for found in rounds:
        assert len(set(found)) == len(found)
        assert {one.id for one in there} <= set(found)
    assert created_meanwhile


async def execute(settings: DatabaseSettings, statement: str, *values: object) -> Any:
    def run() -> Any:
        async def execute() -> Any:
            session = await Database(settings).connect()
            try:
                return await session.fetchval(statement, *values)
            finally:
                await session.close()

        return asyncio.run(execute())

    return await trio.to_thread.run_sync(run)
