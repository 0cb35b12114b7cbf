"""Reconciliation: what a provider has and what payd has are compared, both ways."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
from unit.service.fakes import NOON, UNANSWERED, created
from unit.service.world import World

from payd.domain.actors import RECONCILIATION
from payd.domain.attention import Attention
from payd.domain.evidence import Created, ProviderStatus, Snapshot
from payd.domain.next_action import Redirect
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundSnapshot, RefundState
from payd.plugins.interface import Found, ObjectPage, PaymentRef, RemoteObject
from payd.ports import Answer, Reconciliation
from payd.service import reconcile
from payd.service.operation import payment_ref

ELSEWHERE = UUID(int=404)


@pytest.fixture
async def paid_unheard(world: World) -> Payment:
    """Paid at the provider; no report reached payd."""
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


async def test_a_result_says_of_whom_it_is_and_when_the_comparison_began_and_ended(
    world: World,
) -> None:
    payment = await world.initiate()
    world.clock.move(minutes=11)
    start = world.clock.now()

    async def slow(ref: Any) -> Answer:
        assert ref == payment_ref(payment)
        world.clock.move(seconds=7)
        return UNANSWERED

    world.provider.replies["fetch"] = [slow]
    result = await compared(world)

    assert result == Reconciliation(
        provider="mock",
        since=start - timedelta(hours=48),
        until=start - timedelta(minutes=10),
        start_time=start,
        end_time=start + timedelta(seconds=7),
        objects=0,
        payments=1,
        findings=(),
    )
    assert await world.inbox.read_cursor("mock", "objects") == start.isoformat()


async def test_a_payment_that_nobody_reported_is_settled(
    world: World, paid_unheard: Payment
) -> None:
    result = await compared(world, listed(world, paid_unheard))

    [finding] = result.findings
    assert finding == {
        "kind": "payment_behind",
        "reference": "obj_1",
        "payment_id": str(paid_unheard.id),
        "detail": "PENDING->COMPLETED",
    }
    assert await world.events() == ["payment.completed"]
    assert await settler(world, paid_unheard) == RECONCILIATION


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
    assert finding == {
        "kind": "object_without_payment",
        "reference": "cs_second",
        "payment_id": str(ELSEWHERE),
        "detail": "OPEN, received 700 USD",
    }
    assert world.provider.calls == []


async def test_objects_of_other_software_are_ignored(world: World) -> None:
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

    assert result.findings == (
        {
            "kind": "second_object",
            "reference": "cs_second",
            "payment_id": str(payment.id),
            "detail": "closed",
        },
    )
    assert closed == [attrs.evolve(payment_ref(payment), reference="cs_second")]
    assert (await world.newest(payment)).attention == frozenset()


async def test_a_second_object_that_was_paid_first_is_for_a_person_to_match(world: World) -> None:
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
    assert await settler(world, payment) == RECONCILIATION


async def test_a_second_paid_object_is_for_a_person_to_match(world: World) -> None:
    payment = await world.initiate()
    second = an_object(payment.id, status=ProviderStatus.PAID, received=14900)

    result = await compared(world, listed(world, payment), second)

    assert kinds(result) == ["second_object"]
    assert world.provider.calls == ["create"]
    assert (await world.newest(payment)).attention == {Attention.CONFLICTING_EVIDENCE}
    assert await settler(world, payment) == RECONCILIATION


async def test_an_object_that_outlived_its_payment_is_closed(world: World) -> None:
    payment = await world.payment_in(Status.CANCELED)
    world.provider.object.status = ProviderStatus.OPEN

    result = await compared(world, listed(world, payment))

    assert kinds(result) == ["open_after_close"]
    assert world.provider.payable == []


async def test_a_payment_whose_object_the_provider_does_not_know_is_flagged(world: World) -> None:
    payment = await world.initiate()
    world.clock.move(minutes=11)
    world.provider.replies["fetch"] = [Answer(evidence=(), is_missing=True)]

    result = await compared(world)

    [finding] = result.findings
    assert finding == {
        "kind": "payment_without_object",
        "reference": "obj_1",
        "payment_id": str(payment.id),
        "detail": "PENDING",
    }
    [record] = (await world.newest(payment)).attention_records
    assert (record.reason, record.facts) == (
        Attention.CONFLICTING_EVIDENCE,
        {"object obj_1 is missing"},
    )
    assert await settler(world, payment) == RECONCILIATION


async def test_all_payments_of_the_window_are_looked_for(world: World) -> None:
    """One is listed, one is found by its reference, and the third one is missing."""
    payments = [await world.initiate(idempotency_key=f"key-{n}") for n in range(3)]
    world.clock.move(minutes=11)
    shown = Created(reference="obj_1", next_action=None)
    world.provider.replies["fetch"] = [UNANSWERED, Answer(evidence=(), is_missing=True)]

    result = await compared(world, an_object(payments[0].id, shown))

    assert (result.objects, result.payments) == (1, 3)
    assert [finding["reference"] for finding in result.findings] == ["obj_3"]


async def test_a_stranger_in_the_list_does_not_hide_what_is_listed_after_it(
    world: World, paid_unheard: Payment
) -> None:
    stranger = attrs.evolve(an_object(ELSEWHERE), payment_id=None)

    result = await compared(world, stranger, listed(world, paid_unheard))

    assert kinds(result) == ["payment_behind"]


async def test_an_object_that_a_fetch_finds_after_all_is_settled(
    world: World, paid_unheard: Payment
) -> None:
    world.clock.move(minutes=11)

    result = await compared(world)

    assert result.findings == ()
    assert (await world.newest(paid_unheard)).status is Status.COMPLETED
    assert await settler(world, paid_unheard) == RECONCILIATION


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
    assert (result.objects, world.provider.object_cursors) == (2, [None, "cs_second"])


async def test_a_list_that_ends_early_proves_nothing(world: World) -> None:
    payment = await world.initiate()
    world.clock.move(minutes=11)
    world.provider.object_pages = [ObjectPage(objects=(), cursor="cs_9"), None]

    assert await world.reconcile.work(world.port) is None

    assert world.results.results == []
    assert await world.newest(payment) == payment


async def test_a_list_whose_cursor_does_not_move_proves_nothing(world: World) -> None:
    stuck = ObjectPage(objects=(), cursor="cs_9")
    world.provider.object_pages = [stuck, stuck, stuck]
    assert await world.reconcile.work(world.port) is None
    assert world.results.results == []


async def test_a_list_without_an_end_proves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "PAGES_MAX", 3)
    endless = [ObjectPage(objects=(), cursor=f"cs_{number}") for number in range(5)]
    world.provider.object_pages = list(endless)
    assert await world.reconcile.work(world.port) is None
    assert world.results.results == []


async def test_what_a_list_showed_before_it_ended_early_is_settled(
    world: World, paid_unheard: Payment
) -> None:
    page = ObjectPage(objects=(listed(world, paid_unheard),), cursor="cs_9")
    world.provider.object_pages = [page, None]

    assert await world.reconcile.work(world.port) is None

    assert (await world.newest(paid_unheard)).status is Status.COMPLETED


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


async def test_a_fetch_without_an_answer_is_no_finding(world: World) -> None:
    payment = await world.initiate()
    world.clock.move(minutes=11)
    world.provider.replies["fetch"] = [UNANSWERED]

    result = await compared(world)

    assert (result.payments, result.findings) == (1, ())
    assert await world.newest(payment) == payment


async def test_a_payment_without_a_reference_is_not_missed(world: World) -> None:
    payment = await world.payment_in(Status.CREATING)
    world.clock.move(minutes=11)

    result = await compared(world)

    assert (result.payments, result.findings, world.provider.calls) == (0, (), [])
    assert await world.newest(payment) == payment


async def test_what_is_older_than_the_window_is_not_missed(world: World) -> None:
    await world.payment_in(Status.CANCELED)
    world.clock.time += world.reconcile.window + timedelta(seconds=1)

    result = await compared(world)

    assert (result.payments, result.findings, world.provider.calls) == (0, (), [])


async def test_the_provider_is_asked_for_more_than_what_payd_made_in_the_window(
    world: World,
) -> None:
    now = world.clock.now()

    result = await compared(world)

    [(since, until)] = world.provider.listings
    assert (since, until) == (result.since - timedelta(hours=1), now)
    assert (result.since, result.until) == (
        now - world.reconcile.window,
        now - world.reconcile.margin,
    )


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.FAILED])
async def test_an_open_object_of_a_closed_payment_is_closed(world: World, status: Status) -> None:
    if status is Status.FAILED:
        payment = await world.initiate()
        world.provider.object.status = ProviderStatus.DECLINED
        await world.report(world.provider.object)
        await world.intake_pass()
        payment = await world.newest(payment)
    else:
        payment = await world.payment_in(status)
    assert payment.status is status
    world.provider.object.status = ProviderStatus.OPEN

    result = await compared(world, listed(world, payment))

    assert kinds(result) == ["open_after_close"]
    assert result.findings[0]["detail"] == "closed"
    assert world.provider.payable == []
    assert (await world.newest(payment)).status is status


async def test_an_object_of_a_closed_payment_that_was_paid_just_now_is_settled(
    world: World,
) -> None:
    payment = await world.payment_in(Status.CANCELED)
    world.provider.object.status = ProviderStatus.OPEN
    shown = listed(world, payment)
    world.provider.object.pay()

    result = await compared(world, shown)

    assert result.findings[0]["detail"] == "closed, see attention"
    assert (await world.newest(payment)).attention == {Attention.PAID_AFTER_CLOSE}


async def test_a_second_object_that_died_unpaid_is_recorded_and_left(world: World) -> None:
    payment = await world.initiate()
    second = an_object(payment.id, status=ProviderStatus.EXPIRED)

    result = await compared(world, listed(world, payment), second)

    assert [finding["detail"] for finding in result.findings] == ["EXPIRED"]
    assert world.provider.calls == ["create"]
    assert (await world.newest(payment)).attention == frozenset()


async def test_a_closed_object_of_a_closed_payment_is_no_finding(world: World) -> None:
    payment = await world.payment_in(Status.CANCELED)

    result = await compared(world, listed(world, payment))

    assert (result.findings, world.provider.calls) == ((), [])


async def test_an_object_listed_twice_is_found_once(world: World, paid_unheard: Payment) -> None:
    shown = listed(world, paid_unheard)

    result = await compared(world, shown, shown)

    assert kinds(result) == ["payment_behind"]
    assert await world.events() == ["payment.completed"]


async def test_a_comparison_done_twice_finds_once(world: World, paid_unheard: Payment) -> None:
    shown = listed(world, paid_unheard)

    assert kinds(await compared(world, shown)) == ["payment_behind"]
    assert kinds(await compared(world, shown)) == []


async def test_a_payment_that_its_provider_does_not_know_is_flagged_once_and_found_each_day(
    world: World,
) -> None:
    payment = await world.initiate()
    for _ in range(2):
        world.clock.move(minutes=11)
        world.provider.replies["fetch"] = [Answer(evidence=(), is_missing=True)]
        assert kinds(await compared(world)) == ["payment_without_object"]

    assert (await world.trail(payment)).count("attention_changed") == 1


async def test_a_comparison_that_did_not_end_is_due_again_when_its_lease_ends(
    world: World,
) -> None:
    [provider] = await world.reconcile.claim_batch()
    world.provider.object_pages = [None]
    assert await world.reconcile.work(provider) is None
    assert await world.reconcile.claim_batch() == []

    world.clock.move(seconds=world.reconcile.lease_s)

    assert await world.reconcile.claim_batch() == [world.port]


# -- what a finding must not claim ---------------------------------------------------------------


async def test_a_second_object_that_the_provider_did_not_close_is_not_reported_as_closed(
    world: World,
) -> None:
    payment = await world.initiate()
    world.provider.replies["close"] = [UNANSWERED]

    result = await compared(world, listed(world, payment), an_object(payment.id))

    assert result.findings[0]["detail"] == "not closed: no answer"


async def test_an_object_that_outlived_its_payment_and_is_not_closed_is_not_reported_as_closed(
    world: World,
) -> None:
    payment = await world.payment_in(Status.CANCELED)
    world.provider.object.status = ProviderStatus.OPEN
    world.provider.replies["close"] = [UNANSWERED]

    result = await compared(world, listed(world, payment))

    assert not result.findings[0]["detail"].startswith("closed")


async def test_the_money_of_a_second_object_does_not_count_though_its_snapshot_names_none(
    world: World,
) -> None:
    payment = await world.initiate()
    second = an_object(payment.id, status=ProviderStatus.PAID, received=14900)
    shown = attrs.evolve(second.found.snapshot, reference=None)
    second = attrs.evolve(second, found=attrs.evolve(second.found, snapshot=shown))

    await compared(world, listed(world, payment), second)

    after = await world.newest(payment)
    assert (after.status, after.confirmed) == (Status.PENDING, 0)
    assert after.attention == {Attention.CONFLICTING_EVIDENCE}


async def test_closing_a_second_object_closes_no_payment_though_its_snapshot_names_none(
    world: World,
) -> None:
    payment = await world.initiate()
    gone = attrs.evolve(snapshot(ProviderStatus.EXPIRED), reference=None)
    world.provider.replies["close"] = [Answer(evidence=(gone,))]

    await compared(world, listed(world, payment), an_object(payment.id))

    assert await world.newest(payment) == payment


async def test_a_refund_that_nobody_reported_is_found(world: World) -> None:
    payment = await world.payment_in(Status.COMPLETED)
    shown = listed(world, payment)
    report = RefundSnapshot(
        reference="re_1", state=RefundState.SUCCEEDED, asset="USD", amount=100, time=NOON
    )
    refunded = attrs.evolve(shown.found.snapshot, refunds=(report,))

    for _ in range(2):
        same = attrs.evolve(shown, found=attrs.evolve(shown.found, snapshot=refunded))
        await compared(world, same)

    after = await world.newest(payment)
    assert (after.attention, after.refunded) == ({Attention.REFUNDED_EXTERNALLY}, 100)
    assert after.version == payment.version + 1


@pytest.mark.parametrize("fee", [1, 46])
async def test_a_fee_that_nobody_reported_is_found(world: World, fee: int) -> None:
    payment = await world.payment_in(Status.COMPLETED)
    shown = listed(world, payment)
    charged = attrs.evolve(shown.found.snapshot, fee=fee)

    await compared(world, attrs.evolve(shown, found=attrs.evolve(shown.found, snapshot=charged)))

    assert (await world.newest(payment)).fee == fee


# -- words for the above ---------------------------------------------------------------------


async def compared(world: World, *objects: RemoteObject) -> Reconciliation:
    world.provider.object_pages = [ObjectPage(objects=objects, cursor=None)]
    result = await world.reconcile.work(world.port)
    assert result is not None
    return result


async def settler(world: World, payment: Payment) -> str:
    """The actor of the payment's last change."""
    *_, last = await world.store.audit_trail(payment.id)
    return last.actor


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
