"""ExplainPayment: what it reads, for which time it speaks, and which commands it advises."""

import shlex
from datetime import datetime, timedelta
from importlib import import_module
from uuid import UUID

import attrs
import click
import pytest
import trio
from support.memory import MemoryHistories
from unit.service.fakes import NOON, UNANSWERED, RefundReply
from unit.service.situations import SITUATIONS
from unit.service.world import USDC, World, capable, refunding

from payd.cli.main import main as command_line
from payd.domain.errors import InvalidField, PaymentNotFound
from payd.domain.evidence import (
    Conflict,
    Observation,
    OutcomeUnknown,
    ProviderStatus,
    Receipt,
    ReceiptState,
)
from payd.domain.explain import explain as rules
from payd.domain.explanation import Actor, Explanation
from payd.domain.history import Circumstances, History
from payd.domain.payment import Origin, Payment, Status
from payd.domain.refund import RefundStatus
from payd.domain.refunds import REFUND_STUCK_AFTER
from payd.plugins.capabilities import Cancel as Closing
from payd.plugins.capabilities import Capabilities, Lookup
from payd.plugins.interface import ProviderEvent
from payd.ports import Trail
from payd.service import explain

import_module("unit.service.situations_of_ends")
import_module("unit.service.situations_of_money_back")
import_module("unit.service.situations_after_money_back")

REPORTED = Origin(actor="provider:mock")


async def explained(world: World, payment: Payment) -> Explanation:
    """As it stands now."""
    return await world.explains.explain(payment.id, None)


def parse(command: str) -> None:
    """Raise click's error for a command that `payd` would not take."""
    name, *words = shlex.split(command)
    assert name == "payd"
    context = click.Context(command_line, info_name=name)
    group: click.Command = command_line
    while isinstance(group, click.Group):
        found = group.get_command(context, words.pop(0))
        assert found is not None, command
        group = found
    group.make_context(group.name, words, parent=context)


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_command_that_is_advised_is_one_of_payds(name: str) -> None:
    async def commands() -> list[str]:
        world = SITUATIONS[name].make()
        payment = await SITUATIONS[name].play(world)
        return [one.command for one in (await explained(world, payment)).advice if one.command]

    for command in trio.run(commands):
        parse(command)


def test_a_command_that_payd_does_not_have_would_be_found() -> None:
    with pytest.raises(click.ClickException):
        parse("payd refund --never")


async def test_an_unknown_payment_is_not_explained(world: World) -> None:
    with pytest.raises(PaymentNotFound, match=r"^no payment has this id$") as found:
        await world.explains.explain(UUID(int=99), None)
    assert found.value.metadata == {"payment_id": str(UUID(int=99))}


async def test_a_payment_is_explained_as_it_was_known_at_a_time(world: World) -> None:
    payment = await world.initiate()
    world.clock.move(minutes=5)
    await world.pay()
    await world.intake_pass()
    world.clock.move(minutes=5)
    await world.publish_pass()

    then = await world.explains.explain(payment.id, NOON + timedelta(minutes=1))
    assert then.status is Status.PENDING
    assert then.waiting_for.actor is Actor.CUSTOMER
    assert (then.time, then.advice) == (NOON + timedelta(minutes=1), ())
    assert len(then.steps) == 2

    between = await world.explains.explain(payment.id, NOON + timedelta(minutes=6))
    assert between.status is Status.COMPLETED
    assert between.summary.endswith("the main app has not been sent payment.completed yet.")

    now = await explained(world, payment)
    assert now.waiting_for.actor is Actor.NOBODY
    assert now.steps[-1].source.startswith("event ")


async def test_a_report_that_was_settled_later_waited_then(world: World) -> None:
    payment = await world.initiate()
    world.clock.move(minutes=5)
    await world.pay()
    world.clock.move(minutes=5)
    await world.intake_pass()
    then = await world.explains.explain(payment.id, NOON + timedelta(minutes=6))
    assert then.status is Status.PENDING
    assert then.waiting_for.actor is Actor.PAYD
    assert "received at 2026-11-23 12:05:00 UTC" in then.waiting_for.what
    before = await world.explains.explain(payment.id, NOON + timedelta(minutes=4))
    assert before.waiting_for.actor is Actor.CUSTOMER


