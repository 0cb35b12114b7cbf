"""Refunds: what to transfer, and how the transfer is recognized in a statement."""

# ruff: noqa: S101 - asserts are what tests are made of

from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from sepa_provider.conformance import IBAN
from sepa_provider.fake_bank import Booking
from sepa_provider.references import reference_of
from test_transfers import NOW, PAYMENT, REFERENCE, Desk, at_the_desk

from payd.plugins import (
    Absent,
    Declined,
    IdempotencyConflict,
    InvalidRequest,
    Observation,
    RefundInstructions,
    RefundOperation,
    RefundRef,
    RefundSnapshot,
    RefundState,
    Show,
    ShowKind,
)

REFUND = UUID("0b5d64ea-5f0d-4dd0-9d13-5a3c0a4ffb12")
CUSTOMER = "FR1420041010050500013M02606"
OPERATION = RefundOperation(
    operation_id=f"payd:{REFUND}:refund:v1",
    refund_id=REFUND,
    payment_id=PAYMENT,
    reference=REFERENCE,
    aliases=(),
    amount=4900,
    asset="EUR",
    is_all=False,
    reason="broken",
    destination=CUSTOMER,
    create_time=NOW,
)
REF = RefundRef(
    operation_id=OPERATION.operation_id,
    refund_id=REFUND,
    reference=None,
    payment_id=PAYMENT,
    payment_reference=REFERENCE,
    aliases=(),
    asset="EUR",
    amount=4900,
    create_time=NOW,
)
#: The reference of the refund's transfer.
OURS = reference_of(OPERATION.operation_id)


async def paid(desk: Desk) -> None:
    await desk.create()
    desk.book(14900)


async def facts(desk: Desk) -> list[Observation]:
    events = (await desk.provider.scan(None)).events
    return [one for event in events for one in desk.provider.translate(event)]


