"""The audit chain: every store writes the same one, and nothing escapes it in PostgreSQL."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import asyncpg
import attrs
import pytest
from contract.conftest import EMPTY
from contract.stores import CALLER, NOW, Stores, a_new_payment, created, paid
from contract.test_payment_sums import sums_on
from support.audit_exports import KEY

from payd.adapters.audit.chain import row_of
from payd.adapters.audit.keys import PublicKeys
from payd.adapters.audit.verify import ExportBroken, Verified, verify
from payd.adapters.columns import changes, dumps, item_rows, payment_row
from payd.adapters.events import AuditRow
from payd.adapters.postgres import chain_rows as chaining
from payd.adapters.postgres.audit_chain import NotChained, PostgresAuditChain
from payd.adapters.postgres.chain_rows import chain_rows
from payd.adapters.postgres.checkpoints import Checkpoints
from payd.adapters.postgres.database import Database, DatabaseSettings, run_on
from payd.adapters.postgres.leases import PostgresLeases
from payd.adapters.postgres.migrate import unchained
from payd.adapters.postgres.part_rows import part_payments
from payd.adapters.postgres.replay import base_of
from payd.adapters.postgres.statements import STATEMENTS
from payd.adapters.postgres.store import PostgresStore
from payd.adapters.system import SystemClock
from payd.domain.decide import Rules, decide
from payd.domain.evidence import CancelRequested, Evidence
from payd.domain.payment import Payment
from payd.ports import Commit

R = TypeVar("R")
KEYS = PublicKeys(KEY.public_pem())
LATER = NOW + timedelta(hours=2)


def verified(export: Sequence[str]) -> Verified:
    return verify(io.BytesIO("".join(export).encode()), KEYS)


def rows_in(export: Sequence[str]) -> list[AuditRow]:
    """The audit rows of an export, without what stands apart from them."""
    return [row_of(line, "", "", None) for line in export if line.startswith('{"actor"')]


# -- every store -----------------------------------------------------------------------------


async def test_every_version_is_a_row_of_an_intact_chain(stores: Stores) -> None:
    first, second = await stores.add(), await stores.add()
    first = await stores.learn(first, created())
    await stores.learn(first, paid(first))
    export: list[str] = []
    await stores.export_audit(export.append, KEY)

    found = verified(export)
    assert (found.payments, found.rows) == (2, 4)
    rows = rows_in(export)
    assert min((row.version, row.event_type) for row in rows) == (1, "payment_creating")
    assert {row.actor for row in rows} == {CALLER.actor}
    assert "user@example.org" not in "".join(export)
    assert CALLER.ip not in "".join(export)
    assert str(second.id) in "".join(export)


async def test_a_write_that_lost_leaves_no_row(stores: Stores) -> None:
    payment = await stores.add()
    won = decide(payment, created(), NOW)
    lost = decide(payment, CancelRequested(reason="no"), NOW)
    assert won is not None
    assert lost is not None
    commits = [Commit(before=payment, decision=each, origin=CALLER) for each in (won, lost)]
    assert [await stores.payments.commit_all([each]) for each in commits] == [[True], [False]]
    export: list[str] = []
    await stores.export_audit(export.append, KEY)
    assert (verified(export).rows, len(rows_in(export))) == (2, 2)


# -- PostgreSQL ------------------------------------------------------------------------------


@attrs.frozen
class Place:
    """A store and its chain, and a session beside them."""

    database: Database
    store: PostgresStore
    chain: PostgresAuditChain
    session: "asyncpg.Connection[asyncpg.Record]"

    async def pay(self, **overrides: Any) -> Payment:
        """A paid payment."""
        payment = await self.store.insert(a_new_payment(**overrides), CALLER)
        payment = await self.learn(payment, created())
        return await self.learn(payment, paid(payment))

    async def learn(self, payment: Payment, evidence: Evidence) -> Payment:
        decision = decide(payment, evidence, NOW)
        assert decision is not None
        assert await self.store.commit(payment, decision, CALLER)
        return decision.payment

    async def export(self, **options: Any) -> list[str]:
        written: list[str] = []
        await self.chain.export(written.append, KEY, "export-1", datetime.now(UTC), **options)
        return written

    async def as_the_previous_version(self, payment: Payment, evidence: Evidence) -> Payment:
        """A change as the previous version writes it: it knows no chain."""
        decision = decide(payment, evidence, NOW)
        assert decision is not None
        after = decision.payment
        await self.session.execute(
            "UPDATE payments SET version = $2, status = $3, update_time = $4 WHERE id = $1",
            *(payment.id, after.version, after.status.value, after.update_time),
        )
        await self.add_row(after, decision.audit_event, {"changes": changes(payment, after)})
        return after

    async def insert_as_the_previous_version(self) -> Payment:
        """The same for a new payment."""
        payment = a_new_payment()
        await self.session.execute(
            "INSERT INTO customers VALUES ($1, '', '', now(), now()) ON CONFLICT DO NOTHING",
            payment.customer.id,
        )
        row = payment_row(payment)
        columns = ", ".join(row)
        await self.session.execute(
            f"INSERT INTO payments ({columns})"
            f" SELECT {columns} FROM jsonb_populate_record(NULL::payments, $1)",
            dumps(row),
        )
        await self.add_row(payment, "payment_creating", {"row": row, "items": item_rows(payment)})
        return payment

    async def add_row(self, payment: Payment, event_type: str, details: Any) -> None:
        await self.session.execute(
            "INSERT INTO payment_events (payment_id, version, event_type, actor, request_id, ip,"
            " certificate, peer, details, create_time)"
            " VALUES ($1, $2, $3, 'recovery', '', '::1', '', '', $4, $5)",
            *(payment.id, payment.version, event_type, dumps(details), payment.update_time),
        )

    async def chain_all(self, limit: int = 1000) -> int:
        return await chain_rows(self.session, lambda line: None, limit=limit)


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
            return await act(Place(database, store, PostgresAuditChain(database), session))
        finally:
            await session.close()
            await store.drain()
            await database.close()

    return lambda act: asyncio.run(run(act))


def test_a_replayed_export_gives_the_stored_rows(in_place: Any) -> None:
    """But for the personal values, which stand beside the trail."""

    async def act(place: Place) -> None:
        payments = [await place.pay() for _ in range(3)]
        for payment in payments:
            first, *rest = rows_in(await place.export(payment_id=payment.id))
            row = base_of(first).after(rest).row
            apart = {"return_url", "cancel_url", "metadata", "parameters", "next_action"}
            for name in (*apart, "failure_message", "request_hash", "attention_records"):
                del row[name]
            is_same = (
                "SELECT jsonb_populate_record(p, $2) IS NOT DISTINCT FROM p"
                " FROM payments AS p WHERE id = $1"
            )
            assert await place.session.fetchval(is_same, payment.id, dumps(row))
            wrong = dumps(row | {"status": "FAILED", "complete_time": None})
            assert not await place.session.fetchval(is_same, payment.id, wrong)

    in_place(act)


def test_several_payments_are_chained_by_one_statement(in_place: Any) -> None:
    async def act(place: Place) -> None:
        new = [a_new_payment() for _ in range(20)]
        await asyncio.gather(*(place.store.insert(each, CALLER) for each in new))
        commits = []
        for payment in new:
            decision = decide(payment, created(), NOW)
            assert decision is not None
            commits.append(Commit(before=payment, decision=decision, origin=CALLER))
        assert all(await place.store.commit_all(commits))
        heads = "SELECT count(*) FROM payments WHERE audit_version = version"
        assert await place.session.fetchval(heads) == 20
        assert verified(await place.export()).rows == 40

    in_place(act)


def test_a_chained_row_never_changes(in_place: Any) -> None:
    async def act(place: Place) -> None:
        payment = await place.pay()
        for change in ("content = 'x'", "hash = '\\x00'", "chain_xid = 1", "details = '{}'"):
            sql = f"UPDATE payment_events SET {change} WHERE payment_id = $1"
            with pytest.raises(asyncpg.PostgresError):
                await place.session.execute(sql, payment.id)
        await place.session.execute("UPDATE payment_events SET ip = ''")
        assert verified(await place.export()).rows == 3

    in_place(act)


def test_rows_of_the_previous_version_are_chained_later(in_place: Any) -> None:
    async def act(place: Place) -> None:
        ours = await place.store.insert(a_new_payment(), CALLER)
        ours = await place.as_the_previous_version(ours, created())
        # This version goes on, but cannot chain before the row of the previous one is chained.
        ours = await place.learn(ours, paid(ours))
        theirs = await place.insert_as_the_previous_version()
        with pytest.raises(NotChained, match="payd migrate --post"):
            await place.export()
        assert "not chained yet" in (await place.chain.trail(ours.id)).problem

        assert await place.chain_all(limit=2) == 3
        assert await place.chain_all() == 0

        found = verified(export := await place.export())
        assert (found.payments, found.rows) == (2, 4)
        assert "::1" not in "".join(export)
        theirs = await place.learn(theirs, created())
        assert verified(await place.export()).rows == 5
        trail = await place.chain.trail(theirs.id)
        assert (trail.problem, [row.version for row in trail.rows]) == ("", [1, 2])
        assert trail.rows[0].details["row"]["metadata"] == {"order": "7"}

    in_place(act)


def test_chaining_may_be_interrupted_and_run_again(in_place: Any) -> None:
    async def act(place: Place) -> None:
        for _ in range(10):
            await place.insert_as_the_previous_version()

        def stop(line: str) -> None:
            if "6 rows" in line:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await chain_rows(place.session, stop, limit=2, report=1)
        assert await place.chain_all(limit=2) == 4
        found = verified(await place.export())
        assert (found.payments, found.rows) == (10, 10)

    in_place(act)


def test_rows_are_chained_beside_changes_and_erasures(in_place: Any) -> None:
    """The second writer sees what the first has written: nothing erased comes back."""

    async def act(place: Place) -> None:
        theirs = [await place.insert_as_the_previous_version() for _ in range(30)]
        ids = [payment.id for payment in theirs]
        other = await place.database.connect()

        async def change() -> None:
            for payment in theirs[::2]:
                await place.learn(payment, created())

        async def erase() -> None:
            for payment_id in ids[::3]:
                await part_payments(place.database.fetch, [payment_id])
                await other.execute(
                    "DELETE FROM payment_personal_values WHERE payment_id = $1", payment_id
                )

        try:
            await asyncio.gather(place.chain_all(limit=3), change(), erase())
        finally:
            await other.close()
        await place.chain_all()
        assert verified(await place.export()).rows == 45
        kept = "SELECT count(*) FROM payment_personal_values WHERE version = 1"
        assert await place.session.fetchval(kept) == 20

    in_place(act)


def test_personal_values_that_another_writer_puts_apart_meanwhile_are_no_error(
    in_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the read and the write of a batch, as when a customer is forgotten."""

    async def act(place: Place) -> None:
        payment = await place.insert_as_the_previous_version()

        async def read_then_part(connection: Any, statement: str, **values: object) -> Any:
            found = await run_on(connection, statement, **values)
            monkeypatch.undo()
            await part_payments(place.database.fetch, [payment.id])
            return found

        monkeypatch.setattr(chaining, "run_on", read_then_part)
        assert await place.chain_all() == 1
        assert verified(await place.export()).rows == 1

    in_place(act)


