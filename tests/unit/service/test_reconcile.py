"""Reconciliation: what a provider has and what payd has are compared, both ways."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
from unit.service.fakes import created
from unit.service.world import World

from payd.domain.evidence import Created, ProviderStatus, Redirect, Snapshot
from payd.domain.payment import Attention, Payment, Status
from payd.plugins.interface import Found, ObjectPage, PaymentRef, RemoteObject
from payd.ports import Answer, Reconciliation

ELSEWHERE = UUID(int=404)


@pytest.fixture
async def paid_unheard(world: World) -> Payment:
    """Paid at the provider; nothing told payd."""
    payment = await world.initiate()
    world.provider.object.pay()
    return payment


async def test_where_both_sides_agree_nothing_is_found(world: World) -> None:
    payment = await world.initiate()
    world.clock.move(minutes=11)

    result = await compared(world, listed(world, payment))

    assert (result.objects, result.payments, result.findings) == (1, 1, ())
    assert world.results.results == [result]
    assert await world.newest(payment) == payment


async def test_a_payment_that_nobody_reported_is_settled(
    world: World, paid_unheard: Payment
) -> None:
    result = await compared(world, listed(world, paid_unheard))

    assert kinds(result) == ["payment_behind"]
    assert result.findings[0]["detail"] == "PENDING->COMPLETED"
    assert await world.events() == ["payment.completed"]


async def test_a_lost_answer_is_found_and_adopted(world: World) -> None:
    payment = await world.payment_in(Status.CREATING)
    late = Created(reference="cs_1", next_action=Redirect(url="https://pay.example/cs_1"))

    result = await compared(world, an_object(payment.id, late))

    assert kinds(result) == ["payment_behind"]
    after = await world.newest(payment)
    assert (after.status, after.provider_reference) == (Status.PENDING, "cs_1")


async def test_money_for_a_closed_payment_that_nobody_reported_is_found(world: World) -> None:
    payment = await world.payment_in(Status.EXPIRED)
    world.provider.object.pay()

    result = await compared(world, listed(world, payment))

    assert kinds(result) == ["payment_behind"]
    assert (await world.newest(payment)).late


async def test_news_that_changes_no_status_is_no_finding(world: World) -> None:
    payment = await world.payment_in(Status.CANCELED)
    world.provider.object.pay()

    result = await compared(world, listed(world, payment))

    assert kinds(result) == []
    assert Attention.PAID_AFTER_CLOSE in (await world.newest(payment)).attention


async def test_an_object_whose_payment_payd_does_not_have_is_reported_and_left_alone(
    world: World,
) -> None:
    result = await compared(world, an_object(ELSEWHERE, received=700))

    [finding] = result.findings
    assert finding["kind"] == "object_without_payment"
    assert finding["payment_id"] == str(ELSEWHERE)
    assert finding["detail"] == "OPEN, received 700 USD"
    assert world.provider.calls == []


async def test_objects_of_other_software_are_not_looked_at(world: World) -> None:
    stranger = attrs.evolve(an_object(ELSEWHERE), payment_id=None)

    result = await compared(world, stranger)

    assert result.findings == ()
    assert world.provider.calls == []


async def test_a_second_open_object_is_closed(world: World) -> None:
    payment = await world.initiate()
    closed: list[PaymentRef] = []

    async def close(ref: Any) -> Answer:
        closed.append(ref)
        gone = attrs.evolve(snapshot(ProviderStatus.EXPIRED), reference="cs_second")
        return Answer(evidence=(gone,))

    world.provider.replies["close"] = [close]
    result = await compared(world, listed(world, payment), an_object(payment.id))

    assert kinds(result) == ["second_object"]
    assert [ref.reference for ref in closed] == ["cs_second"]
    assert result.findings[0]["detail"] == "closed"
    assert (await world.newest(payment)).attention == frozenset()


async def test_a_second_object_that_was_paid_first_is_a_persons_to_place(world: World) -> None:
    payment = await world.initiate()

    async def close(_: Any) -> Answer:
        paid = snapshot(ProviderStatus.PAID, received=14900)
        return Answer(evidence=(attrs.evolve(paid, reference="cs_second"),))

    world.provider.replies["close"] = [close]
    result = await compared(world, listed(world, payment), an_object(payment.id))

    assert result.findings[0]["detail"] == "closed, see attention"
    after = await world.newest(payment)
    assert (after.status, after.confirmed) == (Status.PENDING, 0)
    assert after.attention == {Attention.CONFLICTING_EVIDENCE}


async def test_a_second_paid_object_is_a_persons_to_place(world: World) -> None:
    payment = await world.initiate()
    second = an_object(payment.id, status=ProviderStatus.PAID, received=14900)

    result = await compared(world, listed(world, payment), second)

    assert kinds(result) == ["second_object"]
    assert world.provider.calls == ["create"]
    assert (await world.newest(payment)).attention == {Attention.CONFLICTING_EVIDENCE}


async def test_an_object_that_outlived_its_payment_is_closed(world: World) -> None:
    payment = await world.payment_in(Status.CANCELED)
    world.provider.object.status = ProviderStatus.OPEN

    result = await compared(world, listed(world, payment))

    assert kinds(result) == ["open_after_close"]
    assert world.provider.payable == []


async def test_a_payment_whose_object_the_provider_does_not_know_is_flagged(world: World) -> None:
    payment = await world.initiate()
    world.clock.move(minutes=11)
    world.provider.replies["look"] = [Answer(evidence=(), is_missing=True)]

    result = await compared(world)

    [finding] = result.findings
    assert finding["kind"] == "payment_without_object"
    assert finding["reference"] == payment.provider_reference
    assert (await world.newest(payment)).attention == {Attention.CONFLICTING_EVIDENCE}


async def test_an_object_that_a_look_finds_after_all_is_settled(
    world: World, paid_unheard: Payment
) -> None:
    world.clock.move(minutes=11)

    result = await compared(world)

    assert result.findings == ()
    assert (await world.newest(paid_unheard)).status is Status.COMPLETED


async def test_what_was_made_just_now_is_not_missed(world: World) -> None:
    await world.initiate()
    world.clock.move(minutes=9)

    result = await compared(world)

    assert (result.payments, result.findings) == (0, ())
    assert world.provider.calls == ["create"]


async def test_the_list_is_read_to_its_end(world: World, paid_unheard: Payment) -> None:
    world.provider.object_pages = [
        ObjectPage(objects=(an_object(ELSEWHERE),), cursor="cs_second"),
        ObjectPage(objects=(listed(world, paid_unheard),), cursor=None),
    ]

    result = await world.reconcile.work(world.port)

    assert result is not None
    assert kinds(result) == ["object_without_payment", "payment_behind"]


async def test_a_list_that_ends_early_proves_nothing(world: World) -> None:
    payment = await world.initiate()
    world.clock.move(minutes=11)
    world.provider.object_pages = [ObjectPage(objects=(), cursor="cs_9"), None]

    assert await world.reconcile.work(world.port) is None

    assert world.results.results == []
    assert await world.newest(payment) == payment


async def test_one_daemon_compares_once_a_day(world: World) -> None:
    assert await world.reconcile.claim_batch() == [world.port]
    assert await world.reconcile.claim_batch() == [], "another one has it"

    await compared(world)

    world.clock.time += world.reconcile.interval - timedelta(seconds=1)
    assert await world.reconcile.claim_batch() == []
    world.clock.move(seconds=1)
    assert await world.reconcile.claim_batch() == [world.port]


async def test_a_comparison_that_died_is_taken_up_when_its_lease_ends(world: World) -> None:
    assert await world.reconcile.claim_batch() == [world.port]

    world.clock.move(seconds=world.reconcile.lease_s)

    assert await world.reconcile.claim_batch() == [world.port]


async def test_a_provider_without_a_list_is_not_compared(world: World) -> None:
    world.provider.can_list_objects = False

    assert await world.reconcile.claim_batch() == []


# -- words for the above ---------------------------------------------------------------------


async def compared(world: World, *objects: RemoteObject) -> Reconciliation:
    world.provider.object_pages = [ObjectPage(objects=objects, cursor=None)]
    result = await world.reconcile.work(world.port)
    assert result is not None
    return result


def kinds(result: Reconciliation) -> Sequence[str]:
    return [finding["kind"] for finding in result.findings]


def listed(world: World, payment: Payment) -> RemoteObject:
    """The payment's own object, as the provider lists it."""
    known = world.provider.object
    shown = Found(created=created(known), snapshot=world.provider.snapshot(known))
    return RemoteObject(payment_id=payment.id, found=shown)


def snapshot(status: ProviderStatus, received: int = 0) -> Snapshot:
    return Snapshot(
        status=status,
        asset="USD",
        received=received,
        confirmed=received,
        as_of=World().clock.now(),
        reference="cs_second",
    )


def an_object(
    payment_id: UUID,
    made: Created | None = None,
    status: ProviderStatus = ProviderStatus.OPEN,
    received: int = 0,
) -> RemoteObject:
    """Another object than the payment's own."""
    made = made or Created(reference="cs_second", next_action=None)
    shown = attrs.evolve(snapshot(status, received), reference=made.reference)
    return RemoteObject(payment_id=payment_id, found=Found(created=made, snapshot=shown))