def test_the_instructions_are_those_of_a_transfer(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await paid(desk)
        said = await desk.provider.refund(
            attrs.evolve(OPERATION, destination="fr14 2004 1010 0505 0001 3M02 606")
        )
        assert isinstance(said, RefundInstructions)
        assert isinstance(said.next_action, Show)
        assert said.next_action.kind is ShowKind.BANK_TRANSFER
        assert {one.label: one.value for one in said.next_action.fields} == {
            "IBAN": CUSTOMER,
            "Amount": "49.00",
            "Reference": OURS,
            "Currency": "EUR",
        }
        assert await desk.provider.refund(OPERATION) == said
        assert await desk.provider.fetch_refund(REF) == Absent()

    at_the_desk(tmp_path, story)


def test_the_transfer_with_the_reference_is_the_refund(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await paid(desk)
        await desk.provider.refund(OPERATION)
        booking = desk.book(4900, reference=OURS, is_outgoing=True)
        refund = await desk.provider.fetch_refund(REF)
        assert isinstance(refund, RefundSnapshot)
        assert (refund.reference, refund.refund_id, refund.amount) == (booking.id, REFUND, 4900)
        look = await desk.look(await desk.create())
        assert (look.received, look.refunds) == (14900, (refund,))
        results = [one for one in await facts(desk) if isinstance(one.fact, RefundSnapshot)]
        assert [(one.reference, one.fact) for one in results] == [(REFERENCE, refund)]

    at_the_desk(tmp_path, story)


def test_a_second_transfer_and_another_amount_are_reported_as_they_are(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await paid(desk)
        await desk.provider.refund(OPERATION)
        desk.book(4900, reference=OURS, is_outgoing=True, id="E1")
        desk.book(100, reference=OURS, is_outgoing=True, id="E2")
        look = await desk.look(await desk.create())
        assert {(one.reference, one.amount) for one in look.refunds} == {("E1", 4900), ("E2", 100)}
        assert {one.refund_id for one in look.refunds} == {REFUND}

    at_the_desk(tmp_path, story)


def test_a_transfer_with_the_payments_own_reference_is_nobodys_request(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await paid(desk)
        desk.book(14900, is_outgoing=True)
        [refund] = (await desk.look(await desk.create())).refunds
        assert (refund.refund_id, refund.amount) == (None, 14900)
        assert refund in [one.fact for one in await facts(desk)]

    at_the_desk(tmp_path, story)


def test_a_transfer_without_a_reference_concerns_no_payment(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await paid(desk)
        desk.book(700, reference="rent", is_outgoing=True)
        assert not [one for one in await facts(desk) if isinstance(one.fact, RefundSnapshot)]

    at_the_desk(tmp_path, story)


async def returned(desk: Desk, cents: int = 4900) -> Booking:
    """The refund's transfer, of which the customer's bank sent so much back."""
    await paid(desk)
    await desk.provider.refund(OPERATION)
    sent = desk.book(4900, reference=OURS, is_outgoing=True)
    desk.book(cents, reference=OURS, is_returned=True, id="R1")
    return sent


@pytest.mark.parametrize("cents", [4900, 4850], ids=["whole", "less a fee"])
def test_a_transfer_that_comes_back_is_a_refund_that_failed(tmp_path: Path, cents: int) -> None:
    async def story(desk: Desk) -> None:
        sent = await returned(desk, cents)
        refund = await desk.provider.fetch_refund(REF)
        assert isinstance(refund, RefundSnapshot)
        assert (refund.reference, refund.refund_id, refund.amount) == (sent.id, REFUND, 4900)
        assert (refund.state, refund.failure_code) == (RefundState.FAILED, "returned")
        assert refund.failure_message
        look = await desk.look(await desk.create())
        assert (look.received, look.refunds) == (14900, (refund,))

    at_the_desk(tmp_path, story)


def test_the_scan_reports_the_transfer_and_its_return(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        sent = await returned(desk)
        seen = [one for one in await facts(desk) if isinstance(one.fact, RefundSnapshot)]
        assert {one.reference for one in seen} == {REFERENCE}
        refunds = {one.id: one.fact for one in seen if isinstance(one.fact, RefundSnapshot)}
        assert {name: one.state for name, one in refunds.items()} == {
            sent.id: RefundState.SUCCEEDED,
            "R1": RefundState.FAILED,
        }
        assert {(one.reference, one.refund_id) for one in refunds.values()} == {(sent.id, REFUND)}
        assert refunds["R1"] == await desk.provider.fetch_refund(REF)

    at_the_desk(tmp_path, story)


def test_of_two_transfers_the_one_that_came_back_has_failed(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await paid(desk)
        await desk.provider.refund(OPERATION)
        for name, cents in (("E1", 100), ("E2", 4900), ("E3", 4900)):
            desk.book(cents, name, reference=OURS, is_outgoing=True, id=name)
        desk.book(4900, "R2", reference=OURS, is_returned=True, id="R2")
        look = await desk.look(await desk.create())
        assert {one.reference: one.state for one in look.refunds} == {
            "E1": RefundState.SUCCEEDED,
            "E2": RefundState.FAILED,
            "E3": RefundState.SUCCEEDED,
        }

    at_the_desk(tmp_path, story)


def test_a_transfer_that_nobody_requested_can_come_back_too(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await paid(desk)
        sent = desk.book(14900, is_outgoing=True)
        desk.book(14900, is_returned=True)
        [refund] = (await desk.look(await desk.create())).refunds
        assert (refund.reference, refund.state) == (sent.id, RefundState.FAILED)
        assert refund.refund_id is None

    at_the_desk(tmp_path, story)


def test_what_came_back_of_no_transfer_is_for_a_person(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await paid(desk)
        await desk.provider.refund(OPERATION)
        desk.book(4900, reference=OURS, is_returned=True, id="R1")
        assert await desk.provider.fetch_refund(REF) == Absent()
        [back] = [one for one in await facts(desk) if one.id == "R1"]
        assert isinstance(back.fact, tuple)
        assert [(one.id, one.amount) for one in back.fact] == [("R1", 4900)]
        assert back.reference == "R1"
        assert (await desk.look(await desk.create())).refunds == ()

    at_the_desk(tmp_path, story)


@pytest.mark.parametrize(
    ("changes", "error", "why"),
    [
        ({"destination": "DE89370400440532013001"}, InvalidRequest, "check digits"),
        ({"destination": IBAN}, InvalidRequest, "our own account"),
        ({"reference": "RF00"}, Declined, "no_such_claim"),
        ({"amount": 5000}, IdempotencyConflict, "other parameters"),
    ],
)
def test_what_cannot_be_transferred_is_refused(
    changes: dict[str, Any], error: type[Exception], why: str, tmp_path: Path
) -> None:
    async def story(desk: Desk) -> None:
        await paid(desk)
        await desk.provider.refund(OPERATION)
        with pytest.raises(error, match=why):
            await desk.provider.refund(attrs.evolve(OPERATION, **changes))

    at_the_desk(tmp_path, story)
