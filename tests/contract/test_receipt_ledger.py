"""The ledger of receipts: every arrival of money, once, and in one payment for ever."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import attrs
import pytest
from contract.stores import CALLER, NOW, Stores, a_new_payment, all_at_once
from contract.test_refunds import a_refund, commit
from support.memory.ledger import UNMATCHED

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.receipts import PostgresReceipts
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Rules, decide
from payd.domain.evidence import Observation, Outflow, Receipt, ReceiptState
from payd.domain.ledger import ReceiptFilter
from payd.domain.money import TokenTerms
from payd.domain.payment import Customer, Payment, Status
from payd.domain.text import BASE_UNITS_MAX
from payd.ports import WATCH, Cursor, StoredReceipt

LEASE_S = 60.0
TOKEN = "0x" + "aB" * 20
OTHER_TOKEN = "0x" + "cd" * 20
DUE = 149_000_000
DETAILS = {"from": "0x" + "12" * 20, "memo": "", "note": 'ü "💳" \\'}


def a_receipt(**overrides: Any) -> Receipt:
    """The whole sum, final, under an id of its own."""
    fields: dict[str, Any] = {
        "id": f"0x{uuid4().hex}:1",
        "asset": TOKEN,
        "amount": DUE,
        "state": ReceiptState.CONFIRMED,
        "time": NOW,
        "details": DETAILS,
    }
    return Receipt(**{**fields, **overrides})


def an_outflow(**overrides: Any) -> Outflow:
    fields: dict[str, Any] = {"id": f"0x{uuid4().hex}:9", "asset": TOKEN, "amount": 7, "time": NOW}
    return Outflow(**{**fields, **overrides})


def reported(receipt: Receipt, reference: str = "memo-1") -> Observation:
    return Observation(
        id=f"{receipt.id}:{receipt.state.value}", reference=reference, fact=(receipt,)
    )


def at(block: str) -> Cursor:
    return Cursor(name=WATCH, value=block, rest=timedelta(0))


def a_token_payment(**overrides: Any) -> Payment:
    crypto = TokenTerms(
        currency="USDC", chain_id=1, token_address=TOKEN, decimals=6, due_base_units=DUE
    )
    customer = Customer(id=f"user-{uuid4()}")
    fields = {"provider": "tempo", "method": "crypto", "crypto": crypto, "customer": customer}
    return a_new_payment(**{**fields, **overrides})


async def unmatched(stores: Stores) -> Sequence[Receipt]:
    return [one.receipt for one in await stores.receipts.newest(UNMATCHED, None, 100)]


# -- arrival -------------------------------------------------------------------------------------


async def test_a_receipt_is_in_the_ledger_before_it_is_settled(stores: Stores) -> None:
    receipt = a_receipt(amount=BASE_UNITS_MAX)

    assert await stores.inbox.put("tempo", [reported(receipt)]) == 1

    stored = await stores.receipts.get_receipt("tempo", receipt.id)
    assert stored == StoredReceipt(
        provider="tempo", receipt=receipt, reference="memo-1", payment_id=None
    )


async def test_what_never_arrived_is_not_there(stores: Stores) -> None:
    receipt = a_receipt()
    await stores.inbox.put("tempo", [reported(receipt)])

    assert await stores.receipts.get_receipt("tempo", "0xother:1") is None
    assert await stores.receipts.get_receipt("mock", receipt.id) is None


async def test_the_details_survive_ledger_inbox_and_payment(stores: Stores) -> None:
    receipt = a_receipt()
    payment = await stores.payments.insert(a_token_payment(), CALLER)
    await stores.inbox.put("tempo", [reported(receipt, str(payment.id))])
    [row] = await stores.inbox.claim(10, LEASE_S)
    assert isinstance(row.report, Observation)
    assert isinstance(row.report.fact, tuple)

    payment = await stores.learn(payment, row.report.fact)

    stored = await stores.receipts.get_receipt("tempo", receipt.id)
    [of_payment] = (await stores.newest(payment)).receipts
    assert stored is not None
    for kept in (row.report.fact[0], stored.receipt, of_payment):
        assert kept.details == DETAILS


async def test_a_repeated_receipt_is_ignored(stores: Stores) -> None:
    receipt = a_receipt()
    await stores.inbox.put("tempo", [reported(receipt)])

    assert await stores.inbox.put("tempo", [reported(receipt)]) == 0

    assert await unmatched(stores) == [receipt]


async def test_a_receipt_reported_twice_in_one_delivery_is_one(stores: Stores) -> None:
    final = a_receipt()
    seen = attrs.evolve(final, state=ReceiptState.SEEN)
    outflow = an_outflow()

    await stores.inbox.put(
        "tempo",
        [reported(seen), reported(final), reported(final), reported(seen, "memo-2")],
        outflows=[outflow, outflow],
    )

    assert await unmatched(stores) == [final]
    assert (await stores.receipts.book("tempo")).outflows == {TOKEN.lower(): outflow.amount}


async def test_other_content_under_a_known_id_changes_nothing_and_is_kept_as_conflicting(
    stores: Stores,
) -> None:
    first = a_receipt()
    await stores.inbox.put("tempo", [reported(first)])

    assert await stores.inbox.put("tempo", [reported(attrs.evolve(first, amount=1))]) == 1

    assert await unmatched(stores) == [first]
    rows = await stores.inbox.claim(10, LEASE_S)
    assert [row.conflicting for row in rows] == [False, True]


async def test_a_receipt_that_was_only_seen_becomes_final(stores: Stores) -> None:
    final = a_receipt()
    await stores.inbox.put("tempo", [reported(attrs.evolve(final, state=ReceiptState.SEEN))])

    await stores.inbox.put("tempo", [reported(final)])

    assert await unmatched(stores) == [final]


async def test_a_final_receipt_is_not_undone(stores: Stores) -> None:
    final = a_receipt()
    await stores.inbox.put("tempo", [reported(final)])

    later = final.time + timedelta(hours=1)
    for state in (ReceiptState.SEEN, ReceiptState.DROPPED, ReceiptState.HELD):
        await stores.inbox.put("tempo", [reported(attrs.evolve(final, state=state, time=later))])

    assert await unmatched(stores) == [final]


async def test_unmatched_receipts_are_listed_the_newest_first(stores: Stores) -> None:
    receipts = [a_receipt(time=NOW + timedelta(seconds=n)) for n in (2, 0, 3, 1)]
    payment = await stores.payments.insert(a_token_payment(), CALLER)
    matched = a_receipt()
    await stores.inbox.put("tempo", [reported(one) for one in (*receipts, matched)])
    await stores.learn(payment, (matched,))

    assert await unmatched(stores) == [receipts[2], receipts[0], receipts[3], receipts[1]]


async def test_a_list_of_receipts_has_every_one_once_whatever_its_filter_and_pages(
    stores: Stores,
) -> None:
    """Several of one time, of two providers, matched and not."""
    payment = await stores.payments.insert(a_token_payment(), CALLER)
    mine, other = [a_receipt() for _ in range(3)], [a_receipt() for _ in range(3)]
    later = a_receipt(time=NOW + timedelta(seconds=1))
    await stores.inbox.put("tempo", [reported(one) for one in (*mine, later)])
    await stores.inbox.put("other", [reported(one) for one in other])
    await stores.learn(payment, (mine[0], later))

    async def listed(wanted: ReceiptFilter, page: int = 2) -> list[str]:
        found: list[StoredReceipt] = []
        while rows := await stores.receipts.newest(
            wanted, found[-1].position if found else None, page
        ):
            found += rows
        assert [one.position for one in found] == sorted(
            (one.position for one in found), reverse=True
        )
        return [one.receipt.id for one in found]

    def ids(*receipts: Receipt) -> set[str]:
        return {one.id for one in receipts}

    everything = await listed(ReceiptFilter())
    assert everything[0] == later.id
    assert len(everything) == 7
    assert set(everything) == ids(*mine, *other, later)
    assert set(await listed(UNMATCHED)) == ids(*mine[1:], *other)
    assert set(await listed(ReceiptFilter(unmatched=True, provider="tempo"))) == ids(*mine[1:])
    assert set(await listed(ReceiptFilter(provider="other"))) == ids(*other)
    assert set(await listed(ReceiptFilter(payment_id=payment.id))) == ids(mine[0], later)
    assert set(await listed(ReceiptFilter(time_from=later.time))) == ids(later)
    assert set(await listed(ReceiptFilter(time_before=later.time))) == ids(*mine, *other)
    none = ReceiptFilter(payment_id=payment.id, provider="other")
    assert await listed(none) == []


async def test_the_newest_receipts_of_a_payment_are_listed_the_oldest_first(
    stores: Stores,
) -> None:
    receipts = [a_receipt(amount=1, time=NOW + timedelta(seconds=n)) for n in (2, 0, 3, 1)]
    payment = await stores.payments.insert(a_token_payment(), CALLER)
    another = await stores.payments.insert(a_token_payment(), CALLER)
    foreign = a_receipt()
    await stores.inbox.put("tempo", [reported(one) for one in (*receipts, foreign)])
    await stores.learn(payment, tuple(receipts))
    await stores.learn(another, (foreign,))

    in_order = [receipts[1], receipts[3], receipts[0], receipts[2]]
    assert await stores.receipts.of_payment(payment.id, 10) == in_order
    assert await stores.receipts.of_payment(payment.id, 2) == in_order[2:]
    assert await stores.receipts.of_payment(uuid4(), 10) == []
    assert await stores.payments.get_with_receipts(uuid4(), 10) is None
    for most in (2, 10):
        found = await stores.payments.get_with_receipts(payment.id, most)
        assert found is not None
        assert found[0] == await stores.payments.get(payment.id)
        assert list(found[1]) == in_order[-most:]
    assert await stores.receipts.count_of_payment(payment.id) == len(receipts)
    assert await stores.receipts.count_of_payment(uuid4()) == 0


async def test_no_receipt_of_a_payments_sums_is_missing_in_its_list(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a payment with refunds, while the next receipt arrives between two statements."""
    first, second = a_receipt(), a_receipt(amount=1, time=NOW + timedelta(seconds=1))
    await stores.inbox.put("tempo", [reported(first), reported(second)])
    payment = await stores.payments.insert(a_token_payment(), CALLER)
    await stores.learn(payment, (first,))
    before = await commit(stores, await stores.newest(payment), refunds=(a_refund(),))
    decision = decide(before, (second,), NOW)
    assert decision is not None
    read_refunds = PostgresStore._with_refunds

    async def with_refunds(store: PostgresStore, *of_rows: Any) -> Any:
        monkeypatch.undo()
        assert await store.commit(before, decision, CALLER)
        return await read_refunds(store, *of_rows)

    monkeypatch.setattr(PostgresStore, "_with_refunds", with_refunds)

    found = await stores.payments.get_with_receipts(payment.id, 10)

    assert found is not None
    shown, receipts = found
    assert sum(receipt.amount for receipt in receipts) == shown.received


