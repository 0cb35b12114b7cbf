"""CancelRefund, ApproveRefund, SettleRefund and ResolveAttention: what a person decides."""

from datetime import timedelta
from functools import partial
from uuid import UUID

import attrs
import pytest
import trio
from unit.service.world import CALLER, World, capable, refunding

from payd.domain.attention import Attention
from payd.domain.errors import (
    ApproverIsRequester,
    InvalidField,
    NoteRequired,
    NothingToResolve,
    NotRefundable,
    PaydError,
    ProviderUnavailable,
    RefundNotFound,
    VersionChanged,
)
from payd.domain.evidence import Conflict, Declined, NotAttempted, OutcomeUnknown, Snapshot
from payd.domain.page import Position
from payd.domain.payment import Origin, Payment, Status
from payd.domain.refund import Refund, RefundState, RefundStatus
from payd.domain.request import RefundFilter, ResolveRequest, SettleRequest
from payd.plugins.capabilities import Sends
from payd.ports import RefundReply

EVE = Origin(actor="operator:eve", certificate="eve", request_id="req-2")
UNKNOWN = UUID(int=404)


@pytest.fixture
async def world() -> World:
    return World(capable(refunds=refunding(sends=Sends.INSTRUCTIONS)), approval_from=100)


# -- CancelRefund --------------------------------------------------------------------------------


async def test_a_refund_that_nobody_sent_is_taken_back_with_a_note(world: World) -> None:
    refund = await world.refund_in(RefundStatus.AWAITING_APPROVAL)
    payment, canceled = await world.cancels_refund.cancel(refund.id, "not needed", EVE)
    assert canceled.status is RefundStatus.CANCELED
    row = (await world.store.audit_trail(payment.id))[-1]
    assert (row.event_type, row.actor, row.details["reason"]) == (
        "refund_canceled",
        "operator:eve",
        "not needed",
    )
    _, again = await world.cancels_refund.cancel(refund.id, "again", EVE)
    assert again == canceled


@pytest.mark.parametrize("note", ["", "  "])
async def test_taking_back_needs_a_note(world: World, note: str) -> None:
    with pytest.raises(NoteRequired) as refusal:
        await world.cancels_refund.cancel(UNKNOWN, note, EVE)
    assert str(refusal.value) == "say why the refund is taken back"
    assert refusal.value.metadata == {"field": "note"}


async def test_a_refund_that_was_sent_cannot_be_taken_back() -> None:
    world = World()
    refund = await world.refund_in(RefundStatus.PENDING)
    with pytest.raises(NotRefundable):
        await world.cancels_refund.cancel(refund.id, "n", EVE)


# -- ApproveRefund -------------------------------------------------------------------------------


async def test_a_second_person_approves_and_the_refund_is_sent(world: World) -> None:
    refund = await world.refund_in(RefundStatus.AWAITING_APPROVAL)
    assert world.provider.refunds == []
    payment, approved = await world.approves.approve(refund.id, "good", EVE)
    assert approved.status is RefundStatus.AWAITING_TRANSFER
    assert len(world.provider.refunds) == 1
    *_, approval, claim, answer = await world.store.audit_trail(payment.id)
    assert [(row.event_type, row.actor) for row in (approval, claim, answer)] == [
        ("refund_creating", "operator:eve"),
        ("refund_changed", "operator:eve"),
        ("refund_awaiting_transfer", "operator:eve"),
    ]
    assert approval.details["reason"] == "good"
    assert await world.approves.approve(refund.id, "again", EVE) == (payment, approved)
    assert len(world.provider.refunds) == 1


async def test_the_same_request_again_does_not_approve(world: World) -> None:
    refund = await world.refund_in(RefundStatus.AWAITING_APPROVAL)
    payment, _ = await world.query.get_refund(refund.id)
    assert await world.refund(payment, destination="0xabc") == refund
    assert world.provider.refunds == []


@pytest.mark.parametrize(
    "origin", [CALLER, attrs.evolve(EVE, certificate="main-app"), Origin(actor="main-app")]
)
async def test_the_requester_cannot_approve(world: World, origin: Origin) -> None:
    refund = await world.refund_in(RefundStatus.AWAITING_APPROVAL)
    with pytest.raises(ApproverIsRequester):
        await world.approves.approve(refund.id, "good", origin)