async def test_money_that_moved_after_the_late_window_is_not_taken_for_the_payments() -> None:
    world = World(capable(cancel=Closing.NOT_CLOSABLE))
    payment = await world.initiate(method="crypto", crypto_currency="USDC")
    world.clock.move(days=2)
    late = Receipt(
        id="r1",
        asset=payment.asset,
        amount=payment.due,
        state=ReceiptState.CONFIRMED,
        time=world.clock.now(),
    )
    await world.intake.accept("mock", [Observation(id="o", reference="else", fact=(late,))])
    await world.intake_pass()
    advice = (await explained(world, payment)).advice
    assert not any("receipts attach" in one.command for one in advice)


async def test_an_expiry_that_moves_within_its_second_is_left_out() -> None:
    world = World()
    world.provider.expires_after = timedelta(minutes=30) - timedelta(milliseconds=300)
    world.clock.move(seconds=0.5)
    payment = await world.initiate()
    said = [step.what for step in (await explained(world, payment)).steps]
    assert not any("expires at" in what for what in said), said


async def test_a_time_before_its_creation_has_no_payment(world: World) -> None:
    payment = await world.initiate()
    with pytest.raises(PaymentNotFound, match=r"^no payment had this id at that time$"):
        await world.explains.explain(payment.id, NOON - timedelta(seconds=1))


async def test_the_future_is_refused_but_a_clock_may_be_a_minute_ahead(world: World) -> None:
    payment = await world.initiate()
    minute = NOON + timedelta(minutes=1)
    with pytest.raises(InvalidField, match=r"^at_time: is in the future$"):
        await world.explains.explain(payment.id, minute + timedelta(microseconds=1))
    ahead = await world.explains.explain(payment.id, minute)
    assert ahead.time == NOON


async def test_what_a_daemon_whose_clock_is_ahead_has_written_belongs_to_the_present(
    world: World,
) -> None:
    payment = await world.initiate()
    world.clock.move(hours=23)
    await world.pay()
    await world.intake_pass()
    world.clock.move(hours=-23)
    assert (await explained(world, payment)).status is Status.COMPLETED


async def test_the_next_look_is_the_one_that_recovery_has_scheduled(world: World) -> None:
    payment = await world.payment_in(Status.CREATING)
    world.provider.always = UNANSWERED
    payment = await world.check_again(payment)
    payment = await world.check_again(payment)
    stored = await world.newest(payment)
    explanation = await explained(world, payment)
    assert explanation.next_look_time == stored.next_check_time
    assert "2 status checks brought nothing" in explanation.waiting_for.what


async def test_a_change_meanwhile_does_not_mix_two_versions(world: World) -> None:
    payment = await world.initiate()

    class SlowHistories(MemoryHistories):
        """Another call cancels the payment when its trail was read."""

        async def trail(self, payment_id: UUID, until: datetime, most: int) -> Trail | None:
            found = await super().trail(payment_id, until, most)
            await world.cancel(payment)
            return found

    slow = attrs.evolve(world.explains, histories=SlowHistories(world.store))
    explanation = await slow.explain(payment.id, None)
    assert explanation.status is Status.PENDING
    assert explanation.next_look_time is not None


async def test_a_payment_that_vanishes_meanwhile_is_explained_as_it_was_read(world: World) -> None:
    payment = await world.initiate()
    lonely = attrs.evolve(world.explains, store=World().store)
    explanation = await lonely.explain(payment.id, None)
    assert explanation.status is Status.PENDING