def test_a_checkpoint_covers_what_had_ended_and_nothing_is_left_out(in_place: Any) -> None:
    """A transaction with a lower number may commit later than others: the next one has it."""

    async def act(place: Place) -> None:
        open_session = await place.database.connect()
        running = open_session.transaction()
        await running.start()
        early = await place.store.insert(a_new_payment(), CALLER)
        assert early.version == 1
        await open_session.execute("SELECT pg_current_xact_id()")
        first = await place.chain.sign_checkpoint(KEY, NOW)
        await place.pay()
        second = await place.chain.sign_checkpoint(KEY, NOW + timedelta(hours=1))
        await running.rollback()
        third = await place.chain.sign_checkpoint(KEY, LATER)
        assert first is not None
        assert second is not None
        assert third is not None
        assert (first.payments, second.payments, third.payments) == (1, 0, 1)
        assert verified(await place.export()).checkpoints == 3
        await open_session.close()

    in_place(act)


def test_an_export_since_a_time_starts_at_the_checkpoint_before_it(in_place: Any) -> None:
    async def act(place: Place) -> None:
        old = await place.store.insert(a_new_payment(), CALLER)
        await place.pay()
        await place.chain.sign_checkpoint(KEY, NOW)
        await place.learn(old, created())
        await place.chain.sign_checkpoint(KEY, LATER)
        found = verified(await place.export(since=NOW + timedelta(minutes=1)))
        assert (found.payments, found.rows, found.checkpoints) == (1, 1, 1)
        whole = verified(await place.export(since=NOW - timedelta(minutes=1)))
        assert (whole.payments, whole.rows, whole.checkpoints) == (2, 5, 2)

    in_place(act)


