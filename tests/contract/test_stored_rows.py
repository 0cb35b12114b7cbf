"""Rows of a payment are shown as they are stored, the newest of each table."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from contract.stores import NOW, Stores, created

from payd.domain.evidence import Declined, Receipt, ReceiptState
from payd.domain.stored_rows import BYTES_MAX, StoredTable

DECLINED = Declined(code="no", message="No.")


def rows_of(tables: Sequence[StoredTable], name: str) -> list[dict[str, Any]]:
    [table] = [one for one in tables if one.name == name]
    return [json.loads(row) for row in table.rows]


async def test_a_payments_rows_are_its_own_and_oldest_first(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), DECLINED)
    await stores.add()

    tables = await stores.stored_rows.of_payment(payment.id)

    [row] = rows_of(tables, "payments")
    assert (row["id"], row["status"], row["version"]) == (str(payment.id), "FAILED", 2)
    assert [row["version"] for row in rows_of(tables, "payment_events")] == [1, 2]
    assert not any(table.has_more for table in tables)


async def test_the_newest_rows_fit_into_the_bytes_of_an_answer(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    for number in range(190):
        receipt = Receipt(
            id=f"r-{number}",
            asset=payment.asset,
            amount=1,
            state=ReceiptState.CONFIRMED,
            time=NOW,
            details={"sender": "é" * 3000},
        )
        payment = await stores.learn(payment, (receipt,))

    tables = await stores.stored_rows.of_payment(payment.id)

    assert sum(len(row.encode()) for one in tables for row in one.rows) <= BYTES_MAX
    assert [row["version"] for row in rows_of(tables, "payments")] == [payment.version]
    versions = [row["version"] for row in rows_of(tables, "payment_events")]
    assert versions == list(range(payment.version - len(versions) + 1, payment.version + 1))
    assert len(versions) > 100
    stored = {"payment_events": payment.version, "receipts": 190}
    for one in tables:
        assert one.has_more == (len(one.rows) < stored.get(one.name, 1)), one.name


async def test_an_unknown_payment_has_no_rows(stores: Stores) -> None:
    assert await stores.stored_rows.of_payment(uuid4()) == []