async def test_the_next_look_at_a_refund_is_the_one_that_recovery_has_scheduled(
    world: World,
) -> None:
    refund = await world.refund_in(RefundStatus.CREATING)
    world.provider.refund_replies.append(RefundReply(answer=OutcomeUnknown()))
    refund = await world.check_refund(refund)
    payment, _ = await world.query.get_refund(refund.id)
    assert (await explained(world, payment)).next_look_time == refund.next_check_time


async def test_an_event_that_names_the_payment_waits(world: World) -> None:
    payment = await world.initiate()
    about = Observation(id="o", reference=str(payment.id), fact=Conflict(detail="c"))
    elsewhere = Observation(id="p", reference=str(UUID(int=5)), fact=Conflict(detail="c"))
    for name, meaning in (("evt_a", about), ("evt_b", elsewhere)):
        event = ProviderEvent(id=name, type="t", content={})
        world.provider.meanings[name] = (meaning,)
        await world.inbox.put("mock", [event])
    await world.inbox.put("mock", [ProviderEvent(id="evt_c", type="unknown", content={})])

    explanation = await explained(world, payment)

    assert explanation.waiting_for.actor is Actor.PAYD
    assert "report evt_a of mock, which says a contradiction (c)" in explanation.waiting_for.what
    assert "more" not in explanation.waiting_for.what


async def test_reports_that_name_a_refund_wait_for_its_payment(world: World) -> None:
    refund = await world.refund_in(RefundStatus.PENDING)
    payment, _ = await world.query.get_refund(refund.id)
    ended = world.provider.finish_refund()
    about = Observation(id="evt_a", reference=str(refund.id), fact=ended)
    world.provider.meanings["evt_a"] = (about,)
    await world.inbox.put("mock", [ProviderEvent(id="evt_a", type="t", content={})])
    await world.intake.accept("mock", [attrs.evolve(about, id="o")])

    what = (await explained(world, payment)).waiting_for.what

    assert f"evt_a of mock, which says refund {ended.reference} of 1.00 USD as SUCCEEDED" in what
    assert "with 1 more" in what


async def test_reports_that_name_the_payment_only_by_their_second_name_wait(world: World) -> None:
    payment = await world.initiate()
    about = Observation(id="evt_a", reference="other", also="obj_1", fact=Conflict(detail="odd"))
    world.provider.meanings["evt_a"] = (about,)
    await world.inbox.put("mock", [ProviderEvent(id="evt_a", type="t", content={})])
    await world.intake.accept("mock", [attrs.evolve(about, id="o")])

    what = (await explained(world, payment)).waiting_for.what

    assert "evt_a of mock, which says" in what
    assert "odd" in what
    assert "with 1 more" in what


async def test_a_report_that_names_nothing_does_not_wait_for_a_payment_without_a_reference(
    world: World,
) -> None:
    payment = await world.payment_in(Status.CREATING)
    await world.intake.accept("mock", [Observation(id="o", reference="", fact=())])
    assert "report o" not in (await explained(world, payment)).waiting_for.what


async def test_several_waiting_reports_are_counted_with_their_attempts(world: World) -> None:
    payment = await world.initiate()
    for name in ("o1", "o2"):
        fact = Conflict(detail=name)
        await world.intake.accept("mock", [Observation(id=name, reference="obj_1", fact=fact)])
    await world.reports.claim_batch()
    what = (await explained(world, payment)).waiting_for.what
    assert "report o1 of mock" in what
    assert "with 1 more, 1 attempts so far, next at 2026-11-23 12:00:30 UTC" in what


@pytest.mark.parametrize(
    ("capabilities", "can_look_up", "can_close", "settle_after"),
    [
        (capable(), True, True, timedelta(days=1)),
        (
            capable(lookup=Lookup.NONE, cancel=Closing.NOT_CLOSABLE, refunds=None),
            False,
            False,
            REFUND_STUCK_AFTER,
        ),
    ],
)
async def test_the_rules_get_what_the_provider_can_do(
    monkeypatch: pytest.MonkeyPatch,
    capabilities: Capabilities,
    can_look_up: bool,
    can_close: bool,
    settle_after: timedelta,
) -> None:
    circumstances: list[Circumstances] = []

    def noting(history: History, around: Circumstances) -> Explanation:
        circumstances.append(around)
        return rules(history, around)

    monkeypatch.setattr(explain, "explain", noting)
    world = World(capabilities)
    await explained(world, await world.initiate())
    [around] = circumstances
    assert around.can_look_up is can_look_up
    assert around.can_close is can_close
    assert around.refund_settle_after == settle_after
    assert around.tokens == {USDC.token_address: ("USDC", 6)}