TAMPERED = {
    "UPDATE payment_events SET content = replace(content, '42', '43') WHERE version = 2": (
        "version 2 of payment .* was altered"
    ),
    "DELETE FROM payment_events WHERE version = 3": "the database was altered before the export",
    "DELETE FROM payment_events WHERE version = 2": "version 2 of payment .* was altered",
    "DELETE FROM payment_events": "was signed over other rows",
    "DELETE FROM audit_checkpoints WHERE number = 1": "is not the next one",
    """
    WITH forged AS (
        UPDATE payment_events AS e
        SET content = replace(e.content, '42', '43'),
            hash = sha256(b.hash || convert_to(replace(e.content, '42', '43'), 'UTF8'))
        FROM payment_events AS b
        WHERE e.version = 3 AND b.version = 2 AND b.payment_id = e.payment_id
        RETURNING e.payment_id, e.hash
    )
    UPDATE payments SET audit_hash = forged.hash FROM forged WHERE id = payment_id
    """: "was signed over other rows",
}


@pytest.mark.parametrize(("sql", "said"), TAMPERED.items())
def test_a_change_by_a_superuser_of_the_database_is_found(
    in_place: Any, sql: str, said: str
) -> None:
    async def act(place: Place) -> None:
        payment = await place.pay()
        await place.chain.sign_checkpoint(KEY, NOW)
        await place.chain.sign_checkpoint(KEY, LATER)
        assert verified(await place.export()).checkpoints == 2
        for table in ("payment_events", "audit_checkpoints"):
            await place.session.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await place.session.execute(sql)
        for table in ("payment_events", "audit_checkpoints"):
            await place.session.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        with pytest.raises(ExportBroken, match=said):
            verified(await place.export())
        if "version = " in sql and "UPDATE payments" not in sql:
            assert "the chain is broken" in (await place.chain.trail(payment.id)).problem

    in_place(act)


