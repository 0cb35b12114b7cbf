"""Refunds and disputes in the store: written, read and found with their payment."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import attrs
from contract.stores import CALLER, NOW, Stores, all_at_once, created, paid
from contract.test_payment_store import document, replay

from payd.domain.decide import Decision
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.next_action import Redirect, Show, ShowField, ShowKind
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundStatus
from payd.ports import Commit, Name, Position, RefundFilter

LEASE_S = 60.0
HOUR = timedelta(hours=1)
ALL = RefundFilter()


# -- with the payment ------------------------------------------------------------------------


async def test_a_refund_is_stored_and_read_with_its_payment(stores: Stores) -> None:
    payment = await _completed(stores)
    bare = a_refund()
    full = a_refund(
        status=RefundStatus.FAILED,
        amount=10**77,
        external=True,
        reason="damaged",
        destination="DE02 1203 0000 0000 2020 51",
        requester="operator",
        request_id="req-2",
        create_time=NOW + HOUR,
        complete_time=NOW + HOUR,
        asking=Asking.ANSWERED,
        ask_deadline=NOW + HOUR,
        provider_reference="re_1",
        next_action=Show(
            kind=ShowKind.BANK_TRANSFER,
            fields=(ShowField(label="IBAN", value="DE02", copyable=True),),
            expire_time=NOW + HOUR,
        ),
        failure=Failure(code="refused", message="The bank refused it."),
        checks=3,
    )

    written = await commit(stores, payment, refunds=(bare, full), fee=0)

    assert written.refunds == (bare, full)
    assert await stores.newest(payment) == written
    assert await stores.payments.get_by_key(payment.idempotency_key) == written
    assert await stores.payments.find("mock", str(payment.id)) == written
    name = Name("mock", str(payment.id))
    assert await stores.payments.find_all({name: ()}) == {name: written}


async def test_a_dispute_is_stored_and_read_with_its_payment(stores: Stores) -> None:
    payment = await _completed(stores)
    disputes = (
        a_dispute(),
        a_dispute(open_time=NOW + HOUR, reason="fraudulent", evidence_due_time=NOW + HOUR),
    )

    written = await commit(stores, payment, disputes=disputes)

    assert written.disputes == disputes
    assert await stores.newest(payment) == written


async def test_what_changes_in_a_refund_or_dispute_is_stored(stores: Stores) -> None:
    refund, other, dispute = a_refund(), a_refund(create_time=NOW + HOUR), a_dispute()
    payment = await _completed(stores)
    payment = await commit(stores, payment, refunds=(refund, other), disputes=(dispute,))

    succeeded = attrs.evolve(
        refund,
        status=RefundStatus.SUCCEEDED,
        amount=99,
        create_time=NOW - HOUR,
        update_time=NOW + HOUR,
        complete_time=NOW + HOUR,
        asking=Asking.ANSWERED,
        provider_reference="re_1",
        next_check_time=None,
    )
    lost = attrs.evolve(dispute, status=DisputeStatus.LOST, as_of=NOW + HOUR)
    written = await commit(stores, payment, refunds=(succeeded, other), disputes=(lost,))

    assert (written.refunds, written.disputes) == ((succeeded, other), (lost,))
    assert await stores.newest(payment) == written


async def test_refunds_are_read_oldest_first(stores: Stores) -> None:
    late, early = a_refund(create_time=NOW + HOUR), a_refund()
    payment = await commit(stores, await _completed(stores), refunds=(late, early))

    assert (await stores.newest(payment)).refunds == (early, late)


async def test_payments_with_and_without_refunds_are_read_together(stores: Stores) -> None:
    bare, with_refund, with_dispute = [await _completed(stores) for _ in range(3)]
    with_refund = await commit(stores, with_refund, refunds=(a_refund(),))
    with_dispute = await commit(stores, with_dispute, disputes=(a_dispute(),))
    payments = {Name("mock", str(p.id)): p for p in (with_refund, bare, with_dispute)}

    assert await stores.payments.find_all(dict.fromkeys(payments, ())) == payments


async def test_decisions_with_and_without_refunds_are_written_together(stores: Stores) -> None:
    first, second = [await _completed(stores) for _ in range(2)]
    commits = [
        Commit(before=first, decision=_decided(first, refunds=(a_refund(),)), origin=CALLER),
        Commit(before=second, decision=_decided(second, late=True), origin=CALLER),
    ]

    assert list(await stores.payments.commit_all(commits)) == [True, True]

    assert len((await stores.newest(first)).refunds) == 1
    assert (await stores.newest(second)).late


async def test_a_decision_on_an_old_version_writes_no_refund(stores: Stores) -> None:
    old = await _completed(stores)
    newest = await commit(stores, old, late=True)
    refund = a_refund()

    assert not await stores.payments.commit(old, _decided(old, refunds=(refund,)), CALLER)

    assert await stores.newest(old) == newest
    assert await stores.payments.get_refund(refund.id) is None


async def test_of_fifty_grants_at_once_on_one_payment_one_wins(stores: Stores) -> None:
    payment = await _completed(stores)
    decisions = [_decided(payment, refunds=(a_refund(),)) for _ in range(50)]

    won = await all_at_once(
        [partial(stores.payments.commit, payment, decision, CALLER) for decision in decisions]
    )

    assert sorted(won) == [False] * 49 + [True]
    assert len((await stores.newest(payment)).refunds) == 1


# -- what belongs to one refund or payment ---------------------------------------------------


async def test_a_key_of_another_refund_loses_and_writes_nothing(stores: Stores) -> None:
    refund = a_refund()
    await commit(stores, await _completed(stores), refunds=(refund,))
    payment = await _completed(stores)
    same_key = a_refund(idempotency_key=refund.idempotency_key)

    decision = _decided(payment, refunds=(same_key,))
    assert not await stores.payments.commit(payment, decision, CALLER)

    assert await stores.newest(payment) == payment
    assert await stores.payments.get_refund(same_key.id) is None


async def test_of_payments_that_use_one_key_at_once_one_gets_it(stores: Stores) -> None:
    payments = [await _completed(stores) for _ in range(20)]
    refunds = [a_refund(idempotency_key="the key") for _ in payments]

    won = await all_at_once(
        [
            partial(stores.payments.commit, payment, _decided(payment, refunds=(refund,)), CALLER)
            for payment, refund in zip(payments, refunds, strict=True)
        ]
    )

    assert sum(won) == 1
    found = await stores.payments.get_refund_by_key("the key")
    assert found is not None
    assert [payment.id for payment in payments if (await stores.newest(payment)).refunds] == [
        found[0].id
    ]


async def test_decisions_written_together_that_use_one_key_lose_but_for_one(
    stores: Stores,
) -> None:
    payments = [await _completed(stores) for _ in range(3)]
    commits = [
        Commit(
            before=payment,
            decision=_decided(payment, refunds=(a_refund(idempotency_key=key),)),
            origin=CALLER,
        )
        for payment, key in zip(payments, ("one key", "one key", "another"), strict=True)
    ]

    won = list(await stores.payments.commit_all(commits))

    assert sorted(won[:2]) == [False, True]
    assert won[2]


async def test_external_refunds_have_no_key_and_may_be_many(stores: Stores) -> None:
    external = [a_refund(idempotency_key="", external=True) for _ in range(3)]
    payment = await commit(stores, await _completed(stores), refunds=tuple(external[:2]))
    other = await commit(stores, await _completed(stores), refunds=(external[2],))

    assert len((await stores.newest(payment)).refunds) == 2
    assert len((await stores.newest(other)).refunds) == 1
    assert await stores.payments.get_refund_by_key("") is None


async def test_a_refund_of_the_provider_belongs_to_one_refund(stores: Stores) -> None:
    refund = a_refund(provider_reference="re_1")
    await commit(stores, await _completed(stores), refunds=(refund,))
    payment = await _completed(stores)

    decision = _decided(payment, refunds=(a_refund(provider_reference="re_1"),))
    assert not await stores.payments.commit(payment, decision, CALLER)
    assert await stores.newest(payment) == payment

    elsewhere = await stores.learn(await stores.add(provider="other"), created())
    await commit(stores, elsewhere, refunds=(a_refund(provider_reference="re_1"),))


async def test_a_dispute_belongs_to_one_payment(stores: Stores) -> None:
    dispute = a_dispute()
    await commit(stores, await _completed(stores), disputes=(dispute,))
    payment = await _completed(stores)

    assert not await stores.payments.commit(payment, _decided(payment, disputes=(dispute,)), CALLER)
    assert await stores.newest(payment) == payment


# -- audit trail -----------------------------------------------------------------------------


async def test_replaying_the_audit_trail_gives_the_stored_refunds_and_disputes(
    stores: Stores,
) -> None:
    first, second, dispute = a_refund(), a_refund(create_time=NOW + HOUR), a_dispute()
    payment = await _completed(stores)
    payment = await commit(stores, payment, refunds=(first,))
    payment = await commit(stores, payment, refunds=(first, second), disputes=(dispute,), fee=7)
    failed = attrs.evolve(
        first,
        status=RefundStatus.FAILED,
        failure=Failure(code="refused", message="The bank refused it."),
        next_check_time=None,
    )
    won = attrs.evolve(dispute, status=DisputeStatus.WON)
    payment = await commit(stores, payment, refunds=(failed, second), disputes=(won,))
    [(_, claimed), *_] = await stores.payments.claim_refund_checks(NOW + HOUR, 1, LEASE_S)
    assert claimed == second.id

    trail = await stores.payments.audit_trail(payment.id)

    stored = await stores.newest(payment)
    assert (stored.refunds[0], stored.disputes, stored.fee) == (failed, (won,), 7)
    assert replay(trail) == document(stored)
    *_, last = trail
    assert [row["id"] for row in last.details["refunds"]] == [str(first.id)]


# -- find ------------------------------------------------------------------------------------


async def test_a_refund_is_found_by_its_id_and_by_its_key(stores: Stores) -> None:
    refund, other = a_refund(), a_refund(create_time=NOW + HOUR)
    payment = await commit(stores, await _completed(stores), refunds=(refund, other))

    assert await stores.payments.get_refund(refund.id) == (payment, refund)
    assert await stores.payments.get_refund(other.id) == (payment, other)
    assert await stores.payments.get_refund_by_key(other.idempotency_key) == (payment, other)
    assert await stores.payments.get_refund(payment.id) is None
    assert await stores.payments.get_refund_by_key("no such key") is None


async def test_a_payment_is_found_by_the_id_of_its_refund(stores: Stores) -> None:
    refund = a_refund()
    payment = await commit(stores, await _completed(stores), refunds=(refund,))
    name, elsewhere = Name("mock", str(refund.id)), Name("other", str(refund.id))

    assert await stores.payments.find("mock", str(refund.id)) == payment
    assert await stores.payments.find("other", str(refund.id)) is None
    assert await stores.payments.find_all({name: (), elsewhere: ()}) == {name: payment}


# -- list ------------------------------------------------------------------------------------


async def test_refunds_are_listed_newest_first_by_pages(stores: Stores) -> None:
    refunds = [a_refund(create_time=NOW + n // 2 * HOUR) for n in range(7)]
    payments = [
        await commit(stores, await _completed(stores), refunds=(refunds[0],)),
        await commit(stores, await _completed(stores), refunds=tuple(refunds[1:])),
    ]
    wanted = sorted(refunds, key=lambda one: (one.create_time, one.id), reverse=True)

    listed: list[tuple[Payment, Refund]] = []
    while len(page := await stores.payments.list_refunds(ALL, _after(listed), 3)) == 3:
        listed += page
    listed += page

    assert [refund for _, refund in listed] == wanted
    assert listed[-1][0] == payments[0] or listed[-2][0] == payments[0]
    assert await stores.payments.list_refunds(ALL, _after(listed), 3) == []


async def test_refunds_are_listed_by_payment_and_by_status(stores: Stores) -> None:
    open_one = a_refund()
    done = a_refund(status=RefundStatus.SUCCEEDED, next_check_time=None, create_time=NOW + HOUR)
    gone = a_refund(status=RefundStatus.FAILED, next_check_time=None)
    payment = await commit(stores, await _completed(stores), refunds=(open_one, done))
    await commit(stores, await _completed(stores), refunds=(gone,))

    async def listed(*statuses: RefundStatus, of: UUID | None = None) -> list[UUID]:
        wanted = RefundFilter(payment_id=of, statuses=frozenset(statuses))
        return [refund.id for _, refund in await stores.payments.list_refunds(wanted, None, 10)]

    assert await listed(of=payment.id) == [done.id, open_one.id]
    assert await listed(RefundStatus.CREATING, of=payment.id) == [open_one.id]
    assert await listed(RefundStatus.FAILED, of=payment.id) == []
    assert await listed(RefundStatus.SUCCEEDED, RefundStatus.CREATING) == [done.id, open_one.id]
    assert await listed(RefundStatus.FAILED) == [gone.id]
    assert await listed(of=uuid4()) == []
    after = Position(done.create_time, done.id)
    of_payment = RefundFilter(payment_id=payment.id)
    assert await stores.payments.list_refunds(of_payment, after, 1) == [
        (await stores.newest(payment), open_one)
    ]


# -- status checks ---------------------------------------------------------------------------


async def test_refunds_are_claimed_when_their_check_is_due(stores: Stores) -> None:
    due, later = a_refund(), a_refund(next_check_time=NOW + 2 * HOUR, create_time=NOW + HOUR)
    never = a_refund(status=RefundStatus.AWAITING_TRANSFER, next_check_time=None)
    payment = await commit(stores, await _completed(stores), refunds=(due, never, later))

    [(found, claimed)] = await stores.payments.claim_refund_checks(NOW + HOUR, 10, LEASE_S)

    assert claimed == due.id
    assert (found.id, found.version) == (payment.id, payment.version)
    [in_check] = [refund for refund in found.refunds if refund.id == due.id]
    assert in_check.checks == due.checks + 1
    assert in_check.next_check_time == NOW + HOUR + timedelta(seconds=LEASE_S)
    assert await stores.payments.claim_refund_checks(NOW + HOUR, 10, LEASE_S) == []


async def test_a_claim_ends_with_its_lease(stores: Stores) -> None:
    await commit(stores, await _completed(stores), refunds=(a_refund(),))
    await stores.payments.claim_refund_checks(NOW + HOUR, 10, LEASE_S)

    later = NOW + HOUR + timedelta(seconds=LEASE_S)
    assert len(await stores.payments.claim_refund_checks(later, 10, LEASE_S)) == 1


async def test_each_check_goes_to_one_of_many_claimers(stores: Stores) -> None:
    refunds = [a_refund() for _ in range(12)]
    for some in (refunds[:6], refunds[6:]):
        await commit(stores, await _completed(stores), refunds=tuple(some))

    claim = partial(stores.payments.claim_refund_checks, NOW + HOUR, 3, LEASE_S)
    batches = await all_at_once([claim] * 8)
    batches.append(await stores.payments.claim_refund_checks(NOW + HOUR, 12, LEASE_S))

    claimed = sorted(refund_id for batch in batches for _, refund_id in batch)
    assert claimed == sorted(refund.id for refund in refunds)


async def test_a_check_is_scheduled_while_the_refund_is_unchanged(stores: Stores) -> None:
    refund = a_refund()
    payment = await commit(stores, await _completed(stores), refunds=(refund,))

    await stores.payments.schedule_refund_check(refund, NOW + 2 * HOUR)
    assert await stores.payments.claim_refund_checks(NOW + HOUR, 10, LEASE_S) == []
    assert len(await stores.payments.claim_refund_checks(NOW + 2 * HOUR, 10, 0)) == 1

    changed = attrs.evolve(refund, update_time=NOW + HOUR)
    await commit(stores, payment, refunds=(changed,))
    await stores.payments.schedule_refund_check(refund, NOW + 9 * HOUR)
    assert len(await stores.payments.claim_refund_checks(NOW + HOUR, 10, LEASE_S)) == 1

    done = attrs.evolve(changed, status=RefundStatus.SUCCEEDED, next_check_time=None)
    newest = await stores.newest(payment)
    await commit(stores, newest, refunds=(done,))
    await stores.payments.schedule_refund_check(done, NOW)
    assert await stores.payments.claim_refund_checks(NOW + HOUR, 10, LEASE_S) == []


# -- words for the above ---------------------------------------------------------------------


def a_refund(**overrides: Any) -> Refund:
    """1.00 USD, requested now and to be checked now."""
    fields: dict[str, Any] = {
        "id": uuid4(),
        "status": RefundStatus.CREATING,
        "amount": 100,
        "idempotency_key": f"key-{uuid4()}",
        "request_hash": bytes(range(32)),
        "create_time": NOW,
        "update_time": NOW,
        "next_check_time": NOW,
    }
    fields |= overrides
    if "next_check_time" not in overrides and fields["status"] not in _CHECKED:
        fields["next_check_time"] = None
    return Refund(**fields)


_CHECKED = (RefundStatus.CREATING, RefundStatus.PENDING)


def a_dispute(**overrides: Any) -> Dispute:
    """A dispute of 1.00 USD, opened now."""
    fields: dict[str, Any] = {
        "id": f"dp_{uuid4()}",
        "status": DisputeStatus.NEEDS_RESPONSE,
        "asset": "USD",
        "amount": 100,
        "open_time": NOW,
        "as_of": NOW,
    }
    return Dispute(**{**fields, **overrides})


async def _completed(stores: Stores) -> Payment:
    payment = await stores.learn(await stores.add(), created(next_action=Redirect(url="https://x")))
    return await stores.learn(payment, paid(payment))


def _decided(payment: Payment, **changes: Any) -> Decision:
    """A decision that changes only this; the rules of refunds are no matter of the store."""
    after = attrs.evolve(payment, version=payment.version + 1, **changes)
    return Decision(payment=after, audit_event="refund_changed")


async def commit(stores: Stores, payment: Payment, **changes: Any) -> Payment:
    """The payment as it is stored after the change."""
    assert await stores.payments.commit(payment, _decided(payment, **changes), CALLER)
    return await stores.newest(payment)


def _after(listed: Sequence[tuple[Payment, Refund]]) -> Position | None:
    if not listed:
        return None
    _, last = listed[-1]
    return Position(last.create_time, last.id)