async def test_an_event_with_two_contents_is_shown_with_both(world: World) -> None:
    payment = await world.initiate()
    shown = world.provider.snapshot(world.provider.object)
    for number, status in enumerate((ProviderStatus.OPEN, ProviderStatus.PROCESSING)):
        fact = attrs.evolve(shown, status=status)
        world.provider.meanings["evt_a"] = (
            Observation(id="evt_a", reference=str(payment.id), fact=fact),
        )
        await world.inbox.put(
            "mock", [ProviderEvent(id="evt_a", type="t", content={"number": number})]
        )
        await world.intake_pass()
    elsewhere = Observation(id="evt_a", reference="else", fact=Conflict(detail="not ours"))
    world.provider.meanings["evt_a"] = (*world.provider.meanings["evt_a"], elsewhere)

    text = " ".join(one.text for one in (await explained(world, payment)).advice)
    assert "says PROCESSING with 0.00 USD received and 0.00 USD final; the second time" in text
    assert "not ours" not in text

    world.providers.disabled = True
    text = " ".join(one.text for one in (await explained(world, payment)).advice)
    assert "report evt_a came with two contents" in text
    assert "says PROCESSING" not in text


async def test_no_refund_is_advised_where_payd_would_refuse_it() -> None:
    for capabilities in (capable(refunds=None), capable(refunds=refunding(partial=False))):
        world = World(capabilities)
        payment = await world.initiate()
        await world.pay(16000)
        await world.intake_pass()
        advice = (await explained(world, payment)).advice
        assert not any("payd refund " in one.command for one in advice)
        assert any("Send the surplus of 11.00 USD back. payd cannot" in one.text for one in advice)


async def test_old_steps_are_left_out_and_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "_CHANGES_MAX", 2)
    payment = await world.initiate()
    for detail in ("one", "two", "three"):
        await world.settle.settle(await world.newest(payment), Conflict(detail=detail), REPORTED)
    explanation = await explained(world, payment)
    assert [step.what for step in explanation.steps] == [
        "CONFLICTING_EVIDENCE: what payd knows does not agree: two.",
        "CONFLICTING_EVIDENCE: what payd knows does not agree: three.",
    ]
    assert explanation.payment_id == payment.id
    assert explanation.steps_left_out == (await world.newest(payment)).version - 2


async def test_of_reports_and_receipts_only_so_many_are_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "_REPORTS_MAX", 1)
    monkeypatch.setattr(explain, "_RECEIPTS_MAX", 1)
    payment = await world.initiate()
    for name in ("o1", "o2"):
        stray = Receipt(
            id=name,
            asset="USD",
            amount=payment.due,
            state=ReceiptState.CONFIRMED,
            time=world.clock.now(),
        )
        await world.intake.accept("mock", [Observation(id=name, reference="", fact=(stray,))])
        await world.intake_pass()
    text = " ".join(one.text for one in (await explained(world, payment)).advice)
    assert "o2" in text
    assert "o1" not in text

    for name in ("o3", "o4"):
        fact = Conflict(detail=name)
        await world.intake.accept("mock", [Observation(id=name, reference="obj_1", fact=fact)])
    assert "with 1 more" not in (await explained(world, payment)).waiting_for.what
    world.clock.move(minutes=5)
    while await world.intake_pass():
        pass
    then = await world.explains.explain(payment.id, NOON + timedelta(minutes=1))
    assert "has to process the report o3" in then.waiting_for.what
    assert "with 1 more" not in then.waiting_for.what