def test_checkpoints_are_append_only(in_place: Any) -> None:
    async def act(place: Place) -> None:
        await place.chain.sign_checkpoint(KEY, NOW)
        for sql in ("UPDATE audit_checkpoints SET line = ''", "DELETE FROM audit_checkpoints"):
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await place.session.execute(sql)

    in_place(act)


def test_of_several_daemons_one_signs_when_it_is_time(in_place: Any) -> None:
    async def act(place: Place) -> None:
        signing = Checkpoints(
            chain=place.chain,
            leases=PostgresLeases(place.database),
            clock=SystemClock(),
            key=lambda: KEY,
            interval=timedelta(hours=1),
        )
        await asyncio.gather(*(signing.sign_if_due() for _ in range(3)))
        assert await place.session.fetchval("SELECT count(*) FROM audit_checkpoints") == 1
        assert await signing.sign_if_due() is None
        without = attrs.evolve(signing, key=lambda: None, interval=timedelta(0))
        assert await without.sign_if_due() is None
        again = await attrs.evolve(signing, interval=timedelta(0)).sign_if_due()
        assert again is not None
        assert again.number == 2

    in_place(act)


def test_a_database_that_counts_transactions_anew_is_refused(in_place: Any) -> None:
    async def act(place: Place) -> None:
        checkpoint = await place.chain.sign_checkpoint(KEY, NOW)
        assert checkpoint is not None
        later = json.loads(checkpoint.line) | {"horizon": 2**62, "number": 2}
        await place.session.execute(
            "INSERT INTO audit_checkpoints VALUES (2, $1)", KEY.signed_line(later)
        )
        with pytest.raises(NotChained, match="restored into a new cluster"):
            await place.chain.sign_checkpoint(KEY, LATER)

    in_place(act)