async def test_one_person_is_one_certificate_whatever_it_claims_to_be(world: World) -> None:
    payment = await world.payment_in(Status.COMPLETED)
    refund = await world.refund(payment, destination="0xabc", origin=EVE)
    claimed = attrs.evolve(EVE, actor="operator:eve/adam")
    with pytest.raises(ApproverIsRequester):
        await world.approves.approve(refund.id, "good", claimed)


async def test_an_approved_refund_that_could_not_be_sent_is_sent_by_recovery(world: World) -> None:
    refund = await world.refund_in(RefundStatus.AWAITING_APPROVAL)
    error = ProviderUnavailable("nothing was sent")
    world.provider.refund_replies.append(RefundReply(answer=NotAttempted(), error=error))
    _, approved = await world.approves.approve(refund.id, "good", EVE)
    assert approved.status is RefundStatus.CREATING
    assert (await world.check_refund(refund)).status is RefundStatus.AWAITING_TRANSFER


async def test_what_the_provider_refuses_after_the_approval_is_an_error(world: World) -> None:
    refund = await world.refund_in(RefundStatus.AWAITING_APPROVAL)
    error = InvalidField("destination", "no such account")
    refused = Declined(code="invalid_request", message=str(error))
    world.provider.refund_replies.append(RefundReply(answer=refused, error=error))
    with pytest.raises(InvalidField):
        await world.approves.approve(refund.id, "good", EVE)
    assert (await world.stored(refund)).status is RefundStatus.FAILED


async def test_two_approvals_at_once_send_once(world: World) -> None:
    refund = await world.refund_in(RefundStatus.AWAITING_APPROVAL)
    world.provider.transit = 3

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(world.approves.approve, refund.id, "good", EVE)
    assert len(world.provider.refunds) == 1


async def test_unknown_refunds_are_not_found(world: World) -> None:
    for call in (
        partial(world.cancels_refund.cancel, UNKNOWN, "n", EVE),
        partial(world.approves.approve, UNKNOWN, "n", EVE),
        partial(world.settles_refund.settle_refund, a_settlement(UNKNOWN), EVE),
        partial(world.query.get_refund, UNKNOWN),
    ):
        with pytest.raises(RefundNotFound) as refusal:
            await call()
        assert str(refusal.value) == "no refund has this id"
        assert refusal.value.metadata == {"refund_id": str(UNKNOWN)}
    with pytest.raises(RefundNotFound):
        await world.query.get_refund_by_key("no such key")


# -- SettleRefund --------------------------------------------------------------------------------

DAY = timedelta(hours=24)


def a_settlement(
    refund_id: UUID, *, succeeded: bool = True, reference: str = "", note: str = "looked it up"
) -> SettleRequest:
    return SettleRequest(
        refund_id=refund_id, has_succeeded=succeeded, reference=reference, note=note
    )


async def lost(world: World) -> Refund:
    """A refund whose outcome stays unknown, after the time in which it can be sent again."""
    refund = await world.refund_in(RefundStatus.CREATING)
    world.clock.move(hours=24)
    return refund


async def test_an_operator_settles_a_refund_and_the_audit_trail_has_it() -> None:
    world = World()
    refund = await lost(world)
    wanted = a_settlement(refund.id, reference="re_9")
    payment, settled = await world.settles_refund.settle_refund(wanted, EVE)
    assert (settled.status, settled.provider_reference) == (RefundStatus.SUCCEEDED, "re_9")
    row = (await world.store.audit_trail(payment.id))[-1]
    assert (row.event_type, row.actor, row.details["reason"]) == (
        "refund_succeeded",
        "operator:eve",
        "looked it up",
    )
    assert await world.events() == ["payment.completed", "payment.refunded"]
    assert (await world.settles_refund.settle_refund(wanted, EVE))[1] == settled
    assert await world.newest(payment) == payment


async def test_a_refund_that_an_operator_settled_as_failed_can_be_requested_again() -> None:
    world = World()
    refund = await lost(world)
    payment, failed = await world.settles_refund.settle_refund(
        a_settlement(refund.id, succeeded=False), EVE
    )
    assert failed.status is RefundStatus.FAILED
    assert await world.events() == ["payment.completed", "payment.refund_failed"]
    assert await world.recover_refunds.claim_batch() == []
    again = await world.refund(payment, idempotency_key="refund-2")
    assert (again.status, again.amount) == (RefundStatus.PENDING, failed.amount)


