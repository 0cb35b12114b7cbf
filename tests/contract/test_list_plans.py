"""A list reads a bounded number of rows, whatever is asked for: each filter alone, and each pair.

The payments are uneven, as real ones are: most are completed and by one method, and a customer, a
subscription and a pair of the metadata belong to half of them.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import md5
from itertools import combinations
from typing import Any
from uuid import UUID

import pytest
from contract.filled import Filled, filled, rows_read

from payd.adapters.postgres import payment_lists
from payd.adapters.postgres.database import DatabaseSettings
from payd.adapters.postgres.statements import STATEMENTS, Statement
from payd.domain.attention import Attention
from payd.domain.errors import InvalidFilter
from payd.domain.payment import Status
from payd.domain.payment_filter import PaymentFilter, Selection, names_of
from payd.ports import Position

STORED = 30_000
#: Payments that one walk may look at, here: few beside STORED.
WALK = 300
PAGE = 50
#: Of the combinations of provider, method and status that exist here, at most four are this long.
ROWS_MAX = 4 * (WALK + 2)
NOW = datetime.now(UTC)
#: Positions of the first page and of one in the middle.
PAGES = (None, Position(NOW - timedelta(days=10), UUID(int=7)))

_CUSTOMERS = """
    INSERT INTO customers (id, wallet_address, email, create_time, update_time)
    SELECT 'user-' || n, '', 'user-' || n || '@example.org', now(), now()
    FROM generate_series(0, 3000) AS n
"""
_PAYMENTS = f"""
    INSERT INTO payments (
        id, version, status, idempotency_key, request_hash, customer_id, method, provider,
        currency_code, amount_minor_units, subscription_ids, return_url, cancel_url, metadata,
        pricing_version, request_id, traceparent, create_time, update_time, expire_time,
        complete_time, asking, provider_reference, aliases, snapshot_received, snapshot_confirmed,
        snapshot_refunded, attention, attention_since, late, looks
    )
    SELECT
        md5('p' || n)::uuid, 1, kind.status, 'key-' || n, '',
        CASE WHEN n % 2 = 0 THEN 'user-0' ELSE 'user-' || 1 + n % 3000 END,
        CASE WHEN n % 100 < 70 THEN 'card' WHEN n = 199 THEN 'pix' ELSE 'crypto' END,
        CASE WHEN n = 170 THEN 'bank' WHEN n % 100 < 70 THEN 'stripe' ELSE 'tempo' END,
        CASE WHEN n % 1000 = 3 THEN 'EUR' ELSE 'USD' END,
        CASE WHEN n % 1000 = 7 THEN 999900 ELSE 14900 END,
        ARRAY[CASE WHEN n % 2 = 0 THEN 'sub-common' ELSE 'sub-' || n END], '', '',
        jsonb_build_object('shop', 'eu', 'order', n::text), '', '', '',
        now() - n * interval '5 min', now(), now(),
        CASE WHEN kind.status = 'COMPLETED' THEN now() END, 'ANSWERED', 'cs_' || n,
        ARRAY['pi_' || n], 0, 0, 0,
        CASE
            WHEN n % 100 = 1 THEN ARRAY['UNDERPAID'] WHEN n = 171 THEN ARRAY['STUCK'] ELSE '{{}}'
        END,
        CASE WHEN n % 100 = 1 OR n = 171 THEN now() - n * interval '1 min' END, false, 0
    FROM
        generate_series(1, {STORED}) AS n,
        LATERAL (
            SELECT CASE
                WHEN n % 5000 = 11 THEN 'FAILED' WHEN n % 5 = 4 THEN 'EXPIRED' ELSE 'COMPLETED'
            END AS status
        ) AS kind
"""
_ALL_ALIKE = """
    UPDATE payments
    SET provider = 'stripe', method = 'card', status = 'COMPLETED', complete_time = now()
