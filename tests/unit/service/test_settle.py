"""Settling: decided on the newest version and committed once, beside other writers."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import attrs
import pytest
import trio
from unit.service.fakes import OUTCOME_UNKNOWN
from unit.service.world import CALLER, World

from payd.domain.attention import Attention
from payd.domain.decide import Decision, Rules
from payd.domain.errors import PaymentNotFound, StoreUnavailable
from payd.domain.evidence import (
    AskAgain,
    CancelRequested,
    Created,
    Evidence,
    NotAttempted,
    NotClosable,
    ProviderStatus,
    Receipt,
    ReceiptState,
)
from payd.domain.payment import Origin, Payment, Status
from payd.domain.sums import ReceiptSums


async def test_evidence_changes_the_payment_and_names_its_source(world: World) -> None:
    payment = await world.initiate()

    after = await world.settle.settle(payment, CancelRequested(reason="too dear"), CALLER)

    assert after.status is Status.CANCELING
    assert after == await world.newest(payment)
    *_, last = await world.store.audit_trail(payment.id)
    assert (last.event_type, last.actor, last.request_id) == (
        "payment_canceling",
        "main-app",
        "req-1",
    )
    assert last.details["reason"] == "too dear"


async def test_evidence_that_says_nothing_new_writes_nothing(world: World) -> None:
    payment = await world.settle.settle(await world.initiate(), CancelRequested(), CALLER)

    after, wrote = await world.settle.apply(payment, CancelRequested(), CALLER)

    assert (after, wrote) == (payment, False)
    assert await world.newest(payment) == payment


async def test_evidence_is_decided_on_the_newest_version_when_another_was_first(
    world: World,
) -> None:
    old = await world.initiate()
    await world.settle.settle(old, _receipt("r1", 1000), CALLER)

    after = await world.settle.settle(old, _receipt("r2", 13900), CALLER)

    assert (after.status, after.confirmed) == (Status.COMPLETED, 14900)


async def test_a_receipt_that_is_stored_already_is_not_counted_again(world: World) -> None:
    payment = await world.initiate()
    once = await world.settle.settle(payment, _receipt("r1", 1000), CALLER)

    again, wrote = await world.settle.apply(once, _receipt("r1", 1000), CALLER)

    assert (again.received, wrote) == (1000, False)


async def test_a_person_who_brings_evidence_says_why_in_the_audit_trail(world: World) -> None:
    payment = await world.initiate()

    await world.settle.apply(payment, _receipt("r1", 1000), CALLER, note="found in the bank's list")

    *_, last = await world.store.audit_trail(payment.id)
    assert last.details["reason"] == "found in the bank's list"


async def test_ten_receipts_at_once_are_all_counted(world: World) -> None:
    payment = await world.initiate()

    async with trio.open_nursery() as nursery:
        for n in range(10):
            settle = partial(world.settle.settle, payment, _receipt(f"r{n}", 1490), CALLER)
            nursery.start_soon(settle)

    after = await world.newest(payment)
    assert (after.status, after.confirmed) == (Status.COMPLETED, 14900)
    assert after.version == payment.version + 10
    assert await world.events() == ["payment.completed"]


async def test_the_same_payment_of_money_reported_fifty_times_at_once_completes_once(
    world: World,
) -> None:
    payment = await world.initiate()

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(world.settle.settle, payment, _receipt("r1", 14900), CALLER)

    assert await world.trail(payment) == [
        "payment_creating",
        "payment_pending",
        "payment_completed",
    ]
    assert await world.events() == ["payment.completed"]


async def test_pieces_of_evidence_are_settled_in_their_order(world: World) -> None:
    payment = await world.initiate()
    pieces: Sequence[Evidence] = (CancelRequested(), _receipt("r1", 14900))

    after = await world.settle.settle_all(payment, pieces, CALLER)

    assert after.status is Status.COMPLETED
    assert (await world.trail(payment))[-2:] == ["payment_canceling", "payment_completed"]


async def test_sums_for_another_late_window_are_read_again_whatever_the_evidence(
    world: World,
) -> None:
    """They say that the amount due came late; only the receipts can say whether too late."""
    payment = await world.initiate()
    another_end = payment.late_end(timedelta(days=2))
    sums = ReceiptSums(late_end=another_end, confirmed=(0, payment.due, 0))

    after = await world.settle.settle(attrs.evolve(payment, sums=sums), CancelRequested(), CALLER)

    assert after.status is Status.CANCELING
    assert after == await world.newest(payment)


async def test_no_evidence_changes_nothing(world: World) -> None:
    payment = await world.initiate()

    assert await world.settle.settle_all(payment, (), CALLER) == payment


async def test_a_store_where_another_is_always_first_is_a_defect_that_may_be_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await world.initiate()

    async def lose(
        before: Payment, decision: Decision, origin: Origin, inbox_ids: Sequence[int] = ()
    ) -> bool:
        return False

    monkeypatch.setattr(world.store, "commit", lose)

    with pytest.raises(StoreUnavailable) as refusal:
        await world.settle.settle(payment, CancelRequested(), CALLER)
    assert (str(refusal.value), refusal.value.retry_after_s) == (
        "the payment changed 200 times meanwhile: retry",
        1.0,
    )
    assert world.turns.rests == 200 - 4, "after some rounds each further one begins with a rest"


async def test_a_payment_that_nobody_stored_is_not_found(world: World) -> None:
    payment = await world.initiate()

    unknown = type(payment.id)(int=99)
    with pytest.raises(PaymentNotFound) as refusal:
        await world.settle.newest(unknown)
    assert (str(refusal.value), refusal.value.metadata) == (
        "no payment has this id",
        {"payment_id": str(unknown)},
    )


# -- claims ----------------------------------------------------------------------------------


async def test_a_claim_is_written_on_the_version_that_it_was_made_for(world: World) -> None:
    payment = await world.initiate()

    after, mine = await world.settle.claim(payment, CancelRequested(), CALLER)

    assert mine
    assert after == await world.newest(payment)


async def test_a_claim_on_an_old_version_writes_nothing(world: World) -> None:
    old = await world.initiate()
    await world.settle.settle(old, _receipt("r1", 1), CALLER)
    newest = await world.newest(old)

    assert await world.settle.claim(old, CancelRequested(), CALLER) == (newest, False)
    assert await world.newest(old) == newest


async def test_a_claim_is_decided_by_the_rules_of_the_operator(world: World) -> None:
    payment = await world.never_sent()
    world.clock.move(minutes=2)
    impatient = Rules(not_attempted_limit=timedelta(minutes=1))

    settle = attrs.evolve(world.settle, rules=impatient)
    after, mine = await settle.claim(payment, NotAttempted(), CALLER)

    assert (after.status, mine) == (Status.FAILED, True)


async def test_a_claim_on_what_is_answered_is_none(world: World) -> None:
    payment = await world.initiate()

    claim = AskAgain(deadline=world.clock.now())
    assert await world.settle.claim(payment, claim, CALLER) == (payment, False)


# -- rules -----------------------------------------------------------------------------------


async def test_late_money_completes_where_the_method_lets_it() -> None:
    world = World()
    payment = await _expired(world)

    await _pay_late(world)

    after = await world.newest(payment)
    assert (after.status, after.late) == (Status.COMPLETED, True)
    assert await world.events() == ["payment.canceled", "payment.completed"]


async def test_late_money_waits_for_a_person_where_the_method_holds_it() -> None:
    world = World(late_payments_complete=False)
    payment = await _expired(world)

    await _pay_late(world)

    after = await world.newest(payment)
    assert after.status is Status.EXPIRED
    assert after.attention == {Attention.PAID_AFTER_CLOSE}
    assert await world.events() == ["payment.canceled", "payment.attention"]


@pytest.mark.parametrize(
    ("completes", "status"), [(True, Status.COMPLETED), (False, Status.EXPIRED)]
)
async def test_the_rules_of_the_method_hold_for_each_piece_of_evidence(
    completes: bool, status: Status
) -> None:
    world = World(late_payments_complete=completes)
    payment = await _expired(world)
    world.clock.move(hours=1)

    after = await world.settle.settle(payment, _receipt("r1", 14900), CALLER)

    assert after.status is status


async def _expired(world: World) -> Payment:
    payment = await world.initiate()
    after = await world.work_until_done(payment)
    assert after.status is Status.EXPIRED
    return after


async def _pay_late(world: World) -> None:
    world.clock.move(hours=1)
    assert world.provider.object.status is ProviderStatus.CANCELED
    await world.pay()
    await world.settle_and_publish()


def _receipt(name: str, amount: int) -> tuple[Receipt, ...]:
    time = World().clock.now()
    return (Receipt(id=name, asset="USD", amount=amount, state=ReceiptState.CONFIRMED, time=time),)


@pytest.mark.parametrize("is_look", [False, True])
async def test_a_report_about_the_object_of_another_payment_is_a_contradiction_and_pays_nothing(
    world: World, is_look: bool
) -> None:
    first = await world.initiate()
    world.provider.replies["create"].append(OUTCOME_UNKNOWN)
    second = await world.initiate(idempotency_key="key-2")
    world.provider.remote[0].pay()
    paid = attrs.evolve(world.provider.snapshot(world.provider.remote[0]), reference="obj_1")
    assert first.provider_reference == "obj_1"
    report = NotClosable(snapshot=paid) if is_look else paid

    after, wrote = await world.settle.apply(second, report, CALLER)

    assert (after.status, after.received, after.provider_reference) == (Status.CREATING, 0, None)
    [record] = after.attention_records
    said = "reported for this payment, but another payment has: obj_1"
    assert (record.reason, record.facts) == (Attention.CONFLICTING_EVIDENCE, {said})
    assert wrote
    assert await world.settle.apply(after, report, CALLER) == (after, False)


async def test_receipts_of_another_payment_are_named_and_the_rest_is_counted(
    world: World,
) -> None:
    owner = await world.initiate()
    await world.settle.settle(owner, _receipt("r1", 1) + _receipt("r2", 1), CALLER)
    other = await world.initiate(idempotency_key="key-2")
    mixed = _receipt("r1", 1) + _receipt("r2", 1) + _receipt("r3", 7)

    after, wrote = await world.settle.apply(other, mixed, CALLER)

    said = "reported for this payment, but another payment has: r1, r2"
    assert (after.received, wrote) == (7, True)
    [record] = after.attention_records
    assert (record.reason, record.facts) == (Attention.CONFLICTING_EVIDENCE, {said})
    *_, facts, conflict = await world.store.audit_trail(other.id)
    assert (facts.event_type, facts.details.get("reason")) == ("payment_processing", None)
    assert (conflict.event_type, conflict.details["reason"]) == ("attention_changed", said)


async def test_the_providers_object_of_another_payment_is_a_contradiction(world: World) -> None:
    first = await world.initiate()
    world.provider.replies["create"].append(OUTCOME_UNKNOWN)
    second = await world.initiate(idempotency_key="key-2")
    assert first.provider_reference is not None
    same = Created(reference=first.provider_reference, next_action=None)

    after = await world.settle.settle(second, same, CALLER)

    assert (after.status, after.provider_reference) == (Status.CREATING, None)
    assert after.attention == {Attention.CONFLICTING_EVIDENCE, *second.attention}
    assert await world.settle.apply(after, same, CALLER) == (after, False)
