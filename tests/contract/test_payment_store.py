"""The payment store: one payment per key, one writer per version, one audit row per change."""

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from operator import itemgetter
from random import Random
from typing import Any
from uuid import uuid4

import attrs
import pytest
import trio
import trio.testing
from contract.stores import CALLER, NOW, Stores, a_new_payment, all_at_once, created, paid

from payd.adapters.columns import (
    dispute_row,
    dumps,
    item_rows,
    payment_row,
    receipt_rows,
    refund_row,
)
from payd.adapters.events import AuditRow
from payd.domain.decide import Decision, decide
from payd.domain.evidence import (
    AskAgain,
    CancelRequested,
    Conflict,
    Created,
    Declined,
    Evidence,
    Observation,
    OutcomeUnknown,
    Receipt,
    ReceiptState,
)
from payd.domain.outcome import Asking
from payd.domain.payment import Customer, Origin, Payment, Status
from payd.domain.text import ALIASES_MAX, NAME_MAX
from payd.ports import Commit, Name

LEASE_S = 60.0
WORKER = Origin(actor="recovery", request_id="pass-9")
HOUR = timedelta(hours=1)


# -- insert ----------------------------------------------------------------------------------


async def test_a_new_payment_is_stored_as_it_was_given(stores: Stores) -> None:
    payment = a_new_payment()

    assert await stores.payments.insert(payment, CALLER) == payment

    assert await stores.payments.get(payment.id) == payment
    assert await stores.payments.get_by_key(payment.idempotency_key) == payment


async def test_the_longest_names_that_a_provider_may_give_fit_every_index(stores: Stores) -> None:
    """Of characters that take four bytes, and that do not compress."""
    random = Random(7)

    def a_name() -> str:
        return "".join(chr(random.randrange(0x1F300, 0x1FAFF)) for _ in range(NAME_MAX))

    aliases = tuple(a_name() for _ in range(ALIASES_MAX))
    created_so = created(reference=a_name(), aliases=aliases)
    payment = await stores.learn(await stores.add(), created_so)
    receipt = Receipt(
        id=a_name(), asset="USD", amount=1, state=ReceiptState.CONFIRMED, time=payment.create_time
    )
    await stores.learn(payment, (receipt,))

    assert payment.provider_reference == created_so.reference
    for name in (created_so.reference, aliases[0], aliases[-1]):
        found = await stores.payments.find("mock", name)
        assert found is not None
        assert found.id == payment.id


async def test_what_was_never_written_is_not_there(stores: Stores) -> None:
    assert await stores.payments.get(uuid4()) is None
    assert await stores.payments.get_by_key("no such key") is None
    assert await stores.payments.find("mock", "no such reference") is None
    assert await stores.payments.await_answer(uuid4(), 30) is None
    assert list(await stores.payments.audit_trail(uuid4())) == []


async def test_the_same_key_again_gives_the_first_payment_and_writes_nothing(
    stores: Stores,
) -> None:
    first = await stores.add()
    moved = attrs.evolve(first.customer, email="other@example.org")
    second = a_new_payment(
        idempotency_key=first.idempotency_key, items=first.items * 2, customer=moved
    )

    assert await stores.payments.insert(second, CALLER) == first

    assert await stores.newest(first) == first
    assert await stores.payments.get(second.id) is None
    assert list(await stores.payments.audit_trail(second.id)) == []


async def test_the_same_key_again_gives_the_payment_as_it_stands_now(stores: Stores) -> None:
    first = await stores.add()
    pending = await stores.learn(first, created())

    assert await stores.payments.insert(attrs.evolve(first, id=uuid4()), CALLER) == pending


async def test_keys_that_differ_in_case_are_two(stores: Stores) -> None:
    lower = await stores.add(idempotency_key="order-a")
    upper = await stores.add(idempotency_key="ORDER-A")

    assert await stores.payments.get_by_key("order-a") == lower
    assert await stores.payments.get_by_key("ORDER-A") == upper


async def test_fifty_inserts_of_one_key_at_once_give_one_payment(stores: Stores) -> None:
    rivals = [a_new_payment(idempotency_key="the key") for _ in range(50)]

    answers = await all_at_once([partial(stores.payments.insert, p, CALLER) for p in rivals])

    winner = answers[0]
    assert answers == [winner] * 50
    stored = [await stores.payments.get(payment.id) for payment in rivals]
    assert [payment for payment in stored if payment] == [winner]