# -- one payment for ever ------------------------------------------------------------------------


async def test_a_decision_gives_the_receipt_to_its_payment(stores: Stores) -> None:
    receipt = a_receipt()
    payment = await stores.payments.insert(a_token_payment(), CALLER)
    await stores.inbox.put("tempo", [reported(receipt)])

    await stores.learn(payment, (receipt,))

    stored = await stores.receipts.get_receipt("tempo", receipt.id)
    assert stored == StoredReceipt(
        provider="tempo", receipt=receipt, reference="memo-1", payment_id=payment.id
    )
    assert await unmatched(stores) == []
    assert await stores.payments.get(payment.id) == await stores.newest(payment)


async def test_a_receipt_is_stored_as_its_payment_counts_it(stores: Stores) -> None:
    receipt = a_receipt()
    other = attrs.evolve(receipt, asset="0x" + "77" * 20, amount=1)
    await stores.inbox.put(a_token_payment().provider, [reported(other)])

    new = await stores.payments.insert(a_token_payment(), CALLER)
    payment = await stores.learn(new, (receipt,))

    stored = await stores.receipts.get_receipt(payment.provider, receipt.id)
    assert stored is not None
    assert (stored.receipt, stored.payment_id) == (receipt, payment.id)


async def test_a_receipt_that_the_ledger_did_not_have_is_added_with_its_payment(
    stores: Stores,
) -> None:
    receipt = a_receipt()
    payment = await stores.payments.insert(a_token_payment(), CALLER)

    await stores.learn(payment, (receipt,))

    stored = await stores.receipts.get_receipt("tempo", receipt.id)
    assert stored is not None
    assert (stored.receipt, stored.payment_id) == (receipt, payment.id)