async def test_what_the_provider_reports_against_a_settlement_is_for_a_person() -> None:
    world = World()
    refund = await lost(world)
    await world.settles_refund.settle_refund(a_settlement(refund.id, succeeded=False), EVE)
    world.provider.give_back(world.provider.refunds[-1])
    await world.report_refund(world.provider.finish_refund(RefundState.SUCCEEDED))
    payment, stored = await world.query.get_refund(refund.id)
    assert stored.status is RefundStatus.FAILED
    assert payment.refunded == refund.amount
    assert Attention.CONFLICTING_EVIDENCE in payment.attention


@pytest.mark.parametrize("succeeded", [True, False])
async def test_within_the_providers_window_payd_finds_out_by_itself(succeeded: bool) -> None:
    world = World()
    refund = await world.refund_in(RefundStatus.CREATING)
    world.clock.move(hours=23, minutes=59)
    with pytest.raises(NotRefundable) as caught:
        await world.settles_refund.settle_refund(a_settlement(refund.id, succeeded=succeeded), EVE)
    assert caught.value.metadata["settle_time"] == (refund.create_time + DAY).isoformat()
    assert (await world.stored(refund)).status is RefundStatus.CREATING


@pytest.mark.parametrize("gone", ["disabled", "cannot refund"])
async def test_without_the_provider_nobody_finds_out_after_an_hour(gone: str) -> None:
    world = World()
    refund = await world.refund_in(RefundStatus.CREATING)
    if gone == "disabled":
        world.providers.disabled = True
    else:
        world.provider.capabilities = capable(refunds=None)
    world.clock.move(minutes=59)
    with pytest.raises(NotRefundable):
        await world.settles_refund.settle_refund(a_settlement(refund.id, succeeded=False), EVE)
    world.clock.move(minutes=1)
    _, failed = await world.settles_refund.settle_refund(
        a_settlement(refund.id, succeeded=False), EVE
    )
    assert failed.status is RefundStatus.FAILED


@pytest.mark.parametrize("note", ["", "  "])
async def test_a_settlement_needs_a_note(world: World, note: str) -> None:
    with pytest.raises(NoteRequired) as refusal:
        await world.settles_refund.settle_refund(a_settlement(UNKNOWN, note=note), EVE)
    assert str(refusal.value) == "say how you found out"
    assert refusal.value.metadata == {"field": "note"}


async def test_a_reference_of_another_payments_refund_is_refused() -> None:
    world = World()
    first = await world.refund_in(RefundStatus.PENDING)
    payment = await world.initiate(idempotency_key="order-2")
    paid = world.provider.remote[-1]
    paid.pay()
    await world.report(paid)
    await world.intake_pass()
    world.provider.refund_replies.append(RefundReply(answer=OutcomeUnknown()))
    second = await world.refund(payment, idempotency_key="refund-2")
    world.clock.move(hours=24)
    wanted = a_settlement(second.id, reference=str(first.provider_reference))
    with pytest.raises(InvalidField) as caught:
        await world.settles_refund.settle_refund(wanted, EVE)
    assert (caught.value.field, caught.value.description) == (
        "reference",
        "it is that of a refund of another payment",
    )
    assert (await world.stored(second)).status is RefundStatus.CREATING


# -- reading -------------------------------------------------------------------------------------


async def test_refunds_are_read_by_id_and_key_and_listed_newest_first(world: World) -> None:
    payment = await world.payment_in(Status.COMPLETED)
    first = await world.refund(payment, destination="0xabc")
    world.clock.move(minutes=1)
    second = await world.refund(payment, destination="0xabc", idempotency_key="refund-2")
    assert (await world.query.get_refund(first.id))[1] == first
    assert (await world.query.get_refund_by_key("refund-2"))[1] == second
    of_payment = RefundFilter(payment_id=payment.id)
    page = await world.query.list_refunds(of_payment, None, 1)
    assert [refund for _, refund in page] == [second]
    after = Position(second.create_time, second.id)
    rest = await world.query.list_refunds(of_payment, after, 9)
    assert [refund for _, refund in rest] == [first]


# -- ResolveAttention ----------------------------------------------------------------------------


async def flagged(world: World) -> Payment:
    payment = await world.payment_in(Status.COMPLETED)
    return await world.settle.settle(payment, Conflict(detail="one"), CALLER)


