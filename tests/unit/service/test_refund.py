"""RefundPayment: one refund for one key, never more than is left, under any race."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from unit.service.fakes import Died
from unit.service.world import CALLER, USDC, World, capable, refunding

from payd.domain.attention import Attention
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.errors import (
    IdempotencyKeyReused,
    InvalidField,
    NotRefundable,
    PaydError,
    PaymentNotFound,
    ProviderUnavailable,
    RefundDestinationRequired,
    RefundExceedsPaid,
    StoreUnavailable,
)
from payd.domain.evidence import (
    Declined,
    Evidence,
    NotAttempted,
    NotClosable,
    OutcomeUnknown,
    Snapshot,
)
from payd.domain.money import Money
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status
from payd.domain.refund import Refund, RefundSnapshot, RefundState, RefundStatus, RefundTerms
from payd.domain.refunds import left
from payd.domain.request import RefundRequest
from payd.plugins.capabilities import Sends
from payd.ports import RefundReply
from payd.service.operation import claim_deadline
from payd.service.refund import refund_terms

PAID = 14900


def usd(minor_units: int) -> Money:
    return Money(currency_code="USD", minor_units=minor_units)


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def payment(world: World) -> Payment:
    """149.00 USD, paid by card."""
    return await world.payment_in(Status.COMPLETED)


async def test_a_refund_is_granted_sent_and_answered(world: World, payment: Payment) -> None:
    refund = await world.refund(payment, reason="damaged")
    assert (refund.status, refund.amount, refund.provider_reference) == (
        RefundStatus.PENDING,
        100,
        "re_1",
    )
    assert (refund.requester, refund.request_id) == ("main-app", "req-1")
    [operation] = world.provider.refunds
    assert operation.operation_id == f"payd:{refund.id}:refund:v1"
    assert (operation.amount, operation.asset, operation.is_all) == (100, "USD", False)
    assert (operation.reference, operation.reason) == ("obj_1", "damaged")
    assert left(await world.newest(payment)) == PAID - 100
    assert await world.trail(payment) == [
        *("payment_creating", "payment_pending", "payment_completed"),
        *("refund_creating", "refund_pending"),
    ]


async def test_a_refund_is_stored_as_it_was_requested_before_it_is_sent(
    world: World, payment: Payment
) -> None:
    world.crash.die_at("refund.after_insert")
    with pytest.raises(Died):
        await world.refund(payment, reason="damaged", destination="0xabc")
    [stored], now = (await world.newest(payment)).refunds, world.clock.now()
    request = RefundRequest(
        payment_id=payment.id,
        idempotency_key="refund-1",
        amount=usd(100),
        reason="damaged",
        destination="0xabc",
    )
    assert stored == Refund(
        id=stored.id,
        status=RefundStatus.CREATING,
        amount=100,
        idempotency_key="refund-1",
        request_hash=request.fingerprint(),
        reason="damaged",
        destination="0xabc",
        requester="main-app",
        request_id="req-1",
        create_time=now,
        update_time=now,
        asking=Asking.ASKING,
        ask_deadline=claim_deadline(world.port, now),
        next_check_time=stored.next_check_time,
    )


def test_a_refund_is_granted_by_what_the_provider_can_do_and_the_operator_allows() -> None:
    day = timedelta(days=1)
    limited = refunding(partial=False, several=False, window=day, sends=Sends.INSTRUCTIONS)
    assert refund_terms(limited, 7) == RefundTerms(
        partial=False, several=False, window=day, needs_destination=True, approval_from=7
    )
    assert refund_terms(refunding(), None) == RefundTerms()


async def test_the_end_of_a_refund_is_published(world: World, payment: Payment) -> None:
    await world.refund(payment)
    await world.report_refund(world.provider.finish_refund())
    assert await world.events() == ["payment.completed", "payment.refunded"]
    await world.report_refund(world.provider.finish_refund(RefundState.FAILED))
    assert await world.events() == [
        *("payment.completed", "payment.refunded"),
        *("payment.refund_failed", "payment.attention"),
    ]
    assert (await world.newest(payment)).refunded == 0


async def test_without_an_amount_all_that_is_left_is_refunded(
    world: World, payment: Payment
) -> None:
    await world.refund(payment)
    rest = await world.refund(payment, amount=None, idempotency_key="refund-2")
    assert rest.amount == PAID - 100
    assert [operation.is_all for operation in world.provider.refunds] == [False, False]
    other = await world.initiate(idempotency_key="key-2")
    world.provider.remote[-1].pay()
    await world.report(world.provider.remote[-1])
    await world.intake_pass()
    await world.refund(other, amount=None, idempotency_key="refund-3")
    assert world.provider.refunds[-1].is_all


async def test_a_token_is_refunded_in_its_base_units(world: World) -> None:
    payment = await world.initiate(method="crypto", crypto_currency=USDC.code)
    await world.pay()
    await world.intake_pass()
    refund = await world.refund(payment)
    assert refund.amount == 1_000_000
    assert world.provider.refunds[0].asset == USDC.token_address


async def test_the_same_key_gives_the_same_refund(world: World, payment: Payment) -> None:
    first = await world.refund(payment)
    assert await world.refund(payment) == first
    await world.report_refund(world.provider.finish_refund())
    assert (await world.refund(payment)).status is RefundStatus.SUCCEEDED
    assert len(world.provider.refunds) == 1


async def test_a_key_belongs_to_one_request(world: World, payment: Payment) -> None:
    first = await world.refund(payment)
    with pytest.raises(IdempotencyKeyReused) as refusal:
        await world.refund(payment, amount=usd(101))
    assert str(refusal.value) == (
        "the idempotency key was used for a refund with other contents: use a new key"
    )
    assert refusal.value.metadata == {"refund_id": str(first.id)}
    other = await world.initiate(idempotency_key="key-2")
    with pytest.raises(IdempotencyKeyReused):
        await world.refund(other)


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"amount": usd(PAID + 1)}, RefundExceedsPaid, "149.00 USD is left to refund"),
        (
            {"amount": Money(currency_code="EUR", minor_units=1)},
            InvalidField,
            "amount.currency_code: must be USD",
        ),
    ],
)
async def test_a_refused_refund_changes_nothing(
    world: World, payment: Payment, fields: dict[str, Any], error: type[PaydError], said: str
) -> None:
    with pytest.raises(error) as refusal:
        await world.refund(payment, **fields)
    assert str(refusal.value) == said
    assert await world.newest(payment) == payment
    assert world.provider.refunds == []


async def test_a_token_that_is_too_coarse_for_the_amount_is_refused(world: World) -> None:
    payment = await world.initiate(method="crypto", crypto_currency=USDC.code)
    await world.pay()
    await world.intake_pass()
    stored = await world.newest(payment)
    assert stored.crypto is not None
    coarse = attrs.evolve(stored, crypto=attrs.evolve(stored.crypto, decimals=0))
    world.store._payments[payment.id] = coarse
    with pytest.raises(InvalidField) as refusal:
        await world.refund(payment, amount=usd(150))
    assert (refusal.value.field, refusal.value.description) == (
        "amount",
        "150 minor units of USD need more decimals than the 0 of the token",
    )


async def test_an_unknown_payment_cannot_be_refunded(world: World, payment: Payment) -> None:
    unknown = attrs.evolve(payment, id=world.refunds.ids.new())
    with pytest.raises(PaymentNotFound):
        await world.refund(unknown)


async def test_a_provider_that_cannot_refund_is_not_asked() -> None:
    world = World(capable(refunds=None))
    payment = await world.payment_in(Status.COMPLETED)
    with pytest.raises(NotRefundable) as refusal:
        await world.refund(payment)
    assert str(refusal.value) == "the provider mock cannot refund"
    assert refusal.value.metadata == {"payment_id": str(payment.id)}
    world.providers.disabled = True
    with pytest.raises(ProviderUnavailable):
        await world.refund(payment)


async def test_where_payd_cannot_send_it_says_what_to_send() -> None:
    world = World(capable(refunds=refunding(sends=Sends.INSTRUCTIONS)))
    payment = await world.payment_in(Status.COMPLETED)
    with pytest.raises(RefundDestinationRequired):
        await world.refund(payment)
    refund = await world.refund(payment, destination="0xabc")
    assert refund.status is RefundStatus.AWAITING_TRANSFER
    assert refund.next_action is not None
    assert refund.next_check_time is None


# -- answers that are none -----------------------------------------------------------------------


async def test_an_unknown_outcome_is_no_error(world: World, payment: Payment) -> None:
    world.provider.refund_replies.append(RefundReply(answer=OutcomeUnknown()))
    refund = await world.refund(payment)
    assert (refund.status, refund.asking) == (RefundStatus.CREATING, Asking.UNKNOWN)
    assert await world.refund(payment) == refund
    assert len(world.provider.refunds) == 1


async def test_what_was_never_sent_is_sent_with_the_same_key(
    world: World, payment: Payment
) -> None:
    error = ProviderUnavailable("nothing was sent", retry_after_s=1.0)
    world.provider.refund_replies.append(RefundReply(answer=NotAttempted(), error=error))
    refund = await world.refund(payment)
    assert (refund.status, refund.asking) == (RefundStatus.CREATING, Asking.NOT_ATTEMPTED)
    again = await world.refund(payment)
    assert (again.id, again.status) == (refund.id, RefundStatus.PENDING)
    first, second = world.provider.refunds
    assert first == second


async def test_a_declined_refund_is_an_answer(world: World, payment: Payment) -> None:
    declined = Declined(code="expired_card", message="No.")
    world.provider.refund_replies.append(RefundReply(answer=declined))
    refund = await world.refund(payment)
    assert refund.status is RefundStatus.FAILED
    assert left(await world.newest(payment)) == PAID
    assert await world.events() == [
        *("payment.completed", "payment.refund_failed", "payment.attention"),
    ]


async def test_what_the_caller_has_to_correct_is_an_error(world: World, payment: Payment) -> None:
    error = InvalidField("destination", "no such account")
    refused = Declined(code="invalid_request", message=str(error))
    world.provider.refund_replies.append(RefundReply(answer=refused, error=error))
    with pytest.raises(InvalidField):
        await world.refund(payment)
    assert left(await world.newest(payment)) == PAID


async def test_another_refund_under_our_operation_id_is_for_a_person(
    world: World, payment: Payment
) -> None:
    world.provider.refund_replies.append(RefundReply(answer=OutcomeUnknown(), is_conflict=True))
    refund = await world.refund(payment)
    [record] = (await world.newest(payment)).attention_records
    assert (record.reason, record.facts) == (
        Attention.CONFLICTING_EVIDENCE,
        {f"refund {refund.id} was sent before with other parameters"},
    )


async def test_a_claim_that_is_over_sends_nothing(world: World, payment: Payment) -> None:
    world.crash.act_at("refund.after_insert", partial(world.clock.move, minutes=5))
    refund = await world.refund(payment)
    assert refund.status is RefundStatus.CREATING
    assert world.provider.refunds == []


async def test_at_the_end_of_a_claim_its_daemon_stops_and_another_one_may_send(
    world: World, payment: Payment
) -> None:
    world.crash.die_at("refund.after_insert")
    with pytest.raises(Died):
        await world.refund(payment)
    claimed = await world.newest(payment)
    [refund] = claimed.refunds
    assert refund.ask_deadline is not None
    world.clock.time = refund.ask_deadline - timedelta(microseconds=1)
    assert await world.sender.send_again(claimed, refund.id, CALLER) == (claimed, None)

    world.clock.time = refund.ask_deadline
    assert await world.sender.send(claimed, refund.id, CALLER) == (claimed, None)
    assert world.provider.refunds == []
    unsent = await world.sender.learn(
        claimed, refund.id, RefundReply(answer=NotAttempted()), CALLER
    )
    assert unsent.refunds[0].asking is Asking.NOT_ATTEMPTED
    after, _ = await world.sender.send_again(unsent, refund.id, CALLER)
    assert after.refunds[0].status is RefundStatus.PENDING


async def test_what_has_its_answer_is_not_sent_again(world: World, payment: Payment) -> None:
    refund = await world.refund(payment)
    stored = await world.newest(payment)
    for minutes in (0, 5):
        world.clock.move(minutes=minutes)
        for send in (world.sender.send, world.sender.send_again):
            assert await send(stored, refund.id, CALLER) == (stored, None)
    assert len(world.provider.refunds) == 1


async def test_an_answer_waits_for_its_turn_at_the_payment(world: World, payment: Payment) -> None:
    world.crash.die_at("refund.after_insert")
    with pytest.raises(Died):
        await world.refund(payment)
    claimed = await world.newest(payment)
    [refund] = claimed.refunds
    reply = RefundReply(answer=OutcomeUnknown())
    async with trio.open_nursery() as nursery, world.turns.of(payment.id):
        nursery.start_soon(world.sender.learn, claimed, refund.id, reply, CALLER)
        await trio.testing.wait_all_tasks_blocked()
        assert (await world.stored(refund)).asking is Asking.ASKING
    assert (await world.stored(refund)).asking is Asking.UNKNOWN


# -- races ---------------------------------------------------------------------------------------


async def answers(world: World, payment: Payment, requests: list[dict[str, Any]]) -> list[Any]:
    """What these calls at once give."""
    given: list[Any] = []

    async def call(fields: dict[str, Any]) -> None:
        try:
            given.append(await world.refund(payment, **fields))
        except PaydError as error:
            given.append(error)

    async with trio.open_nursery() as nursery:
        for fields in requests:
            nursery.start_soon(call, fields)
    return given


async def test_i18_equal_calls_at_once_give_one_refund(world: World, payment: Payment) -> None:
    given = await answers(world, payment, [{}] * 50)
    assert {refund.id for refund in given} == {given[0].id}
    assert len(world.provider.remote_refunds) == 1
    assert len((await world.newest(payment)).refunds) == 1


async def test_of_calls_at_once_after_nothing_was_sent_one_sends(
    world: World, payment: Payment
) -> None:
    error = ProviderUnavailable("nothing was sent", retry_after_s=1.0)
    world.provider.refund_replies.append(RefundReply(answer=NotAttempted(), error=error))
    first = await world.refund(payment)
    given = await answers(world, payment, [{}] * 5)
    assert {refund.id for refund in given} == {first.id}
    assert len(world.provider.refunds) == 2


async def test_i17_calls_at_once_never_get_more_than_was_paid(
    world: World, payment: Payment
) -> None:
    requests = [{"idempotency_key": f"refund-{n}", "amount": usd(1000)} for n in range(30)]
    given = await answers(world, payment, requests)
    granted = [answer for answer in given if isinstance(answer, Refund)]
    refused = [answer for answer in given if isinstance(answer, RefundExceedsPaid)]
    assert (len(granted), len(refused)) == (14, 16)
    assert left(await world.newest(payment)) == PAID - 14_000


async def test_calls_of_other_daemons_do_not_make_losing_an_error(
    world: World, payment: Payment
) -> None:
    """Each world has a queue of its own, as a daemon has."""
    others = [World() for _ in range(4)]
    for other in others:
        other.store, other.clock, other.provider = world.store, world.clock, world.provider
        other.providers, other.port = world.providers, world.port
        other._wire(world.settle.rules)
        other._wire_refunds(None)
        other.refunds = attrs.evolve(other.refunds, ids=world.refunds.ids)
    given: list[Refund] = []

    async def call(daemon: World, key: str) -> None:
        given.append(await daemon.refund(payment, idempotency_key=key))

    async with trio.open_nursery() as nursery:
        for number, daemon in enumerate([world, *others] * 4):
            nursery.start_soon(call, daemon, f"refund-{number}")
    assert len({refund.id for refund in given}) == 20
    assert sum(daemon.turns.rests for daemon in [world, *others]) > 0
    assert left(await world.newest(payment)) == PAID - 2000


async def test_refunds_of_one_payment_wait_for_each_other(world: World, payment: Payment) -> None:
    async with trio.open_nursery() as nursery, world.turns.of(payment.id):
        nursery.start_soon(world.refund, payment)
        await trio.testing.wait_all_tasks_blocked()
        assert (await world.newest(payment)).refunds == ()
    assert len((await world.newest(payment)).refunds) == 1


async def test_a_call_that_lost_to_another_daemon_sends_what_that_one_could_not_send(
    world: World, payment: Payment
) -> None:
    error = ProviderUnavailable("nothing was sent", retry_after_s=1.0)
    world.provider.refund_replies.append(RefundReply(answer=NotAttempted(), error=error))
    first = await world.refund(payment)
    read, looks = world.store.get_refund_by_key, list[str]()

    async def read_too_early(key: str) -> tuple[Payment, Refund] | None:
        looks.append(key)
        return None if len(looks) == 1 else await read(key)

    world.store.get_refund_by_key = read_too_early  # type: ignore[method-assign,assignment]
    again = await world.refund(payment)

    assert (again.id, again.status) == (first.id, RefundStatus.PENDING)
    *_, last = await world.store.audit_trail(payment.id)
    assert (last.event_type, last.actor) == ("refund_pending", "main-app")


async def test_losing_ends_with_the_time_of_the_call(world: World, payment: Payment) -> None:
    async def commit(*_args: Any) -> bool:
        world.clock.move(seconds=1)
        return False

    world.store.commit = commit  # type: ignore[method-assign,assignment]
    with pytest.raises(StoreUnavailable) as refusal:
        await world.refund(payment, wait_s=3.0)
    assert (str(refusal.value), refusal.value.retry_after_s) == (
        "the payment was changed by others all the time: retry",
        1.0,
    )
    assert world.turns.rests == 2


async def test_a_report_may_overtake_the_answer(world: World, payment: Payment) -> None:
    async def report_first() -> RefundReply:
        [operation] = world.provider.refunds
        reply = world.provider.give_back(operation)
        await world.report_refund(world.provider.finish_refund())
        return reply

    world.provider.refund_replies.append(report_first)
    refund = await world.refund(payment)
    assert refund.status is RefundStatus.SUCCEEDED
    assert await world.events() == ["payment.completed", "payment.refunded"]


@pytest.mark.parametrize(
    "point",
    [
        "refund.before_insert",
        "refund.after_insert",
        "refund.after_provider",
        "refund.before_answer",
    ],
)
async def test_i10_a_daemon_that_dies_anywhere_refunds_once(
    world: World, payment: Payment, point: str
) -> None:
    world.crash.die_at(point)
    with pytest.raises(Died):
        await world.refund(payment)
    for _ in range(5):
        world.clock.move(minutes=2)
        await world.refund_pass()
        await world.refund(payment)
    await world.report_refund(world.provider.finish_refund())
    stored = await world.newest(payment)
    assert [refund.status for refund in stored.refunds] == [RefundStatus.SUCCEEDED]
    assert (stored.refunded, len(world.provider.remote_refunds)) == (100, 1)
    assert await world.events() == ["payment.completed", "payment.refunded"]


Wrap = Callable[[World, RefundSnapshot], Evidence]


def in_a_listing(world: World, report: RefundSnapshot) -> Snapshot:
    return attrs.evolve(world.provider.snapshot(world.provider.remote[-1]), refunds=(report,))


def in_a_look(world: World, report: RefundSnapshot) -> Evidence:
    return NotClosable(snapshot=in_a_listing(world, report))


def alone(world: World, report: RefundSnapshot) -> Evidence:
    return report


@pytest.mark.parametrize("wrap", [in_a_listing, in_a_look, alone])
async def test_a_refund_of_another_payment_is_a_contradiction(
    world: World, payment: Payment, wrap: Wrap
) -> None:
    await world.refund(payment)
    other = await world.initiate(idempotency_key="key-2")
    world.provider.remote[-1].pay()
    report = attrs.evolve(world.provider.finish_refund(), refund_id=None)
    after = await world.settle.settle(other, wrap(world, report), CALLER)
    assert after.attention == {Attention.CONFLICTING_EVIDENCE}
    assert after.refunds == ()
    # Nothing else of the report is lost.
    assert (after.status is Status.COMPLETED) == (wrap is not alone)


@pytest.mark.parametrize("is_look", [False, True])
async def test_a_dispute_of_another_payment_is_a_contradiction(
    world: World, payment: Payment, is_look: bool
) -> None:
    dispute = Dispute(
        id="dp_1",
        status=DisputeStatus.NEEDS_RESPONSE,
        asset="USD",
        amount=PAID,
        open_time=world.clock.now(),
        as_of=world.clock.now(),
    )
    await world.settle.settle(payment, dispute, CALLER)
    other = await world.initiate(idempotency_key="key-2")
    world.provider.remote[-1].pay()
    shown = attrs.evolve(world.provider.snapshot(world.provider.remote[-1]), disputes=(dispute,))

    report = NotClosable(snapshot=shown) if is_look else shown
    after = await world.settle.settle(other, report, CALLER)

    assert (after.status, after.disputes) == (Status.COMPLETED, ())
    assert after.attention == {Attention.CONFLICTING_EVIDENCE}


async def test_an_answer_with_a_refund_of_another_payment_is_a_contradiction(
    world: World, payment: Payment
) -> None:
    await world.refund(payment)
    other = await world.initiate(idempotency_key="key-2")
    world.provider.remote[-1].pay()
    await world.report(world.provider.remote[-1])
    await world.intake_pass()
    taken = attrs.evolve(world.provider.finish_refund(), refund_id=None)
    world.provider.refund_replies.append(RefundReply(answer=taken))
    refund = await world.refund(other, idempotency_key="refund-2")
    assert refund.status is RefundStatus.CREATING
    assert (await world.newest(other)).attention == {Attention.CONFLICTING_EVIDENCE}
