"""A batch of reports costs a few statements, and one payment's trouble stays its own."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs
import pytest
from unit.service.world import CALLER, World

from payd.domain.attention import Attention
from payd.domain.evidence import (
    Conflict,
    Observation,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Snapshot,
)
from payd.domain.payment import Payment, Status
from payd.domain.sums import ReceiptSums
from payd.plugins.interface import ProviderEvent, WebhookRequest
from payd.ports import Commit, Name


async def test_a_batch_of_many_payments_is_one_read_and_one_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payments = [await world.initiate(idempotency_key=f"key-{n}") for n in range(20)]
    await world.intake.accept("mock", [_paid(world, payment) for payment in payments])
    counted = _counting(world)
    marked: list[Mapping[int, str]] = []

    async def mark(outcomes: Mapping[int, str]) -> None:
        marked.append(outcomes)

    monkeypatch.setattr(world.inbox, "finish", mark)
    assert await world.intake_pass() == 20

    assert counted == Counter(find_all=1, commit_all=1)
    assert marked == [], "the commit marks what it applies"
    statuses = {(await world.newest(payment)).status for payment in payments}
    assert statuses == {Status.COMPLETED}


async def test_all_reports_of_one_payment_are_one_version_and_the_trail_names_them(
    world: World,
) -> None:
    payment = await world.initiate()
    await world.intake.accept(
        "mock", [_receipt_of(world, payment, f"r{n}", 149) for n in range(50)]
    )

    await world.intake_pass()

    after = await world.newest(payment)
    assert (after.version, after.received) == (payment.version + 1, 50 * 149)
    *_, last = await world.store.audit_trail(payment.id)
    assert last.details["reports"] == list(range(1, 51))
    assert len(last.details["receipts"]) == 50
    assert _outcomes(world, 50) == ["applied"] * 50


async def test_a_repeated_report_in_the_same_batch_has_nothing_new(world: World) -> None:
    payment = await world.initiate()
    first, again = _paid(world, payment), _paid(world, payment, id="evt_again")
    await world.intake.accept("mock", [first, again])

    await world.intake_pass()

    assert _outcomes(world, 2) == ["applied", "nothing_new"]
    assert await world.events() == ["payment.completed"]


async def test_what_comes_after_an_event_is_the_next_decision_of_the_same_batch(
    world: World,
) -> None:
    payment = await world.initiate()
    reports = [
        _paid(world, payment),
        *(_receipt_of(world, payment, f"r{n}", payment.due) for n in range(3)),
    ]
    await world.intake.accept("mock", reports)
    commit_all, marked = world.store.commit_all, list[Sequence[int]]()

    async def noting(commits: Sequence[Commit]) -> Sequence[bool]:
        marked.extend(commit.inbox_ids for commit in commits)
        return await commit_all(commits)

    _replace(world, "commit_all", noting)
    await world.intake_pass()

    assert marked == [(1,), (2, 3), (4,)], "each report is marked once"
    after = await world.newest(payment)
    assert after.confirmed == 3 * payment.due
    assert {Attention.OVERPAID, Attention.DUPLICATE_PAYMENT} <= after.attention
    assert set(_outcomes(world, 4)) == {"applied"}
    assert (await world.events()).count("payment.completed") == 1


async def test_a_payment_that_another_writer_changes_is_decided_again_and_others_go_on(
    world: World,
) -> None:
    first = await world.initiate(idempotency_key="first")
    second = await world.initiate(idempotency_key="second")
    await world.intake.accept("mock", [_paid(world, first), _paid(world, second)])
    read = world.store.find_all

    async def read_and_be_overtaken(
        names: Mapping[Name, Collection[str]],
    ) -> Mapping[Name, Payment]:
        found = await read(names)
        await world.cancels.cancel(first.id, "", CALLER)
        return found

    _replace(world, "find_all", read_and_be_overtaken)
    await world.intake_pass()

    assert (await world.newest(second)).status is Status.COMPLETED
    after = await world.newest(first)
    assert (after.status, after.attention) == (Status.CANCELED, {Attention.PAID_AFTER_CLOSE})
    assert _outcomes(world, 2) == ["applied", "applied"]


async def test_each_payment_that_another_writer_changes_is_decided_again(world: World) -> None:
    payments = [await world.initiate(idempotency_key=f"key-{n}") for n in range(3)]
    await world.intake.accept(
        "mock", [_receipt_of(world, one, f"r{one.id}", 1) for one in payments]
    )
    read = world.store.find_all

    async def read_and_be_overtaken_twice(
        names: Mapping[Name, Collection[str]],
    ) -> Mapping[Name, Payment]:
        found = await read(names)
        for payment in payments[:2]:
            await world.settle.settle(payment, Conflict(detail="meanwhile"), CALLER)
        return found

    _replace(world, "find_all", read_and_be_overtaken_twice)
    await world.intake_pass()

    assert [(await world.newest(one)).received for one in payments] == [1, 1, 1]
    assert _outcomes(world, 3) == ["applied"] * 3


async def test_a_store_that_does_not_answer_for_each_decision_is_a_defect(world: World) -> None:
    payment = await world.initiate()
    await world.intake.accept("mock", [_paid(world, payment)])

    async def answer_nothing(_: Sequence[Commit]) -> Sequence[bool]:
        return []

    _replace(world, "commit_all", answer_nothing)
    with pytest.raises(ValueError, match="shorter"):
        await world.intake_pass()

    assert _outcomes(world, 1) == [None]


async def test_payments_whose_sums_are_stale_are_read_again(world: World) -> None:
    """They were closed before their expiry, so that the late window ends earlier than it did."""
    payments = [await world.initiate(idempotency_key=f"key-{n}") for n in range(2)]
    await world.intake.accept(
        "mock", [_receipt_of(world, one, f"r{one.id}", one.due) for one in payments]
    )
    read = world.store.find_all

    async def read_stale(names: Mapping[Name, Collection[str]]) -> Mapping[Name, Payment]:
        sums = ReceiptSums(late_end=world.clock.now(), confirmed=(0, 0, 1))
        return {name: attrs.evolve(one, sums=sums) for name, one in (await read(names)).items()}

    _replace(world, "find_all", read_stale)
    await world.intake_pass()

    assert [(await world.newest(one)).confirmed for one in payments] == [14900, 14900]
    assert _outcomes(world, 2) == ["applied"] * 2


async def test_a_report_that_nobody_can_read_and_one_that_waits_spare_the_rest(
    world: World,
) -> None:
    payment = await world.initiate()
    world.provider.webhooks[b"signed"] = [ProviderEvent(id="evt_1", type="x", content={})]
    await world.intake.accept_webhook("mock", WebhookRequest(body=b"signed", headers={}))
    early = attrs.evolve(_paid(world, payment), id="evt_2", reference=str(UUID(int=404)))
    paid = attrs.evolve(_paid(world, payment), id="evt_3")
    await world.intake.accept("mock", [early, paid])

    outcomes = await world.reports.work(await world.reports.claim_batch())

    assert outcomes == {1: "untranslatable", 2: "parked", 3: "applied"}
    assert (await world.newest(payment)).status is Status.COMPLETED


async def test_a_batch_that_names_no_payment_reads_none(world: World) -> None:
    world.provider.webhooks[b"signed"] = [ProviderEvent(id="evt_1", type="x", content={})]
    await world.intake.accept_webhook("mock", WebhookRequest(body=b"signed", headers={}))
    counted = _counting(world)

    assert await world.intake_pass() == 1

    assert counted == Counter()


async def test_receipts_that_are_stored_already_count_once_whichever_report_has_them(
    world: World,
) -> None:
    payment = await world.initiate()
    await world.intake.accept("mock", [_receipt_of(world, payment, "r1", 100)])
    await world.intake_pass()

    again = _receipt_of(world, payment, "r1", 100, id="evt_again")
    await world.intake.accept("mock", [again, _receipt_of(world, payment, "r2", 7)])
    await world.intake_pass()

    assert (await world.newest(payment)).received == 107
    assert _outcomes(world, 3) == ["applied", "nothing_new", "applied"]


async def test_money_after_an_early_failure_in_the_same_batch_completes_the_payment(
    world: World,
) -> None:
    payment = await world.initiate()
    await world.intake.accept("mock", [_receipt_of(world, payment, "r1", 149)])
    await world.intake_pass()
    declined = Snapshot(
        status=ProviderStatus.DECLINED,
        asset="USD",
        received=0,
        confirmed=0,
        as_of=world.clock.now(),
    )
    await world.intake.accept(
        "mock",
        [
            Observation(id="evt_declined", reference=str(payment.id), fact=declined),
            _receipt_of(world, payment, "r2", payment.due - 149),
        ],
    )

    await world.intake_pass()

    after = await world.newest(payment)
    assert (after.status, after.late) == (Status.COMPLETED, True)
    events = await world.events()
    assert events == ["payment.failed", "payment.attention", "payment.completed"]


async def test_a_receipt_of_another_payment_spares_the_rest_of_its_batch(world: World) -> None:
    owner = await world.initiate(idempotency_key="owner")
    other = await world.initiate(idempotency_key="other")
    await world.intake.accept("mock", [_receipt_of(world, owner, "r1", 149)])
    await world.intake_pass()

    await world.intake.accept(
        "mock",
        [
            _receipt_of(world, other, "r1", 149, id="evt_taken"),
            _receipt_of(world, other, "r2", 149),
            _receipt_of(world, owner, "r3", 149),
        ],
    )
    await world.intake_pass()

    assert (await world.newest(owner)).received == 298
    after = await world.newest(other)
    assert (after.received, after.attention) == (149, {Attention.CONFLICTING_EVIDENCE})


# -- words for the above ---------------------------------------------------------------------


def _paid(world: World, payment: Payment, id: str = "") -> Observation:
    fact = Snapshot(
        status=ProviderStatus.PAID,
        asset="USD",
        received=payment.due,
        confirmed=payment.due,
        as_of=world.clock.now(),
    )
    return Observation(id=id or f"evt_{payment.id}", reference=str(payment.id), fact=fact)


def _receipt_of(
    world: World, payment: Payment, name: str, amount: int, id: str = ""
) -> Observation:
    receipt = Receipt(
        id=name,
        asset="USD",
        amount=amount,
        state=ReceiptState.CONFIRMED,
        time=world.clock.now(),
    )
    return Observation(id=id or f"evt_{name}", reference=str(payment.id), fact=(receipt,))


def _outcomes(world: World, rows: int) -> list[str | None]:
    return [world.inbox.outcome(row_id) for row_id in range(1, rows + 1)]


def _replace(world: World, method: str, replacement: object) -> None:
    object.__setattr__(world.store, method, replacement)


def _counting(world: World) -> Counter[str]:
    """How often the store is asked from here on."""
    counted: Counter[str] = Counter()

    def count(name: str) -> None:
        ask = getattr(world.store, name)

        async def counting(*arguments: Any) -> Any:
            counted[name] += 1
            return await ask(*arguments)

        _replace(world, name, counting)

    for name in ("get", "find", "find_all", "commit", "commit_all"):
        count(name)
    return counted