"""
_REFUNDS = """
    INSERT INTO refunds (
        id, payment_id, provider, status, amount, external, idempotency_key, request_hash, reason,
        destination, requester, request_id, create_time, update_time, asking, provider_reference,
        next_action, looks
    )
    SELECT
        md5('r' || n)::uuid, md5('p' || n)::uuid, 'stripe', 'SUCCEEDED', 1, false, 'refund-' || n,
        '', '', '', '', '', now(), now(), 'ANSWERED', 're_' || n,
        jsonb_build_object('kind', 'crypto_transfer', 'memo', '0x' || n), 0
    FROM generate_series(1, 10000) AS n
"""
_RECEIPTS = """
    INSERT INTO receipts (provider, id, payment_id, asset, amount, state, time, details)
    SELECT
        'tempo', '1:0x' || n || ':0', md5('p' || n)::uuid, 'USD', 1, 'CONFIRMED', now(),
        jsonb_build_object('transaction', '0x' || n)
    FROM generate_series(1, 10000) AS n
"""
_OUTFLOWS = """
    INSERT INTO outflows (provider, id, asset, amount, time, details)
    SELECT
        'stripe', 're_' || n, 'USD', 1, now(), jsonb_build_object('transaction', '0xbeef' || n)
    FROM generate_series(1, 10000) AS n
"""
_DISPUTES = """
    INSERT INTO disputes (
        provider, id, payment_id, status, asset, amount, reason, open_time, as_of
    )
    SELECT 'stripe', 'dp_' || n, md5('p' || n)::uuid, 'LOST', 'USD', 1, '', now(), now()
    FROM generate_series(1, 10000) AS n