def test_an_overview_counts_what_is_not_signed_and_what_is_not_chained(in_place: Any) -> None:
    async def act(place: Place) -> None:
        sums = sums_on(place.database)
        await place.pay()
        await place.pay()
        nothing = await sums.trail()
        assert (nothing.checkpoint, nothing.checkpoint_time) == (None, None)
        assert (nothing.unsigned_rows, nothing.unsigned_payments) == (6, 2)

        await place.chain.sign_checkpoint(KEY, NOW)
        await place.store.insert(a_new_payment(), CALLER)
        await place.insert_as_the_previous_version()
        state = await sums.trail()

        assert (state.checkpoint, state.checkpoint_time) == (1, NOW)
        assert (state.unsigned_rows, state.unsigned_payments, state.unchained_rows) == (1, 1, 1)

    in_place(act)


def test_unchained_rows_are_counted_and_the_first_is_named(in_place: Any) -> None:
    async def act(place: Place) -> None:
        await place.pay()
        assert await unchained(place.database) == ""
        theirs = [await place.insert_as_the_previous_version() for _ in range(2)]
        await place.as_the_previous_version(theirs[0], created())

        first = min(payment.id for payment in theirs)
        assert await unchained(place.database) == (
            f"3 audit rows of 2 payments are not chained, first version 1 of payment {first}"
        )
        await place.chain_all()
        assert await unchained(place.database) == ""

    in_place(act)


def test_unsigned_rows_are_found_by_their_index(in_place: Any) -> None:
    """Of a table that is much larger than what came since the checkpoint."""

    async def act(place: Place) -> None:
        payment = await place.store.insert(a_new_payment(), CALLER)
        await place.session.execute(
            "INSERT INTO payment_events (payment_id, version, event_type, actor, request_id, ip,"
            " certificate, peer, content, hash, chain_xid, create_time)"
            " SELECT $1, n, 'x', '', '', '', '', '', repeat('x', 500), '\\x00', 3, now()"
            " FROM generate_series(2, 50000) AS n",
            payment.id,
        )
        await place.session.execute("VACUUM ANALYZE payment_events")
        statement = STATEMENTS["count_unsigned_rows"]
        await place.session.execute("SET plan_cache_mode = force_generic_plan")
        await place.session.execute(f"PREPARE counted AS {statement.sql}")
        plan = await place.session.fetch("EXPLAIN EXECUTE counted (1000, 100000)")
        text = "\n".join(row[0] for row in plan)
        assert "payment_events_by_chain_xid" in text, text
        assert "payment_events_to_chain" in text, text

    in_place(act)
