"""Accounting over memory and PostgreSQL: whatever happened, its sums are those of a naive list."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from contract.stores import PRICE, OpenStores, Stores, created
from contract.test_payment_lists import execute
from contract.test_refunds import a_dispute, a_refund, commit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payd.adapters.postgres import accounts
from payd.adapters.postgres.database import DatabaseSettings
from payd.domain.accounting import Amounts, DaySums, Movement, MovementKind, Period
from payd.domain.dispute import DisputeStatus
from payd.domain.evidence import ProviderStatus, Receipt, ReceiptState, Snapshot
from payd.domain.money import Money, TokenTerms
from payd.domain.payment import Payment, Status
from payd.domain.refund import Refund, RefundStatus
from payd.ports import Position
from payd.service.export_payments import ExportPayments

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PERIOD = Period(first=date(2026, 1, 1), last=date(2026, 1, 3))
EURO = Money(currency_code="EUR", minor_units=1000)
USDC = TokenTerms(
    currency="USDC",
    chain_id=4217,
    token_address="0x" + "a" * 40,
    decimals=6,
    due_base_units=10**20,
)
#: Provider, method, amount and token of a payment.
KINDS: Sequence[dict[str, Any]] = (
    {"provider": "stripe", "method": "card"},
    {"provider": "stripe", "method": "card", "amount": EURO},
    {"provider": "stripe", "method": "sepa", "amount": EURO},
    {"provider": "tempo", "method": "crypto", "crypto": USDC},
)
#: Of each of them.
ASSETS = ("USD", EURO.currency_code, EURO.currency_code, USDC.token_address)


async def export_days(stores: Stores, period: Period = PERIOD) -> list[DaySums]:
    use_case = ExportPayments(accounts=stores.accounts)
    found: list[DaySums] = []
    after: Position | None = None
    while True:
        page = await use_case.days(period, after)
        found += page.items
        if (after := page.next) is None:
            return found


async def export_movements(
    stores: Stores, period: Period = PERIOD, size: int = 200
) -> list[Movement]:
    use_case = ExportPayments(accounts=stores.accounts)
    found: list[Movement] = []
    after: Position | None = None
    while True:
        page = await use_case.movements(period, after, size)
        assert len(page.items) <= size
        found += page.items
        if (after := page.next) is None:
            return found


async def completed(
    stores: Stores, time: datetime, *, brought: int = 14900, **fields: Any
) -> Payment:
    """A payment that was completed at a time, with what the snapshot confirmed."""
    kind = {name: fields.pop(name) for name in tuple(fields) if name in KEPT}
    payment = await stores.learn(await stores.add(**kind), created(aliases=("pi_1",)))
    return await commit(
        stores,
        payment,
        status=Status.COMPLETED,
        complete_time=time,
        next_check_time=None,
        snapshot_confirmed=brought,
        **fields,
    )


KEPT = {"provider", "method", "amount", "crypto", "customer", "idempotency_key"}


def succeeded(time: datetime, **overrides: Any) -> Refund:
    return a_refund(status=RefundStatus.SUCCEEDED, complete_time=time, **overrides)


# -- what counts, and when -------------------------------------------------------------------


async def test_each_movement_counts_on_its_own_day(stores: Stores) -> None:
    before, within = BEGIN - 40 * 24 * HOUR, BEGIN + 25 * HOUR
    refund = succeeded(within, amount=300, provider_reference="re_1")
    won = a_dispute(
        id="dp_1",
        status=DisputeStatus.WON,
        amount=70,
        open_time=BEGIN + HOUR,
        as_of=BEGIN + 50 * HOUR,
    )
    lost = a_dispute(id="dp_2", status=DisputeStatus.LOST, amount=5, open_time=BEGIN + HOUR)
    old = await completed(stores, before, refunds=(refund,), disputes=(won, lost))

    movements = await export_movements(stores)

    assert {(one.kind, one.time, one.reference) for one in movements} == {
        (MovementKind.DISPUTE, BEGIN + HOUR, "dp_1"),
        (MovementKind.DISPUTE, BEGIN + HOUR, "dp_2"),
        (MovementKind.REFUND, within, "re_1"),
        (MovementKind.DISPUTE_RETURN, BEGIN + 50 * HOUR, "dp_1"),
    }
    assert {one.payment_id for one in movements} == {old.id}
    assert [one.id for one in movements if one.kind is MovementKind.REFUND] == [refund.id]
    first, second, third = (one.sums for one in await export_days(stores))
    assert (first.amounts, first.disputes) == (Amounts(disputed=75), 2)
    assert (second.amounts, second.refunds) == (Amounts(refunded=300), 1)
    assert (third.amounts, third.dispute_returns) == (Amounts(disputed=-70), 1)
    assert not first.payments


async def test_a_dispute_of_another_asset_counts_nothing_in_the_payments_currency(
    stores: Stores,
) -> None:
    foreign = a_dispute(id="dp_1", asset="EUR", amount=10, open_time=BEGIN + HOUR)
    own = a_dispute(id="dp_2", asset="usd", amount=5, open_time=BEGIN + HOUR)
    await completed(stores, BEGIN - HOUR, disputes=(foreign, own))

    movements = await export_movements(stores)

    disputed = {one.reference: one.amounts for one in movements}
    assert disputed == {"dp_1": Amounts(), "dp_2": Amounts(disputed=5)}
    [day] = await export_days(stores)
    assert (day.sums.amounts, day.sums.disputes) == (Amounts(disputed=5), 2)


async def test_a_payment_counts_with_all_that_it_brought_and_its_fee(stores: Stores) -> None:
    payment = await completed(stores, BEGIN, brought=15_000, fee=462)

    [moved] = await export_movements(stores)

    assert moved.amounts == Amounts(gross=15_000, fee=462)
    assert moved.amounts.net == 14_538
    assert moved.payment_id == moved.id == payment.id
    assert moved.reference == moved.payment_reference == payment.provider_reference
    assert moved.aliases == ("pi_1",)
    assert (moved.customer_id, moved.idempotency_key) == ("user-1", payment.idempotency_key)
    [day] = await export_days(stores)
    assert (day.day, day.sums.payments, day.sums.payments_with_fee) == (PERIOD.first, 1, 1)


async def test_tokens_count_by_their_receipts_in_base_units(stores: Stores) -> None:
    payment = await stores.add(provider="tempo", method="crypto", crypto=USDC)
    payment = await stores.learn(payment, created())
    receipts = tuple(
        Receipt(
            id=f"1:0x{n}:0",
            asset=USDC.token_address,
            amount=amount,
            state=state,
            time=payment.create_time + n * timedelta(seconds=1),
            details={"transaction": f"0x{n}"},
        )
        for n, (amount, state) in enumerate(
            [
                (10**20, ReceiptState.CONFIRMED),
                (7, ReceiptState.CONFIRMED),
                (9, ReceiptState.SEEN),
            ]
        )
    )
    payment = await stores.learn(payment, receipts)
    assert payment.complete_time is not None
    today = payment.complete_time.date()

    [moved] = await export_movements(stores, Period(first=today, last=today))

    assert moved.amounts == Amounts(gross=10**20 + 7)
    assert moved.aliases == ("0x0", "0x1")
    unit = moved.account.unit
    assert (unit.currency, unit.decimals, unit.chain_id) == ("USDC", 6, 4217)
    assert unit.token_address == USDC.token_address


async def test_what_moved_no_money_does_not_count(stores: Stores) -> None:
    for status in RefundStatus:
        if status is not RefundStatus.SUCCEEDED:
            await completed(stores, BEGIN - HOUR, refunds=(a_refund(status=status),))
    for asked in (DisputeStatus.INQUIRY, DisputeStatus.INQUIRY_CLOSED):
        inquiry = a_dispute(status=asked, open_time=BEGIN, as_of=BEGIN)
        await completed(stores, BEGIN - HOUR, disputes=(inquiry,))
    await stores.learn(await stores.add(), created())
    pending = await stores.learn(await stores.add(), created())
    seen = Snapshot(
        status=ProviderStatus.PROCESSING, asset="USD", received=9, confirmed=0, as_of=BEGIN
    )
    await stores.learn(pending, seen)

    assert await export_days(stores) == []
    assert await export_movements(stores) == []


async def test_a_refund_that_came_back_does_not_count(stores: Stores) -> None:
    refund = succeeded(BEGIN, amount=300)
    payment = await completed(stores, BEGIN, refunds=(refund,))
    assert [one.kind for one in await export_movements(stores)].count(MovementKind.REFUND) == 1
    failed = attrs.evolve(refund, status=RefundStatus.FAILED, complete_time=None)
    await commit(stores, payment, refunds=(failed,))
    assert [one.kind for one in await export_movements(stores)] == [MovementKind.PAYMENT]


async def test_the_borders_of_a_period_are_those_of_its_time_zone(stores: Stores) -> None:
    berlin = attrs.evolve(PERIOD, zone=ZoneInfo("Europe/Berlin"))
    tick = timedelta.resolution
    for time in (berlin.begin - tick, berlin.begin, berlin.end - tick, berlin.end):
        await completed(stores, time)
    times = [one.time for one in await export_movements(stores, berlin)]
    assert times == [berlin.begin, berlin.end - tick]
    days = await export_days(stores, berlin)
    assert [one.day for one in days] == [berlin.first, berlin.last]


async def test_receipts_of_the_previous_version_count(
    open_postgres: OpenStores, migrated_database: DatabaseSettings
) -> None:
    """It writes receipts and new versions without sums."""
    async with open_postgres() as stores:
        payment = await completed(stores, BEGIN, brought=0)
        await execute(migrated_database, _OLD_COMMIT, payment.id)
        [moved] = await export_movements(stores)
        assert moved.amounts.gross == 30


_OLD_COMMIT = """
WITH received AS (
    INSERT INTO receipts (provider, id, payment_id, asset, amount, state, time)
    SELECT provider, id::text || '/old', id, currency_code, 30, 'CONFIRMED', create_time
    FROM payments WHERE id = $1
)

