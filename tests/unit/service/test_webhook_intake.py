"""A webhook is stored when it is authentic, and means something when it is worked on."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID

import attrs
import pytest
import trio
from unit.service.fakes import NOON, Died
from unit.service.world import LEASES_S, World

from payd.domain.attention import Attention
from payd.domain.errors import ProviderUnavailable, WebhookRefused, WebhookUnknown
from payd.domain.evidence import Conflict, Observation, ProviderStatus, Snapshot
from payd.domain.payment import Origin, Payment, Status
from payd.domain.refund import RefundSnapshot, RefundState
from payd.plugins.interface import ProviderEvent, WebhookRequest
from payd.ports import Commit, Unreadable
from payd.service.intake import Accepted

#: What the audit rows say of a payment that waits to be paid.
TRAIL = ("payment_creating", "payment_pending")
SIGNED = WebhookRequest(body=b"signed", headers={})
NEW, REPEATED = Accepted(events=1, new=1), Accepted(events=1, new=0)
REFUND = RefundSnapshot(
    reference="re_1", state=RefundState.SUCCEEDED, asset="USD", amount=100, time=NOON
)


async def test_an_authentic_webhook_is_stored_and_then_settled(world: World) -> None:
    payment = await world.initiate()
    _webhook_reports(world, _paid(world, payment))

    assert await world.intake.accept_webhook("mock", SIGNED) == NEW
    assert (await world.newest(payment)).status is Status.PENDING, "stored, not yet believed"
    await world.settle_and_publish()

    assert (await world.newest(payment)).status is Status.COMPLETED
    assert world.inbox.outcome(1) == "applied"


async def test_a_decision_knows_the_spans_of_the_webhooks_that_led_to_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await world.initiate()
    _webhook_reports(world, _paid(world, payment))
    await world.intake.accept_webhook("mock", SIGNED, "00-span")
    written = _noting_commits(world, monkeypatch)
    await world.settle_and_publish()

    [commit] = written
    assert commit.origin == Origin(
        actor="provider:mock", request_id="req-1", linked_spans=("00-span",)
    )
    assert commit.inbox_ids == (1,), "the decision marks its report in the same statement"


async def test_a_decision_knows_each_span_once_and_only_of_reports_with_news(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await world.initiate()
    refund = Observation(id="evt_3", reference=str(payment.id), fact=REFUND)
    for name, said, span in (
        ("evt_1", _paid(world, payment), "00-a"),
        ("evt_2", _paid(world, payment), "00-b"),
        ("evt_3", refund, ""),
    ):
        event = ProviderEvent(id=name, type="x", content={})
        world.provider.webhooks[b"signed"] = [event]
        world.provider.meanings[name] = [attrs.evolve(said, id=name)]
        await world.intake.accept_webhook("mock", SIGNED, span)

    written = _noting_commits(world, monkeypatch)
    await world.intake_pass()

    assert [commit.origin.linked_spans for commit in written] == [("00-a",), ()]
    assert [world.inbox.outcome(n) for n in (1, 2, 3)] == ["applied", "nothing_new", "applied"]


async def test_a_webhook_is_stored_as_it_came(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _webhook_reports(world)
    stored: list[tuple[object, ...]] = []

    async def store(*given: object) -> int:
        stored.append(given)
        return 1

    monkeypatch.setattr(world.inbox, "put_webhook", store)
    await world.intake.accept_webhook("mock", SIGNED, "00-span")
    await world.intake.accept_webhook("mock", SIGNED)

    events = world.provider.webhooks[b"signed"]
    assert stored == [
        ("mock", events, b"signed", "00-span"),
        ("mock", events, b"signed", ""),
    ]


async def test_a_webhook_is_verified_at_the_time_of_our_clock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[object, ...]] = []

    def verify(*given: object) -> Sequence[ProviderEvent]:
        seen.append(given)
        return []

    monkeypatch.setattr(world.provider, "verify", verify)
    await world.intake.accept_webhook("mock", SIGNED)

    assert seen == [(SIGNED, world.clock.now())]


async def test_a_repeated_webhook_is_stored_once(world: World) -> None:
    payment = await world.initiate()
    _webhook_reports(world, _paid(world, payment))

    assert await world.intake.accept_webhook("mock", SIGNED) == NEW
    assert await world.intake.accept_webhook("mock", SIGNED) == REPEATED

    assert await world.intake_pass() == 1
    assert await world.events() == ["payment.completed"]


async def test_a_webhook_that_is_not_authentic_is_not_stored(world: World) -> None:
    with pytest.raises(WebhookRefused) as refused:
        await world.intake.accept_webhook("mock", WebhookRequest(body=b"forged", headers={}))

    assert refused.value.metadata == {"why": "signature"}
    assert await world.intake_pass() == 0


async def test_a_webhook_for_an_unknown_provider_is_refused(world: World) -> None:
    with pytest.raises(WebhookUnknown) as refused:
        await world.intake.accept_webhook("stranger", SIGNED)
    assert str(refused.value) == (
        "no enabled provider is named 'stranger': check the webhook's URL"
    )


async def test_a_webhook_for_a_provider_that_is_not_running_may_be_sent_again(
    world: World,
) -> None:
    payment = await world.initiate()
    _webhook_reports(world, _paid(world, payment))
    world.provider.stopped = True
    with pytest.raises(ProviderUnavailable) as refused:
        await world.intake.accept_webhook("mock", SIGNED)
    assert refused.value.may_retry
    assert await world.intake_pass() == 0

    world.provider.stopped = False
    assert await world.intake.accept_webhook("mock", SIGNED) == NEW


@pytest.mark.parametrize("point", ["intake.before_inbox", "intake.after_inbox"])
async def test_i13_a_webhook_whose_answer_was_lost_is_sent_again_and_counts_once(
    world: World, point: str
) -> None:
    payment = await world.initiate()
    _webhook_reports(world, _paid(world, payment))
    world.crash.die_at(point)
    with pytest.raises(Died):
        await world.intake.accept_webhook("mock", SIGNED)

    accepted = await world.intake.accept_webhook("mock", SIGNED)

    assert accepted == (NEW if point == "intake.before_inbox" else REPEATED)
    assert await world.events() == ["payment.completed"]
    assert (await world.newest(payment)).confirmed == payment.due


async def test_one_webhook_reports_several_payments(world: World) -> None:
    payments = [await world.initiate(idempotency_key=key) for key in ("key-1", "key-2")]
    events = [_event_of(world, payment) for payment in payments]
    world.provider.webhooks[b"signed"] = events

    assert await world.intake.accept_webhook("mock", SIGNED) == Accepted(events=2, new=2)
    assert await world.intake_pass() == 2

    assert [(await world.newest(one)).status for one in payments] == [Status.COMPLETED] * 2


async def test_of_a_webhook_known_events_are_ignored_and_the_others_stored(world: World) -> None:
    payments = [await world.initiate(idempotency_key=key) for key in ("key-1", "key-2")]
    first, second = (_event_of(world, payment) for payment in payments)
    world.provider.webhooks = {b"signed": [first], b"both": [second, first]}
    await world.intake.accept_webhook("mock", SIGNED)

    both = WebhookRequest(body=b"both", headers={})
    assert await world.intake.accept_webhook("mock", both) == Accepted(events=2, new=1)
    assert await world.intake.accept_webhook("mock", both) == Accepted(events=2, new=0)

    assert await world.intake_pass() == 2


async def test_a_webhook_without_events_needs_no_database(world: World) -> None:
    world.provider.webhooks[b"signed"] = []
    world.crash.die_at("intake.before_inbox")

    assert await world.intake.accept_webhook("mock", SIGNED) == Accepted(events=0, new=0)


async def test_a_webhook_that_was_settled_and_is_sent_again_changes_nothing(world: World) -> None:
    payment = await world.initiate()
    _webhook_reports(world, _paid(world, payment))
    await world.intake.accept_webhook("mock", SIGNED)
    await world.settle_and_publish()
    believed = await world.newest(payment)

    assert await world.intake.accept_webhook("mock", SIGNED) == REPEATED

    assert await world.intake_pass() == 0
    assert await world.newest(payment) == believed


async def test_a_webhook_that_says_nothing_of_payments_is_not_ours(world: World) -> None:
    _webhook_reports(world)
    await world.intake.accept_webhook("mock", SIGNED)

    [row] = await world.reports.claim_batch()

    assert (await world.reports.work([row]))[row.id] == "not_ours"
    assert world.inbox.outcome(1) == "not_ours"


async def test_a_webhook_may_say_two_things(world: World) -> None:
    payment = await world.initiate()
    refund = Observation(id="evt_1:refund", reference=str(payment.id), fact=REFUND)
    _webhook_reports(world, _paid(world, payment), refund)
    await world.intake.accept_webhook("mock", SIGNED)

    [row] = await world.reports.claim_batch()

    assert (await world.reports.work([row]))[row.id] == "applied"
    after = await world.newest(payment)
    assert (after.status, after.refunded) == (Status.COMPLETED, 100)
    assert (await world.reports.work([row]))[row.id] == "nothing_new"


async def test_known_payments_are_settled_while_the_rest_waits_for_its_payment(
    world: World,
) -> None:
    payment = await world.initiate()
    stranger = attrs.evolve(_paid(world, payment), reference=str(UUID(int=2)))
    _webhook_reports(world, _paid(world, payment), stranger)
    await world.intake.accept_webhook("mock", SIGNED)
    [row] = await world.reports.claim_batch()

    assert (await world.reports.work([row]))[row.id] == "parked"
    assert (await world.newest(payment)).status is Status.COMPLETED
    other = await world.initiate(idempotency_key="key-2")
    world.clock.move(seconds=1)
    await world.settle_and_publish()

    assert str(other.id) == stranger.reference
    assert (await world.newest(other)).status is Status.COMPLETED


async def test_what_is_known_counts_once_however_often_the_rest_is_waited_for(
    world: World,
) -> None:
    payment = await world.initiate()
    stranger = attrs.evolve(_paid(world, payment), reference=str(UUID(int=2)))
    _webhook_reports(world, stranger, _paid(world, payment))
    await world.intake.accept_webhook("mock", SIGNED)

    for _ in range(4):
        await world.intake_pass()
        world.clock.move(minutes=5)
    assert await world.trail(payment) == [*TRAIL, "payment_completed"]

    world.clock.move(hours=24)
    await world.intake_pass()
    assert world.inbox.outcome(1) == "never_matched"
    assert await world.events() == ["payment.completed"]


@pytest.mark.parametrize("number", [2, 3])
async def test_a_webhook_about_several_payments_settles_all(world: World, number: int) -> None:
    payments = [await world.initiate(idempotency_key=f"key-{n}") for n in range(number)]
    _webhook_reports(world, *(_paid(world, payment) for payment in payments))
    await world.intake.accept_webhook("mock", SIGNED)

    [row] = await world.reports.claim_batch()

    assert (await world.reports.work([row]))[row.id] == "applied"
    assert world.inbox.outcome(1) == "applied"
    for payment in payments:
        assert (await world.newest(payment)).status is Status.COMPLETED
        *_, last = await world.store.audit_trail(payment.id)
        assert (last.actor, last.request_id) == ("provider:mock", "req-1")
    assert (await world.reports.work([row]))[row.id] == "nothing_new"


@pytest.mark.parametrize("known", [0, 1])
async def test_a_webhook_about_two_payments_is_applied_if_one_of_them_has_changed(
    world: World, known: int
) -> None:
    payments = [await world.initiate(idempotency_key=key) for key in ("key-1", "key-2")]
    await world.intake.accept("mock", [attrs.evolve(_paid(world, payments[known]), id="evt_0")])
    await world.intake_pass()
    _webhook_reports(world, *(_paid(world, payment) for payment in payments))
    await world.intake.accept_webhook("mock", SIGNED)

    [row] = await world.reports.claim_batch()

    assert (await world.reports.work([row]))[row.id] == "applied"
    assert world.inbox.outcome(row.id) == "applied"


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", ["settle.before_commit", "settle.after_commit"])
async def test_i10_a_webhook_whose_worker_died_between_two_payments_settles_both(
    world: World, point: str, nth: int
) -> None:
    first = await world.initiate()
    second = await world.initiate(idempotency_key="key-2")
    _webhook_reports(world, _paid(world, first), _paid(world, second))
    await world.intake.accept_webhook("mock", SIGNED)
    world.crash.die_at(point, nth)
    with pytest.raises(Died):
        await world.intake_pass()

    world.clock.move(seconds=LEASES_S)

    assert await world.events() == ["payment.completed"] * 2
    assert [await world.trail(p) for p in (first, second)] == [[*TRAIL, "payment_completed"]] * 2


async def test_a_webhook_that_two_workers_hold_has_one_effect(world: World) -> None:
    payment = await world.initiate()
    refund = Observation(id="evt_1", reference=str(payment.id), fact=REFUND)
    _webhook_reports(world, _paid(world, payment), refund)
    await world.intake.accept_webhook("mock", SIGNED)
    [row] = await world.reports.claim_batch()

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(world.reports.work, [row])

    after = await world.newest(payment)
    assert (after.status, after.confirmed, after.refunded) == (Status.COMPLETED, payment.due, 100)
    assert sorted(await world.events()) == [
        *("payment.attention", "payment.completed", "payment.refunded"),
    ]
    assert world.inbox.outcome(1) == "applied"


async def test_a_webhook_that_nobody_can_read_is_never_given_up(world: World) -> None:
    payment = await world.initiate(method="card")
    _webhook_reports(world, _paid(world, payment))
    meaning = world.provider.meanings.pop("evt_1")
    await world.intake.accept_webhook("mock", SIGNED)

    for _ in range(30):
        assert await world.intake_pass() == 1
        assert world.inbox.outcome(1) is None
        world.clock.move(days=1)
    world.provider.meanings["evt_1"] = meaning
    await world.settle_and_publish()

    assert world.inbox.outcome(1) == "applied"
    assert (await world.newest(payment)).confirmed == payment.due


async def test_a_webhook_that_cannot_be_read_is_tried_ever_more_rarely(world: World) -> None:
    await world.initiate()
    _webhook_reports(world)
    world.provider.meanings.clear()
    await world.intake.accept_webhook("mock", SIGNED)

    tries = [world.clock.now()]
    while len(tries) < 9:
        if await world.intake_pass():
            tries.append(world.clock.now())
        world.clock.move(seconds=1)

    pauses = [(late - early).total_seconds() for early, late in pairwise(tries[1:])]
    assert pauses == [1, 2, 5, 15, 60, 300, 300]


async def test_a_webhook_of_a_provider_that_is_not_running_waits_for_it(world: World) -> None:
    payment = await world.initiate()
    _webhook_reports(world, _paid(world, payment))
    await world.intake.accept_webhook("mock", SIGNED)
    world.provider.stopped = True
    [row] = await world.reports.claim_batch()
    assert (await world.reports.work([row]))[row.id] == "untranslatable"

    world.provider.stopped = False
    world.clock.move(seconds=1)
    await world.settle_and_publish()

    assert (await world.newest(payment)).status is Status.COMPLETED


async def test_a_webhook_that_nobody_can_read_waits_for_a_version_that_can(world: World) -> None:
    payment = await world.initiate()
    _webhook_reports(world, _paid(world, payment))
    meaning = world.provider.meanings.pop("evt_1")
    await world.intake.accept_webhook("mock", SIGNED)
    [row] = await world.reports.claim_batch()
    assert (await world.reports.work([row]))[row.id] == "untranslatable"
    assert world.inbox.outcome(1) is None

    world.provider.meanings["evt_1"] = meaning
    world.clock.move(seconds=1)
    await world.settle_and_publish()

    assert (await world.newest(payment)).status is Status.COMPLETED


async def test_a_report_in_a_form_of_another_version_waits_for_that_version(world: World) -> None:
    _webhook_reports(world, _paid(world, await world.initiate()))
    await world.intake.accept_webhook("mock", SIGNED)
    [row] = await world.reports.claim_batch()
    unreadable = attrs.evolve(row, report=Unreadable("KeyError: 'receipts'"))

    assert (await world.reports.work([unreadable]))[row.id] == "untranslatable"
    assert world.inbox.outcome(1) is None


async def test_a_webhook_of_a_provider_that_was_disabled_waits_for_it(world: World) -> None:
    payment = await world.initiate()
    _webhook_reports(world, _paid(world, payment))
    await world.intake.accept_webhook("mock", SIGNED)
    [row] = await world.reports.claim_batch()
    world.providers.disabled = True

    assert (await world.reports.work([row]))[row.id] == "untranslatable"


async def test_other_content_under_a_known_id_is_a_conflict(world: World) -> None:
    payment = await world.initiate()
    _webhook_reports(world, _paid(world, payment))
    await world.intake.accept_webhook("mock", SIGNED)
    other = ProviderEvent(id="evt_1", type="paid", content={"amount": 1})
    world.provider.webhooks[b"signed"] = [other]
    await world.intake.accept_webhook("mock", SIGNED)

    await world.settle_and_publish()

    after = await world.newest(payment)
    assert (after.status, after.confirmed) == (Status.COMPLETED, 14900)
    assert after.attention == {Attention.CONFLICTING_EVIDENCE}


async def test_a_conflicting_webhook_is_a_conflict_for_all_that_it_names(world: World) -> None:
    payments = [await world.initiate(idempotency_key=key) for key in ("key-1", "key-2")]
    _webhook_reports(world)
    await world.intake.accept_webhook("mock", SIGNED)
    await world.settle_and_publish()
    _webhook_reports(world, *(_paid(world, payment) for payment in payments))
    other = ProviderEvent(id="evt_1", type="paid", content={"a": 1})
    world.provider.webhooks[b"signed"] = [other]
    await world.intake.accept_webhook("mock", SIGNED)

    await world.settle_and_publish()

    for payment in payments:
        after = await world.newest(payment)
        assert (after.status, after.confirmed) == (Status.PENDING, 0)
        [record] = after.attention_records
        assert (record.reason, record.facts) == (
            Attention.CONFLICTING_EVIDENCE,
            {"report evt_1 came with two contents"},
        )


async def test_a_webhook_for_the_payment_of_another_provider_waits_and_is_given_up(
    world: World,
) -> None:
    _webhook_reports(world, Observation(id="evt_1", reference="obj_404", fact=Conflict()))
    await world.intake.accept_webhook("mock", SIGNED)
    await world.intake_pass()
    assert world.inbox.outcome(1) is None

    world.clock.move(hours=1, seconds=1)
    await world.intake_pass()

    assert world.inbox.outcome(1) == "not_ours"


async def test_a_webhook_whose_last_word_is_known_already_was_applied_all_the_same(
    world: World,
) -> None:
    payment = await world.initiate()
    _webhook_reports(world, _paid(world, payment), _paid(world, payment))
    await world.intake.accept_webhook("mock", SIGNED)

    [row] = await world.reports.claim_batch()

    assert (await world.reports.work([row]))[row.id] == "applied"
    assert world.inbox.outcome(1) == "applied"


async def test_each_report_that_contradicts_is_a_fact_of_its_own(world: World) -> None:
    payment = await world.initiate()
    for name in ("evt_1", "evt_2", "evt_1"):
        conflict = Observation(id=name, reference=str(payment.id), fact=Conflict())
        await world.intake.accept("mock", [conflict])
        await world.intake_pass()

    [record] = (await world.newest(payment)).attention_records
    assert record.facts == {"report evt_1", "report evt_2"}
    assert await world.events() == ["payment.attention", "payment.attention"]


# -- words for the above ---------------------------------------------------------------------


def _noting_commits(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Commit]:
    """What is written together from here on."""
    commit_all, written = world.store.commit_all, list[Commit]()

    async def noting(commits: Sequence[Commit]) -> Sequence[bool]:
        written.extend(commits)
        return await commit_all(commits)

    monkeypatch.setattr(world.store, "commit_all", noting)
    return written


def _webhook_reports(world: World, *observations: Observation) -> None:
    """Make the observations the content of the signed webhook evt_1."""
    event = ProviderEvent(id="evt_1", type="paid", content={})
    world.provider.webhooks[b"signed"] = [event]
    world.provider.meanings["evt_1"] = observations


def _event_of(world: World, payment: Payment) -> ProviderEvent:
    """An event which reports that the payment is paid."""
    event = ProviderEvent(id=f"evt_{payment.id}", type="paid", content={})
    world.provider.meanings[event.id] = [attrs.evolve(_paid(world, payment), id=event.id)]
    return event


def _paid(world: World, payment: Payment) -> Observation:
    fields: dict[str, Any] = {
        "status": ProviderStatus.PAID,
        "asset": "USD",
        "received": payment.due,
        "confirmed": payment.due,
        "as_of": world.clock.now(),
        "due": payment.due,
    }
    return Observation(id="evt_1", reference=str(payment.id), fact=Snapshot(**fields))