async def test_fifty_payments_of_one_customer_at_once_are_all_stored(stores: Stores) -> None:
    customer = Customer(id="user-1", email="user@example.org")
    payments = [a_new_payment(customer=customer) for _ in range(50)]

    await all_at_once([partial(stores.payments.insert, p, CALLER) for p in payments])

    assert [await stores.newest(payment) for payment in payments] == payments


async def test_a_returning_customer_brings_a_new_address(stores: Stores) -> None:
    first = await stores.add(customer=Customer(id="user-1", email="old@example.org"))
    moved = Customer(id="user-1", email="new@example.org", wallet_address="0x" + "1f" * 20)

    second = await stores.add(customer=moved)

    assert (await stores.newest(second)).customer == moved
    assert (await stores.newest(first)).customer == moved


async def test_what_a_later_payment_leaves_out_of_a_customer_is_kept(stores: Stores) -> None:
    whole = Customer(id="user-1", email="user@example.org", wallet_address="0x" + "1f" * 20)
    first = await stores.add(customer=whole)

    await stores.add(customer=Customer(id="user-1"))
    assert (await stores.newest(first)).customer == whole

    later = await stores.add(customer=Customer(id="user-1", email="new@example.org"))
    assert (await stores.newest(later)).customer == attrs.evolve(whole, email="new@example.org")


async def test_payments_of_one_customer_at_once_lose_nothing_that_one_of_them_brings(
    stores: Stores,
) -> None:
    wallet = "0x" + "1f" * 20
    brought = [
        Customer(id="user-1"),
        Customer(id="user-1", email="user@example.org"),
        Customer(id="user-1"),
        Customer(id="user-1", wallet_address=wallet),
        Customer(id="user-1"),
    ]
    payments = [a_new_payment(customer=customer) for customer in brought]

    await all_at_once([partial(stores.payments.insert, p, CALLER) for p in payments])

    whole = Customer(id="user-1", email="user@example.org", wallet_address=wallet)
    assert [(await stores.newest(payment)).customer for payment in payments] == [whole] * 5


# -- commit ----------------------------------------------------------------------------------


async def test_a_decision_on_the_newest_version_is_written(stores: Stores) -> None:
    payment = await stores.add()
    decision = _decided(payment, created())

    assert await stores.payments.commit(payment, decision, CALLER)

    assert await stores.newest(payment) == decision.payment
    assert await stores.payments.get_by_key(payment.idempotency_key) == decision.payment


async def test_a_decision_on_an_old_version_writes_nothing(stores: Stores) -> None:
    old = await stores.add()
    pending = await stores.learn(old, created())
    trail = await stores.payments.audit_trail(old.id)

    assert not await stores.payments.commit(old, _decided(old, paid(old)), CALLER)

    assert await stores.newest(old) == pending
    assert await stores.payments.audit_trail(old.id) == trail
    assert await stores.outbox.depth() == (0, 0.0)


async def test_the_providers_object_of_another_payment_is_not_written(stores: Stores) -> None:
    first = await stores.learn(await stores.add(), created(reference="cs_1"))
    second, third = await stores.add(), await stores.add()
    taken, free = [
        decide(payment, created(reference=reference), NOW)
        for payment, reference in ((second, "cs_1"), (third, "cs_3"))
    ]
    assert taken is not None
    assert free is not None

    commits = [
        Commit(before=second, decision=taken, origin=CALLER),
        Commit(before=third, decision=free, origin=CALLER),
    ]
    assert await stores.payments.commit_all(commits) == [False, True]

    assert await stores.payments.find("mock", "cs_1") == await stores.newest(first)
    assert await stores.newest(second) == second


async def test_a_commit_keeps_the_count_of_checks_that_were_claimed_meanwhile(
    stores: Stores,
) -> None:
    payment = await stores.add(next_check_time=NOW)
    [claimed] = await stores.payments.claim_status_checks(NOW, 1, 60)
    decision = decide(payment, Conflict(detail="other content"), NOW)
    assert decision is not None

    assert await stores.payments.commit(payment, decision, CALLER)

    assert (await stores.newest(payment)).checks == claimed.checks == 1


async def test_a_decision_about_an_unknown_payment_writes_nothing(stores: Stores) -> None:
    stranger = a_new_payment()

    assert not await stores.payments.commit(stranger, _decided(stranger, created()), CALLER)

    assert await stores.payments.get(stranger.id) is None