UPDATE payments SET version = version + 1 WHERE id = $1
"""


# -- a random history --------------------------------------------------------------------------


@attrs.frozen
class Happened:
    """One payment of a random history; hours are counted from BEGIN."""

    kind: int
    hour: int | None
    brought: int
    fee: int | None
    #: Hour, amount and whether it succeeded.
    refunds: Sequence[tuple[int, int, bool]]
    #: Hours of its opening and its end, amount, and status.
    disputes: Sequence[tuple[int, int, int, DisputeStatus]]


hours = st.integers(-30, 100)
amounts = st.one_of(st.integers(0, 10**6), st.sampled_from([2**62, 10**60]))
histories = st.lists(
    st.builds(
        Happened,
        kind=st.integers(0, len(KINDS) - 1),
        hour=st.one_of(st.none(), hours),
        brought=amounts,
        fee=st.one_of(st.none(), st.integers(0, 500)),
        refunds=st.lists(st.tuples(hours, amounts, st.booleans()), max_size=3),
        disputes=st.lists(
            st.tuples(hours, hours, amounts, st.sampled_from(DisputeStatus)), max_size=2
        ),
    ),
    max_size=8,
)


#: Each example has days of its own: a store may keep what the examples before it wrote.
EXAMPLES = itertools.count(1)


async def happen(stores: Stores, one: Happened, begin: datetime) -> None:
    def at(hour: int) -> datetime:
        return begin + hour * HOUR

    refunds = tuple(
        succeeded(at(hour), amount=amount) if done else a_refund(amount=amount)
        for hour, amount, done in one.refunds
    )
    disputes = tuple(
        a_dispute(
            asset=ASSETS[one.kind],
            open_time=at(opened),
            as_of=at(end),
            amount=amount,
            status=status,
        )
        for opened, end, amount, status in one.disputes
    )
    parts = {"fee": one.fee, "refunds": refunds, "disputes": disputes}
    if one.hour is not None:
        time, kind = at(one.hour), KINDS[one.kind]
        await completed(stores, time, brought=one.brought, **kind, **parts)
        return
    # Closed with money: it was refunded, but never completed.
    payment = await stores.add(**KINDS[one.kind])
    await commit(
        stores, payment, status=Status.CANCELED, close_time=begin, next_check_time=None, **parts
    )


def naive(history: Sequence[Happened]) -> dict[tuple[int, int], list[int | None]]:
    """Day and kind → gross, refunded, disputed, fee, and the number of each movement."""
    sums: dict[tuple[int, int], list[Any]] = defaultdict(lambda: [0, 0, 0, None, 0, 0, 0, 0])

    def add(hour: int, kind: int, column: int, amount: int, count: int) -> None:
        if 0 <= hour < 72:
            row = sums[hour // 24, kind]
            row[column] += amount
            row[count] += 1

    for one in history:
        if one.hour is not None:
            add(one.hour, one.kind, 0, one.brought, 4)
            if one.fee is not None and 0 <= one.hour < 72:
                row = sums[one.hour // 24, one.kind]
                row[3] = (row[3] or 0) + one.fee
        for hour, amount, done in one.refunds:
            if done:
                add(hour, one.kind, 1, amount, 5)
        for opened, end, amount, status in one.disputes:
            if not status.is_inquiry:
                add(opened, one.kind, 2, amount, 6)
            if status in (DisputeStatus.WON, DisputeStatus.WITHDRAWN):
                add(end, one.kind, 2, -amount, 7)
    return dict(sums)


def exported(days: Sequence[DaySums], period: Period) -> dict[tuple[int, int], list[int | None]]:
    kinds = {_account_key(kind): number for number, kind in enumerate(KINDS)}
    found = {}
    for one in days:
        sums, unit = one.sums, one.sums.account.unit
        key = sums.account.provider, sums.account.method, unit.currency
        values = sums.amounts
        row = [values.gross, values.refunded, values.disputed, values.fee]
        row += [sums.payments, sums.refunds, sums.disputes, sums.dispute_returns]
        found[(one.day - period.first).days, kinds[key]] = row
    assert len(found) == len(days)
    return found


def _account_key(kind: dict[str, Any]) -> tuple[str, str, str]:
    price: Money = kind.get("amount", PRICE)
    token: TokenTerms | None = kind.get("crypto")
    return kind["provider"], kind["method"], token.currency if token else price.currency_code


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories, step=st.integers(1, 7), size=st.integers(1, 5))
async def test_the_sums_of_a_random_history_are_those_of_a_naive_list(
    open_stores: OpenStores,
    monkeypatch: pytest.MonkeyPatch,
    history: list[Happened],
    step: int,
    size: int,
) -> None:
    monkeypatch.setattr(accounts, "SUMMED_MAX", step)
    shift = next(EXAMPLES) * timedelta(days=30)
    mine = Period(first=PERIOD.first + shift, last=PERIOD.last + shift)
    async with open_stores() as stores:
        for one in history:
            await happen(stores, one, mine.begin)
        days = await export_days(stores, mine)
        movements = await export_movements(stores, mine, size)

    assert exported(days, mine) == naive(history)
    assert [(one.time, one.id) for one in movements] == sorted(
        {(one.time, one.id) for one in movements}
    )
    assert sum(one.sums.movements for one in days) == len(movements)
    assert sum(one.sums.amounts.net for one in days) == sum(one.amounts.net for one in movements)
