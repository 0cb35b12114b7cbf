"""Situations of the payment model, each reached by real calls, reports and status checks."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import attrs
from unit.service.fakes import DECLINED, OUTCOME_UNKNOWN, UNANSWERED, Request, not_attempted
from unit.service.world import USDC, World, capable

from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import (
    Created,
    Observation,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Snapshot,
)
from payd.domain.next_action import CryptoTransfer, NextAction, Show, ShowField, ShowKind
from payd.domain.payment import Payment, Status
from payd.plugins.capabilities import Cancel as Closing
from payd.plugins.capabilities import Lookup
from payd.ports import Answer

Make = Callable[[], World]
Play = Callable[[World], Awaitable[Payment]]

CHAIN = capable(cancel=Closing.NOT_CLOSABLE)


@attrs.frozen
class Situation:
    """A world, and what happens in it."""

    make: Make
    play: Play


SITUATIONS: dict[str, Situation] = {}


def situation(make: Make = World) -> Callable[[Play], Play]:
    """Add a situation, named by its function."""

    def add(play: Play) -> Play:
        SITUATIONS[play.__name__.replace("_", " ")] = Situation(make, play)
        return play

    return add


def on_a_chain() -> World:
    """A rail that cannot close, and that reports receipts."""
    return World(CHAIN)


def that_holds() -> World:
    """Late money waits for a person."""
    return World(late_payments_complete=False)


def that_cannot_look_up() -> World:
    """Nothing tells whether a request arrived, except the same request again for a day."""
    return World(capable(lookup=Lookup.NONE))


async def report(world: World, fact: Any, name: str, reference: object = None) -> None:
    """The provider reports a fact, and payd settles it."""
    named = str(reference or world.provider.object.operation.payment_id)
    await world.intake.accept("mock", [Observation(id=name, reference=named, fact=fact)])
    await world.intake_pass()


async def customer_pays(world: World, amount: int | None = None, *, after: float = 5) -> None:
    """The customer pays some minutes later; the provider reports it."""
    world.clock.move(minutes=after)
    await world.pay(amount)
    world.clock.move(seconds=2)
    await world.intake_pass()
    await world.publish_pass()


async def in_tokens(world: World) -> Payment:
    """A payment that waits for its tokens."""
    return await world.initiate(method="crypto", crypto_currency="USDC")


def receipt(world: World, name: str, amount: int, **overrides: Any) -> Receipt:
    """A final transfer of tokens, now."""
    fields: dict[str, Any] = {
        "asset": USDC.token_address,
        "state": ReceiptState.CONFIRMED,
        "time": world.clock.now(),
        "details": {"sender": "0x" + "5e" * 20},
    }
    return Receipt(id=name, amount=amount, **(fields | overrides))


async def received(world: World, payment: Payment, *receipts: Receipt) -> None:
    """The watch of the chain reports transfers that name the payment."""
    world.clock.move(seconds=1)
    name = f"block {receipts[0].id} {receipts[0].state.value}"
    await report(world, receipts, name, payment.id)


def partly_paid(world: World, amount: int, status: ProviderStatus) -> Snapshot:
    """The object with a part of its money, final."""
    shown = world.provider.snapshot(world.provider.object)
    return attrs.evolve(shown, status=status, received=amount, confirmed=amount)


def dispute(world: World, status: DisputeStatus, **overrides: Any) -> Dispute:
    """A dispute of all the money."""
    now = world.clock.now()
    fields: dict[str, Any] = {
        "id": "dp_1",
        "asset": "USD",
        "amount": 14900,
        "reason": "fraudulent",
        "open_time": now,
        "as_of": now,
        "evidence_due_time": now + timedelta(days=9),
    }
    return Dispute(status=status, **(fields | overrides))


async def until_expired(world: World, payment: Payment) -> Payment:
    """Status checks go on until the payment is closed."""
    while (payment := await world.newest(payment)).status.is_open:
        payment = await world.check_again(payment)
    await world.publish_pass()
    return payment


# -- before the provider has it ------------------------------------------------------------------


@situation()
async def the_provider_is_being_asked(world: World) -> Payment:
    seen: list[Payment] = []

    async def meanwhile(request: Any) -> Any:
        [payment] = world.store.all()
        seen.append(payment)
        raise KeyboardInterrupt

    world.provider.replies["create"].append(meanwhile)
    try:
        await world.initiate()
    except KeyboardInterrupt:
        world.clock.move(seconds=1)
    return seen[0]


@situation()
async def the_outcome_is_unknown(world: World) -> Payment:
    payment = await world.payment_in(Status.CREATING)
    world.provider.always = UNANSWERED
    for _ in range(3):
        payment = await world.check_again(payment)
    return payment


@situation(that_cannot_look_up)
async def the_outcome_is_unknown_past_the_expiry(world: World) -> Payment:
    payment = await world.payment_in(Status.CREATING)
    world.provider.always = UNANSWERED
    world.clock.move(minutes=31)
    for _ in range(4):
        payment = await world.check_again(payment)
    await world.publish_pass()
    return payment


@situation(that_cannot_look_up)
async def canceling_with_an_unknown_outcome_past_the_expiry(world: World) -> Payment:
    payment = await world.payment_in(Status.CREATING)
    payment = await world.cancel(payment, "changed my mind")
    world.provider.always = UNANSWERED
    world.clock.move(hours=25)
    return await world.check_again(payment)


@situation(that_cannot_look_up)
async def the_outcome_was_unknown_and_the_request_sent_again(world: World) -> Payment:
    payment = await world.payment_in(Status.CREATING)
    return await world.check_again(payment)


@situation()
async def a_lookup_finds_what_a_lost_answer_created(world: World) -> Payment:
    async def lost(request: Any) -> Any:
        world.provider.make(request)
        return OUTCOME_UNKNOWN

    world.provider.replies["create"].append(lost)
    payment = await world.initiate()
    return await world.check_again(payment)


@situation()
async def the_provider_could_not_be_reached(world: World) -> Payment:
    return await world.never_sent()


@situation()
async def the_provider_could_never_be_reached(world: World) -> Payment:
    payment = await world.never_sent()
    while payment.status.is_open:
        world.provider.replies["create"].append(not_attempted())
        payment = await world.check_again(payment)
    await world.publish_pass()
    return payment


@situation()
async def the_provider_is_no_longer_enabled(world: World) -> Payment:
    payment = await world.payment_in(Status.PENDING)
    world.providers.disabled = True
    return payment


@situation()
async def the_provider_declined(world: World) -> Payment:
    world.provider.replies["create"].append(DECLINED)
    payment = await world.initiate()
    await world.publish_pass()
    return payment


# -- waiting for money ---------------------------------------------------------------------------


@situation()
async def the_customer_has_not_paid_yet(world: World) -> Payment:
    payment = await world.initiate()
    world.clock.move(minutes=1)
    return payment


@situation(on_a_chain)
async def the_customer_has_not_sent_tokens_yet(world: World) -> Payment:
    transfer = CryptoTransfer(
        currency="USDC",
        chain_id=42431,
        token_address=USDC.token_address,
        receiver_address="0x" + "4e" * 20,
        amount_base_units=149_000_000,
        decimals=6,
        memo="0x" + b"81H455VB4PEX5VSKNK084SN02Q3RAVHX".hex(),
        calldata="",
        payment_uri="",
    )
    return await shown(world, transfer, method="crypto", crypto_currency="USDC")


@situation(on_a_chain)
async def the_customer_has_instructions(world: World) -> Payment:
    iban = ShowField(label="IBAN", value="DE02 1203 0000 0000 2020 51", copyable=True)
    return await shown(world, Show(kind=ShowKind.BANK_TRANSFER, fields=(iban,)))


@situation()
async def the_customer_is_at_the_provider(world: World) -> Payment:
    return await shown(world, None)


async def shown(world: World, action: NextAction | None, **request: Any) -> Payment:
    """A payment for which the provider asks the customer to do this."""

    async def answer(operation: Any) -> Answer:
        [made] = world.provider.make(operation).evidence
        assert isinstance(made, Created)
        return Answer(evidence=(attrs.evolve(made, next_action=action),))

    world.provider.replies["create"].append(answer)
    return await world.initiate(**request)


@situation()
async def status_checks_bring_nothing(world: World) -> Payment:
    payment = await world.initiate()
    for _ in range(4):
        payment = await world.check_again(payment)
    return payment


@situation()
async def the_provider_closes_earlier(world: World) -> Payment:
    world.provider.expires_after = timedelta(minutes=10)
    return await world.initiate()


@situation()
async def money_is_on_its_way(world: World) -> Payment:
    return await world.payment_in(Status.PROCESSING)


@situation()
async def money_is_on_its_way_past_the_expiry(world: World) -> Payment:
    payment = await world.payment_in(Status.PROCESSING)
    world.clock.move(minutes=31)
    return await world.check_again(payment)


@situation(on_a_chain)
async def a_transfer_was_seen_and_is_not_final(world: World) -> Payment:
    payment = await in_tokens(world)
    world.clock.move(minutes=3)
    await received(world, payment, receipt(world, "0xaa:1", 149_000_000, state=ReceiptState.SEEN))
    return payment


@situation(on_a_chain)
async def a_transfer_was_seen_and_undone(world: World) -> Payment:
    payment = await in_tokens(world)
    world.clock.move(minutes=3)
    seen = receipt(world, "0xaa:1", 149_000_000, state=ReceiptState.SEEN)
    await received(world, payment, seen)
    await received(world, payment, attrs.evolve(seen, state=ReceiptState.DROPPED))
    return payment


@situation(on_a_chain)
async def partly_paid_in_time(world: World) -> Payment:
    payment = await in_tokens(world)
    world.clock.move(minutes=3)
    await received(world, payment, receipt(world, "0xaa:1", 50_000_000))
    return payment


@situation(on_a_chain)
async def money_that_names_no_payment(world: World) -> Payment:
    payment = await in_tokens(world)
    world.clock.move(minutes=3)
    await report(world, (receipt(world, "0xbb:1", 149_000_000),), "block 7", "0xnobody")
    return payment


@situation(on_a_chain)
async def money_whose_memo_was_mistyped(world: World) -> Payment:
    payment = await in_tokens(world)
    world.clock.move(minutes=3)
    details = {
        "sender": "0x" + "5e" * 20,
        "likely_payment": str(payment.id),
        "memo": "0x" + b"81H455VB4PEX5VSKNK084SN02Q3RAVHY".hex(),
    }
    came = receipt(world, "0xbb:1", 20_000_000, details=details)
    await report(world, (came,), "block 7", "0xnobody")
    return payment


@situation(on_a_chain)
async def money_in_the_wrong_token(world: World) -> Payment:
    payment = await in_tokens(world)
    world.clock.move(minutes=3)
    other = receipt(world, "0xcc:1", 149_000_000, asset="0x" + "ef" * 20)
    await received(world, payment, other)
    await world.publish_pass()
    return payment


@situation()
async def the_object_asks_for_another_amount(world: World) -> Payment:
    payment = await world.initiate()
    shown = world.provider.snapshot(world.provider.object)
    await report(world, attrs.evolve(shown, due=10000), "evt_1")
    await world.publish_pass()
    return payment


@situation()
async def canceled_because_the_object_asked_for_another_amount(world: World) -> Payment:
    return await canceled_when_it_is(world, ProviderStatus.CANCELED, 0)


@situation()
async def canceled_after_the_object_of_another_amount_was_paid(world: World) -> Payment:
    return await canceled_when_it_is(world, ProviderStatus.PAID, 10000)


async def canceled_when_it_is(world: World, status: ProviderStatus, paid: int) -> Payment:
    """Canceled; the provider answers with an object of another amount that has ended so."""
    payment = await the_object_asks_for_another_amount(world)
    world.clock.move(minutes=1)

    async def ended(_: Request) -> Answer:
        world.provider.object.status = status
        shown = world.provider.snapshot(world.provider.object)
        brought = attrs.evolve(shown, due=10000, received=paid, confirmed=paid)
        return Answer(evidence=(brought,))

    world.provider.replies["close"] = [ended]
    await world.cancel(payment, "wrong amount")
    await world.publish_pass()
    await world.publish_pass()
    return payment


@situation()
async def a_report_came_with_two_contents(world: World) -> Payment:
    payment = await world.initiate()
    world.clock.move(minutes=2)
    shown = world.provider.snapshot(world.provider.object)
    await report(world, shown, "evt_1")
    await report(world, attrs.evolve(shown, status=ProviderStatus.PROCESSING), "evt_1")
    await world.publish_pass()
    return payment


@situation()
async def a_report_waits_in_the_inbox(world: World) -> Payment:
    payment = await world.initiate()
    world.clock.move(minutes=2)
    await world.pay()
    return payment


@situation(on_a_chain)
async def a_status_check_has_to_reach_the_expiry(world: World) -> Payment:
    payment = await in_tokens(world)
    world.provider.behind = timedelta(minutes=2)
    world.clock.move(minutes=30, seconds=20)
    return await world.check_again(payment)


@situation()
async def the_time_to_pay_has_just_ended(world: World) -> Payment:
    payment = await world.initiate()
    world.clock.move(minutes=30, seconds=1)
    return payment


@situation(on_a_chain)
async def partly_paid_past_the_expiry(world: World) -> Payment:
    payment = await partly_paid_in_time(world)
    world.provider.behind = timedelta(minutes=2)
    world.clock.move(minutes=28)
    return await world.check_again(payment)


@situation()
async def stuck_because_the_provider_is_away(world: World) -> Payment:
    payment = await world.initiate()
    world.provider.always = UNANSWERED
    world.clock.move(minutes=31)
    while not (payment := await world.check_again(payment)).attention:
        pass
    payment = await world.check_again(payment)
    await world.publish_pass()
    return payment