async def test_a_receipt_of_a_payment_becomes_final_by_a_decision(stores: Stores) -> None:
    final = a_receipt()
    seen = attrs.evolve(final, state=ReceiptState.SEEN)
    payment = await stores.payments.insert(a_token_payment(), CALLER)
    await stores.inbox.put("tempo", [reported(seen)])
    payment = await stores.learn(payment, (seen,))

    payment = await stores.learn(payment, (final,))

    assert payment.status is Status.COMPLETED
    assert (await stores.newest(payment)).receipts == (final,)


async def test_a_decision_that_takes_the_receipt_of_another_payment_writes_nothing(
    stores: Stores,
) -> None:
    receipt, more = a_receipt(), a_receipt()
    owner, other = [await stores.payments.insert(a_token_payment(), CALLER) for _ in range(2)]
    await stores.inbox.put("tempo", [reported(receipt), reported(more)])
    [row, _] = await stores.inbox.claim(10, 0)
    await stores.learn(owner, (receipt,))
    decision = decide(other, (more, receipt), NOW)
    assert decision is not None

    assert not await stores.payments.commit(other, decision, CALLER, [row.id])

    assert await stores.newest(other) == other
    assert [row.event_type for row in await stores.payments.audit_trail(other.id)] == [
        "payment_creating"
    ]
    assert await unmatched(stores) == [more]
    assert len(await stores.inbox.claim(10, 0)) == 2
    assert {one.payment_id for one in await stores.outbox.claim(10, LEASE_S)} == {owner.id}


