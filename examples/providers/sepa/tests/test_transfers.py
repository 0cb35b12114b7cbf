"""Transfers: late, partial and repeated money, and statement files in any order or state."""

# ruff: noqa: S101 - asserts are what tests are made of

import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import trio
from sepa_provider.config import SepaConfig
from sepa_provider.conformance import IBAN
from sepa_provider.fake_bank import Booking, drop, statement
from sepa_provider.provider import PAGE_MAX, SepaProvider, open_provider
from sepa_provider.references import reference_of

from payd.plugins import (
    CreateOperation,
    Found,
    Money,
    PaymentRef,
    ProviderContext,
    Show,
    Snapshot,
)
from payd.plugins.testing import BenchClock, BenchLog

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAYMENT = UUID("0b5d64ea-5f0d-4dd0-9d13-5a3c0a4ffb11")
REFERENCE = reference_of("one")


@attrs.frozen
class Desk:
    """The provider with the statements folder and a clock that the test sets."""

    provider: SepaProvider
    folder: Path
    clock: BenchClock
    log: BenchLog

    def book(self, cents: int, name: str = "", **more: Any) -> Booking:
        booking = Booking(**{"reference": REFERENCE, "cents": cents, **more})
        drop(self.folder, statement(IBAN, [booking], self.clock.now()), name)
        return booking

    async def create(self) -> PaymentRef:
        operation = CreateOperation(
            operation_id="one",
            payment_id=PAYMENT,
            method="sepa",
            amount=Money(currency_code="EUR", minor_units=14900),
            crypto=None,
            items=(),
            customer_id="customer-1",
            create_time=NOW,
            expire_time=NOW + timedelta(days=7),
            return_url="https://shop.example/paid",
            cancel_url="https://shop.example/back",
            metadata={},
        )
        created = await self.provider.create(operation)
        return PaymentRef(
            operation_id="one",
            payment_id=PAYMENT,
            reference=created.reference,
            asset="EUR",
            create_time=NOW,
        )

    async def look(self, ref: PaymentRef) -> Snapshot:
        found = await self.provider.fetch(ref)
        assert isinstance(found, Found)
        return found.snapshot

    async def ids(self, cursor: str | None = None) -> tuple[list[str], str]:
        page = await self.provider.scan(cursor)
        return [event.id for event in page.events], page.cursor


def at_the_desk(
    folder: Path,
    story: Callable[[Desk], Awaitable[None]],
    iban: str = IBAN,
) -> None:
    async def lived() -> None:
        statements, clock, log = folder / "statements", BenchClock(NOW), BenchLog()
        statements.mkdir(exist_ok=True)
        config = SepaConfig(
            iban=iban,
            ledger_file=folder / "ledger.sqlite3",
            statements_dir=statements,
        )
        context = ProviderContext(environment="test", secrets={}, clock=clock, log=log)
        async with open_provider(context, config) as provider:
            assert isinstance(provider, SepaProvider)
            await story(Desk(provider, statements, clock, log))

    trio.run(lived)