def a_snapshot_of_too_much(world: World) -> Snapshot:
    """The provider has received one unit more than was due."""
    paid = world.provider.object.due + 1
    shown = world.provider.snapshot(world.provider.object)
    later = shown.as_of + timedelta(seconds=1)
    return attrs.evolve(shown, received=paid, confirmed=paid, as_of=later)


def a_resolution(payment: Payment, note: str = "done", **overrides: object) -> ResolveRequest:
    return ResolveRequest(payment_id=payment.id, note=note, **overrides)  # type: ignore[arg-type]


async def test_a_reason_ends_with_a_note_and_the_audit_trail_has_it(world: World) -> None:
    payment = await flagged(world)
    resolved = await world.resolves.resolve(a_resolution(payment), EVE)
    assert resolved.attention == frozenset()
    [record] = resolved.attention_records
    assert (record.resolved_by, record.note) == ("operator:eve", "done")
    row = (await world.store.audit_trail(payment.id))[-1]
    assert (row.event_type, row.actor, row.details["reason"]) == (
        "attention_resolved",
        "operator:eve",
        "done",
    )


@pytest.mark.parametrize(
    ("fields", "error", "said", "metadata"),
    [
        ({"note": " "}, NoteRequired, "say what was done about it", {"field": "note"}),
        (
            {"reasons": frozenset({Attention.STUCK})},
            NothingToResolve,
            "none of the reasons is open; open are: CONFLICTING_EVIDENCE",
            {"payment_id": str(UUID(int=1)), "open": "CONFLICTING_EVIDENCE"},
        ),
        (
            {"expected_version": 1},
            VersionChanged,
            "the payment is at version 4: read it again",
            {"payment_id": str(UUID(int=1)), "version": "4"},
        ),
    ],
)
async def test_a_resolution_is_refused(
    world: World,
    fields: dict[str, object],
    error: type[PaydError],
    said: str,
    metadata: dict[str, str],
) -> None:
    payment = await flagged(world)
    with pytest.raises(error) as refusal:
        await world.resolves.resolve(a_resolution(payment, **fields), EVE)  # type: ignore[arg-type]
    assert (str(refusal.value), refusal.value.metadata) == (said, metadata)
    assert await world.newest(payment) == payment


async def test_all_reasons_that_are_open_are_named(world: World) -> None:
    payment = await flagged(world)
    await world.settle.settle(payment, a_snapshot_of_too_much(world), CALLER)
    reasons = frozenset({Attention.STUCK})
    with pytest.raises(NothingToResolve) as refusal:
        await world.resolves.resolve(a_resolution(payment, reasons=reasons), EVE)
    assert refusal.value.metadata["open"] == "CONFLICTING_EVIDENCE,OVERPAID"


async def test_one_of_several_reasons_ends_and_the_other_stays_open(world: World) -> None:
    payment = await flagged(world)
    await world.settle.settle(payment, a_snapshot_of_too_much(world), CALLER)
    reasons = frozenset({Attention.OVERPAID, Attention.STUCK})
    resolved = await world.resolves.resolve(a_resolution(payment, reasons=reasons), EVE)
    assert resolved.attention == {Attention.CONFLICTING_EVIDENCE}


async def test_nothing_is_open_after_it_was_resolved(world: World) -> None:
    payment = await flagged(world)
    version = payment.version
    await world.resolves.resolve(a_resolution(payment, expected_version=version), EVE)
    with pytest.raises(NothingToResolve) as caught:
        await world.resolves.resolve(a_resolution(payment), EVE)
    assert str(caught.value) == "none of the reasons is open; open are: none"
    assert caught.value.metadata["open"] == ""


async def test_what_comes_meanwhile_is_not_resolved_unseen(world: World) -> None:
    payment = await flagged(world)
    commit = world.store.commit
    late = Conflict(detail="two")

    async def lose(*args: object) -> bool:
        world.store.commit = commit  # type: ignore[method-assign]
        await world.settle.settle(payment, late, CALLER)
        return False

    world.store.commit = lose  # type: ignore[method-assign,assignment]
    with pytest.raises(VersionChanged):
        await world.resolves.resolve(a_resolution(payment, expected_version=payment.version), EVE)
    world.store.commit = lose  # type: ignore[method-assign,assignment]
    resolved = await world.resolves.resolve(a_resolution(payment), EVE)
    assert resolved.attention == frozenset()