async def test_of_twenty_decisions_at_once_one_wins(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    decisions = [_decided(payment, paid(payment, received=n, confirmed=0)) for n in range(1, 21)]

    won = await all_at_once([partial(_commit, stores, payment, decision) for decision in decisions])

    [winner] = [decision.payment for decision in won if decision]
    assert await stores.newest(payment) == winner
    assert len(await stores.payments.audit_trail(payment.id)) == 3


async def test_decisions_of_several_payments_are_written_together_and_lose_alone(
    stores: Stores,
) -> None:
    first, second, third = [await stores.add() for _ in range(3)]
    ahead = await stores.learn(second, created(reference="ahead"))
    commits = [
        Commit(before=payment, decision=_decided(payment, created(reference=str(n))), origin=CALLER)
        for n, payment in enumerate((first, second, third))
    ]

    assert list(await stores.payments.commit_all(commits)) == [True, False, True]

    newest = [await stores.newest(payment) for payment in (first, second, third)]
    assert newest == [commits[0].decision.payment, ahead, commits[2].decision.payment]


async def test_the_audit_trail_names_the_reports_that_a_decision_settles(stores: Stores) -> None:
    payment = await stores.add()
    reports = [
        Observation(id=f"evt_{uuid4()}", reference=str(payment.id), fact=paid(payment))
        for _ in range(2)
    ]
    await stores.inbox.put("mock", reports)
    rows = [row.id for row in await stores.inbox.claim(10, LEASE_S)]

    await stores.payments.commit(payment, _decided(payment, created()), WORKER, rows)

    _, last = await stores.payments.audit_trail(payment.id)
    assert last.details["reports"] == rows


# -- audit trail -----------------------------------------------------------------------------


async def test_each_change_leaves_one_audit_row_that_names_the_actor(stores: Stores) -> None:
    payment = await stores.add()
    await stores.payments.commit(payment, _decided(payment, created()), WORKER)

    first, second = await stores.payments.audit_trail(payment.id)

    assert (first.event_type, first.version) == ("payment_creating", 1)
    assert (first.actor, first.request_id, first.ip) == ("user:42", "req-1", "203.0.113.7")
    assert (first.certificate, first.peer) == ("main-app", "10.0.0.7")
    assert (second.event_type, second.version) == ("payment_pending", 2)
    assert (second.actor, second.request_id, second.ip) == ("recovery", "pass-9", "")
    assert (second.certificate, second.peer) == ("", "")
    assert [first.create_time, second.create_time] == [NOW, NOW]


async def test_the_reason_for_a_cancel_is_in_the_audit_trail(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    await stores.learn(payment, CancelRequested(reason="changed my mind"))

    *_, last = await stores.payments.audit_trail(payment.id)

    assert last.event_type == "payment_canceling"
    assert last.details["reason"] == "changed my mind"


async def test_replaying_the_audit_trail_gives_the_stored_row(stores: Stores) -> None:
    payment = await stores.add()
    history: list[Evidence] = [
        OutcomeUnknown(),
        created(aliases=("pi_1",)),
        (_receipt(payment, "r1", ReceiptState.SEEN),),
        (_receipt(payment, "r1", ReceiptState.CONFIRMED), _receipt(payment, "r2")),
        paid(payment),
    ]
    for evidence in history:
        payment = await stores.learn(payment, evidence)
        if isinstance(evidence, Created):
            earlier = attrs.evolve(evidence, expire_time=payment.create_time + timedelta(minutes=9))
            payment = await stores.learn(payment, earlier)
            assert payment.expire_time == earlier.expire_time

    trail = await stores.payments.audit_trail(payment.id)

    assert [row.version for row in trail] == list(range(1, payment.version + 1))
    assert replay(trail) == document(await stores.newest(payment))


# -- find in sets ----------------------------------------------------------------------------


async def test_payments_are_found_by_many_names_at_once(stores: Stores) -> None:
    first = await stores.learn(await stores.add(), created(reference="one", aliases=("alias",)))
    second = await stores.learn(await stores.add(), created(reference="two"))
    names = {
        Name("mock", "one"): first,
        Name("mock", "alias"): first,
        Name("mock", str(first.id)): first,
        Name("mock", "two"): second,
    }
    unknown = {Name("mock", "three"), Name("other", "one"), Name("other", str(first.id))}

    wanted: dict[Name, tuple[str, ...]] = dict.fromkeys([*names, *unknown], ())
    assert await stores.payments.find_all(wanted) == names
    assert await stores.payments.find_all(dict.fromkeys(unknown, ())) == {}


async def test_payments_are_read_with_the_receipts_that_are_asked_for(stores: Stores) -> None:
    first, second = [await stores.learn(await stores.add(), created()) for _ in range(2)]
    for name in ("r1", "r2"):
        first = await stores.learn(first, (_receipt(first, name, ReceiptState.CONFIRMED),))
    second = await stores.learn(second, (_receipt(second, "r1"),))
    asked = f"{first.id}/r2"

    other_name = Name("mock", first.provider_reference or "")
    found = await stores.payments.find_all(
        {
            Name("mock", str(first.id)): (asked, "no such"),
            Name("mock", str(second.id)): (asked,),
        }
    )
    both = await stores.payments.find_all(
        {Name("mock", str(first.id)): (asked,), other_name: (f"{first.id}/r1",)}
    )

    assert [receipt.id for receipt in both[other_name].receipts] == [f"{first.id}/r1", asked]
    assert both[Name("mock", str(first.id))] == both[other_name]
    read, bare = found[Name("mock", str(first.id))], found[Name("mock", str(second.id))]
    assert [receipt.id for receipt in read.receipts] == [asked]
    assert (read.received, read.confirmed) == (2, 2)
    assert (bare.receipts, bare.received, bare.confirmed) == ((), 1, 0)
    again = await stores.payments.get(first.id, [asked])
    assert again == read
    none_asked = await stores.payments.get(first.id)
    assert none_asked == attrs.evolve(read, receipts=())


# -- payments that do not know their object ----------------------------------------------------


async def test_the_oldest_open_payment_without_an_object_is_known(stores: Stores) -> None:
    async def began(minutes: int, provider: str = "mock") -> Payment:
        time = NOW - timedelta(minutes=minutes)
        return await stores.add(create_time=time, next_check_time=NOW, provider=provider)

    await began(1)
    older = await began(2)
    await stores.learn(await began(3), created())
    await stores.learn(await began(4), Declined(code="no", message="no"))
    await began(9, "other")

    assert await stores.payments.oldest_unnamed("mock") == older.create_time
    assert await stores.payments.oldest_unnamed("nobody") is None


# -- find ------------------------------------------------------------------------------------


async def test_a_payment_is_found_by_every_name_that_its_provider_may_use(stores: Stores) -> None:
    payment = await stores.add(provider="mock")
    payment = await stores.learn(payment, created(reference="cs_1", aliases=("pi_1", "ch_1")))
    await stores.learn(await stores.add(provider="mock"), created(reference="cs_2"))

    for name in ("cs_1", "pi_1", "ch_1", str(payment.id)):
        assert await stores.payments.find("mock", name) == payment


async def test_an_alias_of_several_payments_finds_the_oldest(stores: Stores) -> None:
    younger = await stores.add(create_time=NOW + timedelta(seconds=1))
    await stores.learn(younger, created(reference="cs_1", aliases=("pi_1",)))
    oldest = await stores.learn(await stores.add(), created(reference="cs_2", aliases=("pi_1",)))

    assert await stores.payments.find("mock", "pi_1") == oldest
    found = await stores.payments.find_all({Name("mock", "pi_1"): ()})
    assert found == {Name("mock", "pi_1"): oldest}


async def test_a_payment_is_not_found_under_another_provider(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(provider="mock"), created(aliases=("pi_1",)))

    for name in (payment.provider_reference, "pi_1", str(payment.id)):
        assert name is not None
        assert await stores.payments.find("stripe", name) is None


async def test_two_providers_may_use_the_same_reference(stores: Stores) -> None:
    mine = await stores.learn(await stores.add(provider="mock"), created(reference="1"))
    other = await stores.learn(await stores.add(provider="stripe"), created(reference="1"))

    assert await stores.payments.find("mock", "1") == mine
    assert await stores.payments.find("stripe", "1") == other


# -- status checks ---------------------------------------------------------------------------


async def test_only_payments_whose_status_check_is_due_are_claimed_the_oldest_first(
    stores: Stores,
) -> None:
    late = await stores.add(next_check_time=NOW - timedelta(seconds=1))
    later = await stores.add(next_check_time=NOW - HOUR)
    await stores.add(next_check_time=NOW + timedelta(seconds=1))
    await stores.add(next_check_time=None)

    claimed = await stores.payments.claim_status_checks(NOW, 10, LEASE_S)
    assert {payment.id for payment in claimed} == {late.id, later.id}


async def test_no_more_status_checks_are_claimed_than_requested_and_the_longest_due_go_first(
    stores: Stores,
) -> None:
    await stores.add(next_check_time=NOW)
    oldest = await stores.add(next_check_time=NOW - HOUR)

    [claimed] = await stores.payments.claim_status_checks(NOW, 1, LEASE_S)

    assert claimed.id == oldest.id


async def test_a_claimed_status_check_counts_and_changes_nothing_else(stores: Stores) -> None:
    payment = await stores.add(next_check_time=NOW, checks=2)

    [claimed] = await stores.payments.claim_status_checks(NOW, 10, LEASE_S)

    assert claimed.checks == 3
    assert claimed == attrs.evolve(payment, checks=3, next_check_time=claimed.next_check_time)
    assert await stores.newest(payment) == claimed
    assert len(await stores.payments.audit_trail(payment.id)) == 1


async def test_each_due_payment_goes_to_one_of_many_claimers(stores: Stores) -> None:
    payments = [await stores.add(next_check_time=NOW) for _ in range(12)]

    claim = partial(stores.payments.claim_status_checks, NOW, 4, LEASE_S)
    batches = await all_at_once([claim] * 8)
    batches.append(await stores.payments.claim_status_checks(NOW, 12, LEASE_S))

    ids = [payment.id for batch in batches for payment in batch]
    assert len(ids) == 12
    assert set(ids) == {payment.id for payment in payments}


async def test_a_status_check_whose_claimer_died_is_due_again_when_the_lease_ends(
    stores: Stores,
) -> None:
    await stores.add(next_check_time=NOW, checks=0)
    await stores.payments.claim_status_checks(NOW, 10, LEASE_S)

    lease_end = NOW + timedelta(seconds=LEASE_S)
    assert (
        list(await stores.payments.claim_status_checks(lease_end - HOUR / 3600, 10, LEASE_S)) == []
    )
    [again] = await stores.payments.claim_status_checks(lease_end, 10, LEASE_S)

    assert again.checks == 2


async def test_of_many_claims_to_ask_about_a_payment_one_gets_it_until_the_rest_is_over(
    stores: Stores,
) -> None:
    payment, other = await stores.add(next_check_time=NOW), await stores.add()
    rest, got = timedelta(seconds=5), list[bool]()

    async def claim() -> None:
        got.append(await stores.payments.claim_sync(payment.id, NOW, rest))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(claim)

    assert sorted(got) == [False] * 9 + [True]
    assert await stores.payments.claim_sync(other.id, NOW, rest)
    assert not await stores.payments.claim_sync(uuid4(), NOW, rest)
    assert not await stores.payments.claim_sync(payment.id, NOW + timedelta(seconds=4), rest)
    assert await stores.payments.claim_sync(payment.id, NOW + rest, rest)
    # A clock that is behind by hours is not held up by one that was ahead.
    assert await stores.payments.claim_sync(payment.id, NOW - HOUR, rest)
    # It is no change of the payment.
    assert await stores.newest(payment) == payment


async def test_the_next_status_check_is_put_where_it_was_scheduled(stores: Stores) -> None:
    payment = await stores.add(next_check_time=NOW)

    await stores.payments.schedule_status_check(payment, NOW + HOUR)

    assert (await stores.newest(payment)).next_check_time == NOW + HOUR
    assert list(await stores.payments.claim_status_checks(NOW, 10, LEASE_S)) == []


async def test_a_payment_that_moved_on_keeps_its_own_next_status_check(stores: Stores) -> None:
    old = await stores.add(next_check_time=NOW)
    moved = await stores.learn(old, created())

    await stores.payments.schedule_status_check(old, NOW + 100 * HOUR)

    assert await stores.newest(old) == moved


async def test_a_closed_payment_gets_no_status_check(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    done = await stores.learn(payment, paid(payment))

    await stores.payments.schedule_status_check(done, NOW)

    assert await stores.newest(done) == done
    assert list(await stores.payments.claim_status_checks(NOW + 100 * HOUR, 10, LEASE_S)) == []


# -- await_answer ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "known",
    [
        {"asking": Asking.ANSWERED, "ask_deadline": None},
        {"asking": Asking.NOT_ATTEMPTED, "ask_deadline": None},
        {"asking": Asking.UNKNOWN, "ask_deadline": None},
        {"asking": Asking.ASKING, "ask_deadline": NOW - HOUR},
    ],
    ids=["answered", "not attempted", "unknown", "asked, and the deadline passed"],
)
async def test_nobody_waits_for_an_answer_that_nobody_asks_for(
    stores: Stores, known: dict[str, Any]
) -> None:
    payment = await stores.add(**known)

    with trio.fail_after(30):
        assert await stores.payments.await_answer(payment.id, 60) == payment


async def test_a_caller_that_waits_for_an_answer_gets_it_with_the_commit(stores: Stores) -> None:
    payment = await stores.add(**_asking())
    answers: list[Payment | None] = []

    async def wait() -> None:
        answers.append(await stores.payments.await_answer(payment.id, 60))

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            pending = await stores.learn(payment, created())

    assert answers == [pending] * 5


async def test_a_caller_that_waits_for_an_answer_learns_that_there_was_none(stores: Stores) -> None:
    payment = await stores.add(**_asking())

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stores.learn, payment, OutcomeUnknown())
            answer = await stores.payments.await_answer(payment.id, 60)

    assert answer is not None
    assert (answer.status, answer.asking) == (Status.CREATING, Asking.UNKNOWN)


async def test_a_second_attempt_is_waited_for_like_the_first(stores: Stores) -> None:
    payment = await stores.add(asking=Asking.NOT_ATTEMPTED, ask_deadline=None)
    asked = await stores.learn(payment, AskAgain(deadline=NOW + HOUR))

    assert await stores.payments.await_answer(asked.id, 0.05) == asked


async def test_a_caller_that_waits_too_long_gets_the_payment_as_it_is(stores: Stores) -> None:
    payment = await stores.add(**_asking())

    with trio.fail_after(30):
        assert await stores.payments.await_answer(payment.id, 0.05) == payment


# -- words for the above ---------------------------------------------------------------------


def _asking() -> dict[str, Any]:
    return {"asking": Asking.ASKING, "ask_deadline": NOW + HOUR}


def _decided(payment: Payment, evidence: Evidence) -> Decision:
    decision = decide(payment, evidence, NOW)
    assert decision is not None
    return decision


async def _commit(stores: Stores, before: Payment, decision: Decision) -> Decision | None:
    return decision if await stores.payments.commit(before, decision, CALLER) else None


def _receipt(payment: Payment, name: str, state: ReceiptState = ReceiptState.SEEN) -> Receipt:
    return Receipt(id=f"{payment.id}/{name}", asset=payment.asset, amount=1, state=state, time=NOW)


def replay(trail: Sequence[AuditRow]) -> dict[str, Any]:
    """What the audit trail alone says about the payment."""
    first, *later = (row.details for row in trail)
    row: dict[str, Any] = dict(first["row"])
    parts: dict[str, dict[str, Any]] = {"receipts": {}, "refunds": {}, "disputes": {}}
    for details in later:
        row |= details["changes"]
        for name, known in parts.items():
            known |= {part["id"]: audited(part) for part in details.get(name, ())}
    in_order = {"receipts": "id", "refunds": "create_time", "disputes": "open_time"}
    return {
        **audited(row),
        "items": first["items"],
        **{
            name: sorted(known.values(), key=itemgetter(in_order[name], "id"))
            for name, known in parts.items()
        },
    }


def document(payment: Payment) -> dict[str, Any]:
    """What the stored payment says, in the form of `replay`."""
    stored = {
        **audited(payment_row(payment)),
        "items": item_rows(payment),
        "receipts": receipt_rows(payment.receipts),
        "refunds": [audited(refund_row(refund)) for refund in payment.refunds],
        "disputes": [dispute_row(dispute) for dispute in payment.disputes],
    }
    document: dict[str, Any] = json.loads(dumps(stored))
    return document


def audited(row: dict[str, Any]) -> dict[str, Any]:
    """Without the bookkeeping of recovery, which changes no payment and is not audited."""
    return {key: row[key] for key in row.keys() - {"looks", "next_look_time"}}