async def test_the_same_receipt_id_of_two_providers_is_two_receipts(stores: Stores) -> None:
    receipt = a_receipt()
    payments = [
        await stores.payments.insert(a_token_payment(provider=provider), CALLER)
        for provider in ("tempo", "mock")
    ]

    for payment in payments:
        await stores.inbox.put(payment.provider, [reported(receipt)])
        await stores.learn(payment, (receipt,))

    for payment in payments:
        assert (await stores.newest(payment)).status is Status.COMPLETED


@pytest.mark.parametrize("is_known", [True, False], ids=["in the ledger", "new to the ledger"])
async def test_of_many_payments_that_want_one_receipt_at_once_one_gets_it(
    stores: Stores, is_known: bool
) -> None:
    receipt = a_receipt()
    payments = [await stores.payments.insert(a_token_payment(), CALLER) for _ in range(20)]
    bystander = await stores.payments.insert(a_token_payment(), CALLER)
    if is_known:
        await stores.inbox.put("tempo", [reported(receipt)])

    async def take(payment: Payment, wanted: Receipt) -> bool:
        decision = decide(payment, (wanted,), NOW)
        assert decision is not None
        return await stores.payments.commit(payment, decision, CALLER)

    won = await all_at_once(
        [partial(take, bystander, a_receipt()), *(partial(take, one, receipt) for one in payments)]
    )

    assert sum(won) == 2
    newest = [await stores.newest(payment) for payment in payments]
    [owner] = [payment for payment in newest if payment.status is Status.COMPLETED]
    assert [payment for payment in newest if payment.confirmed] == [owner]
    assert (await stores.newest(bystander)).status is Status.COMPLETED


@pytest.mark.parametrize("is_known", [True, False], ids=["in the ledger", "new to the ledger"])
def test_a_receipt_that_another_daemon_is_just_taking_is_not_taken(
    migrated_database: DatabaseSettings, is_known: bool
) -> None:
    asyncio.run(_take_while_another_takes(migrated_database, is_known))


async def _take_while_another_takes(settings: DatabaseSettings, is_known: bool) -> None:
    database = Database(settings)
    store, receipt, provider = PostgresStore(database, "test", Rules()), a_receipt(), str(uuid4())
    owner, late = [await store.insert(a_token_payment(provider=provider), CALLER) for _ in range(2)]
    if is_known:
        await PostgresInbox(database).put(provider, [reported(receipt)])
    session = await database.connect()
    # The other daemon's statement has run, and its commit is on its way.
    transaction = session.transaction()
    await transaction.start()
    await session.execute(
        "INSERT INTO receipts (provider, id, payment_id, asset, amount, state, time)"
        " VALUES ($1, $2, $3, $4, $5, 'CONFIRMED', now())"
        " ON CONFLICT (provider, id) DO UPDATE SET payment_id = excluded.payment_id",
        *(provider, receipt.id, owner.id, receipt.asset, receipt.amount),
    )
    decision = decide(late, (receipt,), NOW)
    assert decision is not None
    taking = asyncio.create_task(store.commit(late, decision, CALLER))
    await asyncio.wait([taking], timeout=0.2)
    await transaction.commit()

    assert not await taking

    stored = await PostgresReceipts(database).get_receipt(provider, receipt.id)
    assert stored is not None
    assert stored.payment_id == owner.id
    assert await store.get(late.id) == late
    await session.close()
    await database.close()