"""

_STORED = (_CUSTOMERS, _PAYMENTS, _REFUNDS, _RECEIPTS, _OUTFLOWS, _DISPUTES)
_ANALYZE = "ANALYZE customers, payments, payment_labels, refunds, receipts, outflows, disputes"

Asked = tuple[Statement, Mapping[str, object]]


def _ids(*numbers: int) -> frozenset[UUID]:
    return frozenset(UUID(md5(f"p{n}".encode()).hexdigest()) for n in numbers)


#: Filter → its values: one that many payments have, and one that few have.
VALUES: Mapping[str, tuple[Any, Any]] = {
    "customer_id": ("user-0", "user-7"),
    "email": ("user-0@example.org", "user-7@example.org"),
    "statuses": (frozenset({Status.COMPLETED}), frozenset({Status.FAILED, Status.PENDING})),
    "methods": (frozenset({"card"}), frozenset({"pix", "none"})),
    "providers": (frozenset({"stripe"}), frozenset({"bank"})),
    "attention": (frozenset({Attention.UNDERPAID}), frozenset({Attention.STUCK})),
    "subscription_id": ("sub-common", "sub-171"),
    "reference": ("cs_171", "cs_172"),
    "metadata": (("shop", "eu"), ("order", "171")),
    "create_time_from": (NOW - timedelta(days=50), NOW - timedelta(hours=1)),
    "create_time_before": (NOW, NOW - timedelta(days=100)),
    "currency_code": ("USD", "EUR"),
    "min_minor_units": (100, 500_000),
    "max_minor_units": (20_000, 100),
}
SEARCHED = {"currency_code", "min_minor_units", "max_minor_units"}
LEADING = {
    *("customer_id", "email", "attention", "subscription_id", "reference", "metadata"),
    "create_time_from",
}


def cases() -> Iterator[dict[str, Any]]:
    """Each filter alone and each pair, with every combination of their values."""
    for name, values in VALUES.items():
        yield from ({name: value} for value in values)
    for (one, its), (other, others) in combinations(VALUES.items(), 2):
        yield from ({one: a, other: b} for a in its for b in others)


def selection_of(wanted: PaymentFilter) -> Selection:
    """The selection that the service makes of it here."""
    customers = {wanted.customer_id, wanted.email.partition("@")[0]} - {""}
    return Selection(
        filter=wanted,
        customer_ids=frozenset(customers) or None,
        payment_ids=_ids(171) if wanted.reference else None,
    )


@pytest.fixture(scope="module")
def stored(migrated_database: DatabaseSettings) -> Iterator[Filled]:
    with filled(migrated_database, *_STORED, _ANALYZE) as database:
        yield database


def test_each_filter_and_each_pair_reads_few_rows(
    stored: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payment_lists, "WALK_MAX", WALK)
    asked: list[Asked] = []
    for case in cases():
        selection = selection_of(PaymentFilter(**case))
        asked.append(payment_lists.attention_statement(selection, None, PAGE))
        if is_answered(case):
            asked += [payment_lists.newest_statement(selection, after, PAGE) for after in PAGES]

    costly = [
        f"{statement.name} {values}\n{plan}"
        for statement, values in asked
        for plan in [stored.plan(statement, values)]
        if rows_read(plan) > ROWS_MAX or "Seq Scan on p" in plan
    ]
    assert not costly, f"{len(costly)} of {len(asked)}:\n" + "\n\n".join(costly[:3])


def is_answered(case: Mapping[str, Any]) -> bool:
    """Whether the filter is not refused."""
    try:
        PaymentFilter(**case).check(NOW)
    except InvalidFilter:
        return False
    return True


def test_only_the_amount_and_the_currency_need_another_filter() -> None:
    contradictions = ({"create_time_from", "create_time_before"}, SEARCHED - {"currency_code"})
    for case in cases():
        if set(case) not in contradictions:
            needs_another = bool(SEARCHED & set(case)) and not LEADING & set(case)
            assert is_answered(case) != needs_another, case


#: What names payment 171 in one way or another; its transactions are 0x171 and 0xbeef171.
REFERENCES = (
    *("cs_171", "pi_171", "key-171", "re_171", "refund-171", "dp_171"),
    *("1:0x171:0", "0x171", "0xbeef171"),
)


def test_each_reference_and_each_email_is_looked_up_by_indexes(stored: Filled) -> None:
    def lookup(reference: str) -> Asked:
        names = names_of(reference)
        values = {"names": list(names.texts), "ids": list(names.ids), "limit": 200}
        return STATEMENTS["payments_named"], values

    by_email = {"email": "USER-7@example.org", "limit": 21}
    asked = [
        *(lookup(reference) for reference in (*REFERENCES, "nothing")),
        (STATEMENTS["customers_with_email"], by_email),
    ]

    plans = [stored.plan(*one) for one in asked]

    costly = [plan for plan in plans if "Seq Scan" in plan or rows_read(plan) > 10]
    assert not costly, "\n\n".join(costly)
    found = [re.search(r"^Limit .*actual.* rows=(\S+)", plan) for plan in plans]
    assert [float(one[1]) for one in found if one] == [1] * len(REFERENCES) + [0, 1]


def test_watched_payments_are_looked_up_by_their_ids(stored: Filled) -> None:
    """However the planner guesses the number of ids."""
    ids = sorted(map(str, _ids(*range(1, 1001))))
    values = {"ids": ids, "versions": [1] * len(ids), "late_window_s": 0}

    plan = stored.plan(STATEMENTS["newer_payments"], values)

    assert "Seq Scan" not in plan, plan
    assert plan.count("Index Scan using payments_pkey on payments p") == 2, plan
    assert rows_read(plan) <= len(ids), plan


def test_a_payment_is_looked_up_by_an_alias_in_few_blocks(stored: Filled) -> None:
    """Also of many that are new: the index keeps no list of them to be read as a whole."""
    values = {
        "providers": ["stripe"],
        "references": ["pi_101"],
        "ids": [UUID(int=7)],
        "receipt_ids": ["[]"],
        "late_window_s": 0,
    }

    plan = stored.plan(STATEMENTS["select_payments"], values)

    [blocks] = re.findall(r"payments_by_alias (?:.*\n){1,4}? +Buffers: shared hit=(\d+)", plan)
    assert int(blocks) <= 5, plan


def test_a_kind_of_which_there_is_none_is_not_searched_among_payments_of_one_kind(
    stored: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payment_lists, "WALK_MAX", WALK)
    cases: list[dict[str, Any]] = [{}, {"statuses": frozenset({Status.CREATING})}]
    asked = [
        payment_lists.newest_statement(selection_of(PaymentFilter(**case)), after, PAGE)
        for case in cases
        for after in PAGES
    ]

    with stored.changed(_ALL_ALIKE, _ANALYZE):
        plans = [stored.plan(*one) for one in asked]

    assert max(map(rows_read, plans)) <= ROWS_MAX, plans
