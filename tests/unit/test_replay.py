"""Replay of audit rows that older versions of payd wrote, without the columns that came later."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contract.stores import a_new_payment
from contract.test_histories import known
from hypothesis import given
from unit.domain.builders import a_payment
from unit.domain.test_decide_properties import LIVES, live

from payd.adapters.columns import (
    changed_disputes,
    changed_refunds,
    changes,
    dumps,
    item_rows,
    payment_row,
    receipt_rows,
)
from payd.adapters.events import AuditRow
from payd.adapters.postgres.replay import trail_of
from payd.domain.attention import Attention
from payd.domain.evidence import ProviderStatus

THEN = datetime(2026, 1, 2, tzinfo=UTC)
#: Columns that came after the first version.
NEW = ("parameters", "receipt_sums", "fee", "attention_records", "attention_since")


def a_row(version: int, details: Mapping[str, Any], event_type: str = "facts_changed") -> AuditRow:
    """A row of the trail, a minute after the one before."""
    return AuditRow(
        version=version,
        event_type=event_type,
        actor="recovery",
        request_id="",
        ip="",
        certificate="",
        peer="",
        details=json.loads(dumps(details)),
        create_time=THEN + timedelta(minutes=version),
    )


def first_row() -> AuditRow:
    """What the first version of payd stored of a new payment."""
    payment = a_new_payment()
    row = {name: value for name, value in payment_row(payment).items() if name not in NEW}
    return a_row(1, {"row": row, "items": item_rows(payment)}, "payment_creating")


def test_columns_that_did_not_exist_have_their_defaults() -> None:
    [change] = trail_of([first_row()], None, 10).changes
    payment = change.payment
    assert (payment.fee, payment.attention_records, payment.received) == (None, (), 0)


def test_money_of_receipts_that_came_without_sums_is_counted() -> None:
    receipt = {"id": "r1", "asset": "USD", "amount": 500, "state": "SEEN", "time": THEN}
    rows = [
        first_row(),
        a_row(2, {"changes": {"version": 2}, "receipts": [receipt]}),
        a_row(3, {"changes": {"version": 3}, "receipts": [receipt | {"state": "CONFIRMED"}]}),
    ]
    _, seen, final = trail_of(rows, None, 10).changes
    assert (seen.payment.received, seen.payment.confirmed) == (500, 0)
    assert (final.payment.received, final.payment.confirmed) == (500, 500)


def test_sums_of_another_version_do_not_count() -> None:
    sums = {"version": 2, "late_end": THEN, "seen": [0, 0, 0], "confirmed": [7, 0, 0]}
    rows = [
        first_row(),
        a_row(2, {"changes": {"version": 2, "receipt_sums": sums}}),
        a_row(3, {"changes": {"version": 3}}),
    ]
    _, with_sums, without = trail_of(rows, None, 10).changes
    assert (with_sums.payment.confirmed, without.payment.confirmed) == (7, 0)


def test_reasons_that_an_older_version_raised_are_open() -> None:
    rows = [first_row(), a_row(2, {"changes": {"version": 2, "attention": ["OVERPAID"]}})]
    *_, last = trail_of(rows, None, 10).changes
    assert last.payment.attention == {Attention.OVERPAID}


def test_a_disputed_object_of_an_older_version_was_paid() -> None:
    rows = [first_row(), a_row(2, {"changes": {"version": 2, "provider_status": "DISPUTED"}})]
    *_, last = trail_of(rows, None, 10).changes
    assert last.payment.provider_status is ProviderStatus.PAID


@given(LIVES)
def test_any_life_is_replayed_as_it_was(life: Any) -> None:
    start = a_payment()
    details = {"row": payment_row(start), "items": item_rows(start)}
    rows, lived = [a_row(1, details, "payment_creating")], [start]
    for before, decision in live(life):
        now = decision.payment
        details = {"changes": changes(before, now)}
        for name, parts in (
            ("receipts", receipt_rows(one for one in now.receipts if one not in before.receipts)),
            ("refunds", changed_refunds(before, now)),
            ("disputes", changed_disputes(before, now)),
        ):
            details |= {name: parts} if parts else {}
        rows.append(a_row(now.version, details))
        lived.append(now)

    replayed = trail_of(rows, None, len(rows))

    assert [one.payment for one in replayed.changes] == [known(one) for one in lived]
    part = trail_of(rows, None, 2)
    assert part.changes == replayed.changes[-2:]
    if len(lived) > 2:
        assert part.before == replayed.changes[-3].payment


@pytest.mark.parametrize(
    ("changed", "kind", "count"),
    [
        ({}, "status_checked", [1, 2]),
        ({"ask_deadline": THEN}, "status_checked", [1, 1, 1]),
        ({}, "facts_changed", [1, 1, 1]),
    ],
)
def test_only_checks_that_sent_nothing_are_put_together(
    changed: dict[str, Any], kind: str, count: list[int]
) -> None:
    rows = [
        first_row(),
        a_row(2, {"changes": {"version": 2}}, kind),
        a_row(3, {"changes": {"version": 3, **changed}}, kind),
    ]
    assert [change.count for change in trail_of(rows, None, 10).changes] == count