def test_a_partial_amount_leaves_the_claim_open_until_the_rest_arrives(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        ref = await desk.create()
        desk.book(10000)
        look = await desk.look(ref)
        assert (look.status.value, look.received, look.confirmed) == ("OPEN", 10000, 10000)
        desk.book(4900)
        look = await desk.look(ref)
        assert (look.status.value, look.received, look.confirmed) == ("PAID", 14900, 14900)

    at_the_desk(tmp_path, story)


def test_late_money_is_reported_but_not_confirmed(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        ref = await desk.create()
        desk.clock.advance(timedelta(days=9))
        booking = desk.book(14900)
        look = await desk.look(ref)
        assert (look.status.value, look.received, look.confirmed) == ("OPEN", 14900, 0)
        (event,) = (await desk.provider.scan(None)).events
        (observation,) = desk.provider.translate(event)
        assert observation.reference == REFERENCE
        assert isinstance(observation.fact, tuple)
        (receipt,) = observation.fact
        assert (receipt.id, receipt.amount) == (booking.id, 14900)
        assert receipt.time > NOW + timedelta(days=7)

    at_the_desk(tmp_path, story)


def test_a_snapshot_is_as_old_as_the_newest_statement(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        ref = await desk.create()
        desk.clock.advance(timedelta(days=8))
        assert (await desk.look(ref)).as_of == NOW
        desk.book(1, reference="somebody else")
        assert (await desk.look(ref)).as_of == NOW + timedelta(days=8)

    at_the_desk(tmp_path, story)


def test_an_entry_in_two_statements_is_one(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        ref = await desk.create()
        desk.book(14900, id="E1")
        desk.book(14900, id="E1")
        assert (await desk.look(ref)).received == 14900
        assert (await desk.ids())[0] == ["E1"]

    at_the_desk(tmp_path, story)


def test_a_late_file_with_an_older_name_is_scanned(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.book(1, "2026-01-05", id="E5")
        _, cursor = await desk.ids()
        desk.book(1, "2026-01-04", id="E4")
        assert (await desk.ids(cursor))[0] == ["E4"]

    at_the_desk(tmp_path, story)


def test_a_broken_file_blocks_no_other_and_is_read_once_it_is_complete(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        broken = desk.folder / "a.xml"
        whole = statement(IBAN, [Booking(reference=REFERENCE, cents=1, id="E1")], NOW)
        broken.write_text(whole[:200])
        desk.book(1, "b", id="E2")
        ids, cursor = await desk.ids()
        assert ids == ["E2"]
        await desk.ids(cursor)
        assert sum("statement_refused" in line for line in desk.log.lines) == 1
        broken.write_text(whole)
        assert (await desk.ids(cursor))[0] == ["E1"]

    at_the_desk(tmp_path, story)


def test_a_file_that_grew_is_read_again(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        first = Booking(reference=REFERENCE, cents=1, id="E1")
        second = attrs.evolve(first, id="E2")
        drop(desk.folder, statement(IBAN, [first], NOW), "day")
        _, cursor = await desk.ids()
        drop(desk.folder, statement(IBAN, [first, second], NOW), "day")
        assert (await desk.ids(cursor))[0] == ["E2"]

    at_the_desk(tmp_path, story)


def test_many_entries_come_in_pages_and_again_after_the_ledger_is_lost(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        bookings = [Booking(reference="", cents=1) for _ in range(PAGE_MAX + 5)]
        drop(desk.folder, statement(IBAN, bookings, NOW))
        first = await desk.provider.scan(None)
        second = await desk.provider.scan(first.cursor)
        assert (first.more, second.more) == (True, False)
        ids = [event.id for event in (*first.events, *second.events)]
        assert ids == [one.id for one in bookings]
        assert await desk.provider.scan("41:of another ledger") == first

    at_the_desk(tmp_path, story)


def test_an_upload_is_ignored_until_it_is_renamed(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        path = desk.folder / "day.part"
        path.write_text(statement(IBAN, [Booking(reference=REFERENCE, cents=1, id="E1")], NOW))
        ids, cursor = await desk.ids()
        assert ids == []
        path.rename(desk.folder / "day.xml")
        assert (await desk.ids(cursor))[0] == ["E1"]

    at_the_desk(tmp_path, story)


def test_a_changed_setting_keeps_the_account_of_an_existing_claim(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        ref = await desk.create()
        found = await desk.provider.fetch(ref)
        assert isinstance(found, Found)
        actions.append(found.created.next_action)
        assert (await desk.create()) == ref

    actions: list[object] = []
    at_the_desk(tmp_path, story)
    at_the_desk(tmp_path, story, iban="FR1420041010050500013M02606")
    assert actions[0] == actions[1]
    assert isinstance(actions[0], Show)
    assert {line.label: line.value for line in actions[0].fields} == {
        "IBAN": IBAN,
        "Amount": "149.00",
        "Reference": REFERENCE,
        "Currency": "EUR",
    }


def test_a_claim_of_a_ledger_with_pages_shows_our_account(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "ledger.sqlite3")
    old.execute(
        "CREATE TABLE claims (reference TEXT PRIMARY KEY, operation_id TEXT NOT NULL UNIQUE,"
        " payment_id TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL,"
        " url TEXT NOT NULL, create_time TEXT NOT NULL, expire_time TEXT NOT NULL)"
    )
    end = (NOW + timedelta(days=7)).isoformat(timespec="microseconds")
    row = (REFERENCE, "one", str(PAYMENT), 14900, "EUR", "https://shop.example", NOW, end)
    old.execute("INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [str(one) for one in row])
    old.commit()
    old.close()

    async def story(desk: Desk) -> None:
        found = await desk.provider.fetch(await desk.create())
        assert isinstance(found, Found)
        assert isinstance(found.created.next_action, Show)
        assert found.created.next_action.fields[0].value == IBAN

    at_the_desk(tmp_path, story)


def test_returned_money_is_a_refund_that_nobody_asked_for(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        ref = await desk.create()
        desk.book(14900)
        desk.book(14900, is_reversal=True)
        look = await desk.look(ref)
        [refund] = look.refunds
        assert (look.confirmed, refund.amount, refund.refund_id) == (14900, 14900, None)
        events = (await desk.provider.scan(None)).events
        facts = [one.fact for event in events for one in desk.provider.translate(event)]
        assert refund in facts

    at_the_desk(tmp_path, story)
