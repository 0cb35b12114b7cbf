"""PostgreSQL keeps personal values beside the audit trail, and erasing them leaves it as it is."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import attrs
import pytest
from contract.conftest import EMPTY
from contract.stores import CALLER, NOW, a_new_payment, created, paid
from contract.test_refunds import a_refund

from payd.adapters.columns import dumps
from payd.adapters.events import AuditRow
from payd.adapters.personal import commitment
from payd.adapters.postgres.chain_rows import chain_rows
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.history import PostgresHistories
from payd.adapters.postgres.part_rows import part_payments
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Decision, Rules, decide
from payd.domain.evidence import Evidence, Receipt, ReceiptState
from payd.domain.next_action import Redirect
from payd.domain.payment import Payment

R = TypeVar("R")

PLANTED = "zz-planted"
RAW = (
    "SELECT version, ip, peer, coalesce(content::jsonb -> 'details', details) AS details"
    " FROM payment_events ORDER BY payment_id, version"
)


@attrs.frozen
class Place:
    """A store, and a session beside it."""

    database: Database
    store: PostgresStore
    session: "asyncpg.Connection[asyncpg.Record]"

    async def pay(self) -> Payment:
        """A payment with planted values in everything that its versions wrote."""
        new = a_new_payment(
            return_url=f"https://shop.example/{PLANTED}",
            metadata={"name": PLANTED},
            parameters={"email": PLANTED},
        )
        payment = await self.store.insert(new, CALLER)
        action = Redirect(url=f"https://pay.example/{PLANTED}")
        payment = await self.learn(payment, created(next_action=action))
        receipt = Receipt(
            id=f"{payment.id}/1",
            asset=payment.asset,
            amount=payment.due,
            state=ReceiptState.CONFIRMED,
            time=NOW,
            details={"sender": PLANTED, "transaction": "0xt"},
        )
        payment = await self.learn(payment, (receipt,))
        refund = attrs.evolve(a_refund(), destination=PLANTED, reason=PLANTED)
        after = attrs.evolve(payment, version=payment.version + 1, refunds=(refund,))
        return await self.write(payment, Decision(payment=after, audit_event="r", note=PLANTED))

    async def learn(self, payment: Payment, evidence: Evidence) -> Payment:
        decision = decide(payment, evidence, NOW)
        assert decision is not None
        return await self.write(payment, decision)

    async def write(self, payment: Payment, decision: Decision) -> Payment:
        assert await self.store.commit(payment, decision, CALLER)
        return decision.payment

    async def trail(self, payment_id: UUID) -> list[AuditRow]:
        return list(await self.store.audit_trail(payment_id))

    async def raw(self) -> str:
        return str([tuple(row.values()) for row in await self.session.fetch(RAW)])

    async def as_the_previous_version_wrote(self, payment_id: UUID) -> None:
        """Put the values back into the trail."""
        await self.session.execute("ALTER TABLE payment_events DISABLE TRIGGER USER")
        for row in await self.trail(payment_id):
            await self.session.execute(
                "UPDATE payment_events"
                " SET details = $3, content = NULL, hash = NULL, chain_xid = NULL"
                " WHERE payment_id = $1 AND version = $2",
                payment_id,
                row.version,
                dumps(row.details),
            )
        await self.session.execute("ALTER TABLE payment_events ENABLE TRIGGER USER")
        await self.session.execute(
            "UPDATE payments SET audit_version = 0 WHERE id = $1", payment_id
        )
        await self.session.execute("DELETE FROM payment_personal_values")


@pytest.fixture
def in_place(
    migrated_database: DatabaseSettings,
) -> Callable[[Callable[[Place], Awaitable[R]]], R]:
    """Run a coroutine with an empty store."""

    async def run(act: Callable[[Place], Awaitable[R]]) -> R:
        database = Database(migrated_database)
        session = await database.connect()
        await session.execute(EMPTY)
        store = PostgresStore(database, "test", Rules())
        try:
            return await act(Place(database, store, session))
        finally:
            await session.close()
            await store.drain()
            await database.close()

    return lambda act: asyncio.run(run(act))


def test_the_trail_itself_has_no_personal_value_but_commitments_to_all(in_place: Any) -> None:
    async def act(place: Place) -> None:
        payment = await place.pay()
        whole = await place.trail(payment.id)
        assert PLANTED in dumps([row.details for row in whole])
        assert PLANTED not in await place.raw()

        values = await place.session.fetch("SELECT * FROM payment_personal_values")
        kept = {row["version"]: (row["salt"], json.loads(row["value"])) for row in values}
        assert kept.keys() == {1, 2, 3, 4}
        assert len({salt for salt, _ in kept.values()}) == 4
        for row in await place.session.fetch(RAW):
            mark = json.loads(row["details"])["personal"]
            assert mark["commitment"] == commitment(*kept[row["version"]])

    in_place(act)


def test_the_trail_stays_as_it_is_when_values_are_erased(in_place: Any) -> None:
    async def act(place: Place) -> None:
        payment = await place.pay()
        before, raw = await place.trail(payment.id), await place.raw()

        await place.session.execute("DELETE FROM payment_personal_values")

        assert await place.raw() == raw
        after = await place.trail(payment.id)
        assert PLANTED not in dumps([row.details for row in after])
        assert [row.event_type for row in after] == [row.event_type for row in before]
        assert after[2].details["receipts"][0]["details"] == {"transaction": "0xt"}
        for rows_max in (1000, 2):
            histories = PostgresHistories(place.database, rows_max)
            trail = await histories.trail(payment.id, NOW, 9)
            assert trail is not None
            assert trail.changes[-1].payment.confirmed == payment.confirmed
            assert PLANTED not in str(trail)

    in_place(act)


def test_older_rows_are_put_together_with_their_values(in_place: Any) -> None:
    async def act(place: Place) -> None:
        payment = await place.pay()
        whole = await PostgresHistories(place.database).trail(payment.id, NOW, 9)
        newest = await PostgresHistories(place.database, rows_max=1).trail(payment.id, NOW, 9)
        assert whole is not None
        assert newest is not None
        assert newest.changes == whole.changes[-1:]

    in_place(act)


@pytest.mark.parametrize(
    "change",
    [
        "SET content = replace(content, 'personal', 'person')",
        "SET details = content::jsonb -> 'details', content = NULL",
        "SET ip = '10.9.9.9'",
        "SET peer = 'x'",
        "SET actor = 'x'",
        "SET certificate = ''",
    ],
)
def test_nothing_else_in_the_trail_can_be_changed(in_place: Any, change: str) -> None:
    async def act(place: Place) -> None:
        await place.pay()
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await place.session.execute(f"UPDATE payment_events {change}")
        await place.session.execute("UPDATE payment_events SET ip = '', peer = ''")
        assert CALLER.ip not in await place.raw()

    in_place(act)


def test_rows_of_the_previous_version_are_parted_once(in_place: Any) -> None:
    async def act(place: Place) -> None:
        old, new = await place.pay(), await place.pay()
        whole = await place.trail(old.id)
        await place.as_the_previous_version_wrote(old.id)
        assert PLANTED in await place.raw()
        assert await place.trail(old.id) == whole

        assert await chain_rows(place.session, lambda line: None) == len(whole)

        assert PLANTED not in await place.raw()
        assert await place.trail(old.id) == whole
        raw = await place.raw()
        assert await chain_rows(place.session, lambda line: None) == 0
        await part_payments(place.database.fetch, [old.id, new.id])
        assert await place.raw() == raw

    in_place(act)


def test_two_that_part_the_same_rows_agree_on_the_salts(in_place: Any) -> None:
    async def act(place: Place) -> None:
        payment = await place.pay()
        whole = await place.trail(payment.id)
        await place.as_the_previous_version_wrote(payment.id)

        await asyncio.gather(*(part_payments(place.database.fetch, [payment.id]) for _ in range(4)))

        assert await place.trail(payment.id) == whole
        values = await place.session.fetch("SELECT * FROM payment_personal_values ORDER BY version")
        rows = await place.session.fetch(RAW)
        assert [commitment(v["salt"], json.loads(v["value"])) for v in values] == [
            json.loads(row["details"])["personal"]["commitment"] for row in rows
        ]

    in_place(act)


def test_a_payment_without_personal_values_has_no_row_of_them(in_place: Any) -> None:
    async def act(place: Place) -> None:
        bare = attrs.evolve(CALLER, ip="", peer="")
        payment = await place.store.insert(a_new_payment(), bare)
        decision = decide(await _answered(place, payment), paid(payment), NOW)
        assert decision is not None
        assert await place.store.commit(await _answered(place, payment), decision, bare)
        rows = await place.session.fetch("SELECT version FROM payment_personal_values")
        assert [row["version"] for row in rows] == [1]

    async def _answered(place: Place, payment: Payment) -> Payment:
        stored = await place.store.get(payment.id)
        assert stored is not None
        return stored

    in_place(act)