# -- what waits ----------------------------------------------------------------------------------


async def test_a_report_waits_under_what_it_names_until_it_is_settled(stores: Stores) -> None:
    await stores.inbox.put("tempo", [reported(a_receipt(), "memo-1")])

    assert await stores.inbox.is_waiting("tempo", ["payment-id", "memo-1"])
    assert not await stores.inbox.is_waiting("tempo", ["memo-2"])
    assert not await stores.inbox.is_waiting("tempo", [])
    assert not await stores.inbox.is_waiting("mock", ["memo-1"])

    [row] = await stores.inbox.claim(10, LEASE_S)
    assert await stores.inbox.is_waiting("tempo", ["memo-1"])

    await stores.inbox.finish({row.id: "unmatched"})
    assert not await stores.inbox.is_waiting("tempo", ["memo-1"])


async def test_a_report_waits_under_its_second_name_too_and_keeps_it(stores: Stores) -> None:
    report = attrs.evolve(reported(a_receipt(), "0xaddress"), also="memo-1")
    await stores.inbox.put("tempo", [report])

    assert await stores.inbox.is_waiting("tempo", ["memo-1"])
    assert await stores.inbox.is_waiting("tempo", ["0xaddress"])
    [row] = await stores.inbox.claim(10, LEASE_S)
    assert row.report == report


async def test_a_report_that_a_commit_settled_waits_no_more(stores: Stores) -> None:
    receipt = a_receipt()
    payment = await stores.payments.insert(a_token_payment(), CALLER)
    await stores.inbox.put("tempo", [reported(receipt, str(payment.id))])
    [row] = await stores.inbox.claim(10, LEASE_S)
    decision = decide(payment, (receipt,), NOW)
    assert decision is not None

    assert await stores.payments.commit(payment, decision, CALLER, [row.id])

    assert not await stores.inbox.is_waiting("tempo", [str(payment.id)])


# -- the book ------------------------------------------------------------------------------------


async def test_an_empty_book_has_no_cursor_and_no_sums(stores: Stores) -> None:
    book = await stores.receipts.book("tempo")

    assert (book.cursor, dict(book.received), dict(book.outflows)) == (None, {}, {})


async def test_the_book_sums_final_receipts_and_outflows_by_asset(stores: Stores) -> None:
    payment = await stores.payments.insert(a_token_payment(), CALLER)
    matched = a_receipt()
    arrived = [
        matched,
        a_receipt(asset=TOKEN.upper().replace("X", "x"), amount=BASE_UNITS_MAX),
        a_receipt(asset=OTHER_TOKEN, amount=3),
        *(a_receipt(state=state) for state in ReceiptState if state is not matched.state),
    ]
    left = [an_outflow(), an_outflow(asset=TOKEN.lower(), amount=2)]

    await stores.inbox.put("tempo", list(map(reported, arrived)), at("12"), outflows=left)
    await stores.inbox.put("mock", [reported(a_receipt())], at("99"), outflows=[an_outflow()])
    await stores.learn(payment, (matched,))

    book = await stores.receipts.book("tempo")
    assert book.cursor == "12"
    assert book.received == {TOKEN.lower(): DUE + BASE_UNITS_MAX, OTHER_TOKEN: 3}
    assert book.outflows == {TOKEN.lower(): 9}


async def test_the_book_has_the_sums_of_its_cursor(stores: Stores) -> None:
    """Whenever it is asked for: a put is one transaction, and so is the look."""
    blocks, torn = range(1, 31), []

    async def watch() -> None:
        for block in blocks:
            receipt, outflow = a_receipt(amount=2), an_outflow(amount=1)
            await stores.inbox.put("tempo", [reported(receipt)], at(str(block)), outflows=[outflow])

    async def audit() -> None:
        for _ in blocks:
            book = await stores.receipts.book("tempo")
            block = int(book.cursor or 0)
            sums = book.received.get(TOKEN.lower(), 0), book.outflows.get(TOKEN.lower(), 0)
            if sums != (2 * block, block):
                torn.append((block, sums))

    await all_at_once([watch, audit])

    assert torn == []
    assert (await stores.receipts.book("tempo")).cursor == "30"
