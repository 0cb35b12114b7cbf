"""InitiatePayment: one payment a key and one object a payment, whatever happens in between."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from support.prices import one_currency
from unit.service.fakes import DECLINED, OUTCOME_UNKNOWN, Request, not_attempted
from unit.service.world import CALLER, FULL_30D, PRICES, World, a_request

from payd.domain.attention import Attention
from payd.domain.errors import (
    CurrencyNotSupported,
    IdempotencyKeyReused,
    InvalidField,
    ProviderUnavailable,
    UnknownMethod,
    UnknownProduct,
)
from payd.domain.evidence import Declined
from payd.domain.next_action import Redirect
from payd.domain.outcome import Asking
from payd.domain.payment import Customer, Payment, Status
from payd.ports import Answer
from payd.service.operation import claim_deadline

ANOTHER_PRICE = one_currency("USD", {("x", "y", "z"): 1}, version="prices-2")


async def test_a_new_payment_is_pending_with_what_the_customer_needs_to_pay(world: World) -> None:
    payment = await world.initiate()

    assert payment.status is Status.PENDING
    assert payment.next_action == Redirect(url="https://pay.example/obj_1")
    assert payment.provider_reference == "obj_1"
    assert payment.aliases == ("pi_obj_1",)
    assert payment == await world.newest(payment)


async def test_a_new_payment_keeps_what_was_asked_and_at_which_price(world: World) -> None:
    payment = await world.initiate(
        subscription_ids=("sub-1",), return_url="https://app.example/ok", metadata={"order": "7"}
    )

    assert payment.amount == PRICES.quote((FULL_30D,), "USD").total
    assert payment.items == PRICES.quote((FULL_30D,), "USD").items
    assert payment.pricing_version == "prices-1"
    assert payment.subscription_ids == ("sub-1",)
    assert payment.return_url == "https://app.example/ok"
    assert payment.metadata == {"order": "7"}
    assert (payment.method, payment.provider, payment.request_id) == ("card", "mock", "req-1")
    assert payment.expire_time == world.clock.now() + timedelta(minutes=30)


async def test_what_the_caller_says_goes_into_the_payment_before_the_provider_is_asked(
    world: World,
) -> None:
    customer = Customer(id="user-1", email="a@b.example")
    request = a_request(
        customer=customer, return_url="https://app.example/ok", cancel_url="https://app.example/no"
    )
    seen: list[Payment] = []

    async def look_into_the_store(_: Request) -> Answer:
        seen.append(await world.query.get_by_key("key-1"))
        return DECLINED

    world.provider.replies["create"] = [look_into_the_store]
    await world.initiates.initiate(request, attrs.evolve(CALLER, traceparent="00-span"), 5.0)

    [stored], now = seen, world.clock.now()
    assert (stored.customer, stored.request_hash) == (customer, request.fingerprint())
    assert (stored.return_url, stored.cancel_url) == (request.return_url, request.cancel_url)
    assert (stored.request_id, stored.traceparent) == ("req-1", "00-span")
    assert (stored.create_time, stored.update_time) == (now, now)
    assert stored.ask_deadline == claim_deadline(world.provider, now)
    assert stored.next_check_time == now + timedelta(seconds=30)


async def test_a_payment_in_tokens_is_due_in_base_units(world: World) -> None:
    payment = await world.initiate(method="crypto", crypto_currency="USDC")

    assert payment.crypto is not None
    assert payment.due == 149_000_000
    assert world.provider.operations[0].crypto == payment.crypto


async def test_the_payment_is_stored_before_the_provider_is_asked(world: World) -> None:
    seen: list[Payment] = []

    async def look_into_the_store(_: Request) -> Answer:
        seen.append(await world.query.get_by_key("key-1"))
        return DECLINED

    world.provider.replies["create"] = [look_into_the_store]
    await world.initiate()

    [stored] = seen
    assert (stored.status, stored.asking) == (Status.CREATING, Asking.ASKING)


# -- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        ({"method": "cheque"}, UnknownMethod),
        ({"items": (attrs.evolve(FULL_30D, duration="31d"),)}, UnknownProduct),
        ({"crypto_currency": "USDC"}, CurrencyNotSupported),
        ({"method": "crypto"}, CurrencyNotSupported),
    ],
    ids=["method", "product", "currency given", "currency missing"],
)
async def test_a_wrong_request_writes_nothing_and_asks_nobody(
    world: World, overrides: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await world.initiate(**overrides)

    assert await world.store.get_by_key("key-1") is None
    assert world.provider.calls == []


# -- the same key ----------------------------------------------------------------------------


async def test_the_same_request_again_gets_the_same_payment(world: World) -> None:
    first = await world.initiate()

    assert await world.initiate() == first
    assert world.provider.calls == ["create"]


async def test_the_same_request_again_gets_the_payment_as_it_stands_now(world: World) -> None:
    await world.initiate()
    await world.pay()
    await world.settle_and_publish()

    assert (await world.initiate()).status is Status.COMPLETED


@pytest.mark.parametrize(
    "difference",
    [
        {"customer": Customer(id="user-2")},
        {"items": (FULL_30D, FULL_30D)},
        {"metadata": {"order": "8"}},
        {"method": "crypto", "crypto_currency": "USDC"},
    ],
    ids=lambda difference: next(iter(difference)),
)
async def test_the_same_key_for_another_request_is_refused(
    world: World, difference: dict[str, Any]
) -> None:
    first = await world.initiate()

    with pytest.raises(IdempotencyKeyReused) as refusal:
        await world.initiate(**difference)

    assert str(refusal.value) == (
        "the idempotency key was used for a request with other contents: use a new key"
    )
    assert refusal.value.metadata == {"payment_id": str(first.id)}
    assert await world.newest(first) == first
    assert world.provider.calls == ["create"]


async def test_the_key_is_read_before_prices_and_products(world: World) -> None:
    first = await world.initiate()
    world.prices.prices = ANOTHER_PRICE

    assert await world.initiate() == first
    with pytest.raises(IdempotencyKeyReused):
        await world.initiate(items=(attrs.evolve(FULL_30D, duration="31d"),))


async def test_a_repetition_finds_its_payment_though_the_method_is_gone(world: World) -> None:
    first = await world.initiate()
    world.providers.disabled = True

    assert await world.initiate() == first


async def test_a_repetition_at_a_new_price_gets_the_price_of_the_first(world: World) -> None:
    first = await world.initiate()
    dearer = {product: 2 * units["USD"] for product, units in PRICES.prices.items()}
    world.prices.prices = one_currency("USD", dearer, version="prices-2")

    assert await world.initiate() == first


async def test_a_repetition_that_cannot_be_priced_any_more_still_sends_for_its_caller(
    world: World,
) -> None:
    payment = await world.never_sent()
    world.prices.prices = ANOTHER_PRICE

    assert (await world.initiate()).status is Status.PENDING

    *_, asked, answered = await world.store.audit_trail(payment.id)
    assert [(row.actor, row.request_id) for row in (asked, answered)] == [("main-app", "req-1")] * 2


# -- at once ---------------------------------------------------------------------------------


async def test_fifty_equal_calls_at_once_ask_the_provider_once_and_get_one_answer(
    world: World,
) -> None:
    world.provider.replies["create"] = [_when_all_others_wait(world)]

    answers = await world.initiate_at_once(50)

    [payment] = set(map(_id_and_version, answers))
    assert world.provider.calls == ["create"]
    assert all(isinstance(answer, Payment) for answer in answers)
    assert payment[2] is Status.PENDING


async def test_fifty_equal_calls_at_once_get_the_same_error_when_the_provider_is_away(
    world: World,
) -> None:
    async def away(_: Request) -> Answer:
        await trio.testing.wait_all_tasks_blocked()
        return not_attempted()

    world.provider.replies["create"] = [away]

    answers = await world.initiate_at_once(50)

    assert [type(answer) for answer in answers] == [ProviderUnavailable] * 50
    assert world.provider.calls == ["create"]


@pytest.mark.parametrize("is_priced", [True, False])
async def test_a_second_call_waits_no_longer_than_it_may(world: World, is_priced: bool) -> None:
    never = trio.Event()

    async def hang(_: Request) -> Answer:
        await never.wait()
        raise AssertionError("nobody sets it")

    world.provider.replies["create"] = [hang]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.initiate)
        await trio.testing.wait_all_tasks_blocked()
        if not is_priced:
            world.prices.prices = ANOTHER_PRICE
        second = await world.initiate(wait_s=0.01)
        nursery.cancel_scope.cancel()

    assert (second.status, second.asking) == (Status.CREATING, Asking.ASKING)
    assert world.provider.calls == ["create"]


async def test_fifty_calls_with_keys_of_their_own_give_fifty_payments(world: World) -> None:
    async with trio.open_nursery() as nursery:
        for n in range(50):
            nursery.start_soon(_initiate_with_key, world, f"key-{n}")

    assert len(world.provider.remote) == 50


# -- what the provider says ------------------------------------------------------------------


async def test_a_declined_payment_has_failed_and_the_call_has_not(world: World) -> None:
    world.provider.replies["create"] = [DECLINED]

    payment = await world.initiate()

    assert payment.status is Status.FAILED
    assert payment.failure is not None
    assert (payment.failure.code, payment.failure.message) == ("card_declined", "No funds.")
    assert await world.events() == ["payment.failed"]


async def test_an_unknown_outcome_leaves_the_payment_creating_and_is_no_error(
    world: World,
) -> None:
    world.provider.replies["create"] = [OUTCOME_UNKNOWN]

    payment = await world.initiate()

    assert (payment.status, payment.asking) == (Status.CREATING, Asking.UNKNOWN)
    assert payment.next_check_time is not None
    assert await world.events() == []


async def test_an_unknown_outcome_is_not_asked_for_again_by_a_repetition(world: World) -> None:
    world.provider.replies["create"] = [OUTCOME_UNKNOWN]
    first = await world.initiate()

    assert await world.initiate() == first
    assert world.provider.calls == ["create"]


async def test_a_value_that_the_provider_refuses_is_the_callers_to_mend(world: World) -> None:
    refused = Declined(code="invalid_request", message="return_url: too long")
    world.provider.replies["create"] = [
        Answer(evidence=(refused,), error=InvalidField("return_url", "too long"))
    ]

    with pytest.raises(InvalidField):
        await world.initiate()

    assert (await world.query.get_by_key("key-1")).status is Status.FAILED


async def test_a_caller_gets_an_error_when_the_provider_was_provably_not_asked(
    world: World,
) -> None:
    world.provider.replies["create"] = [not_attempted()]

    with pytest.raises(ProviderUnavailable) as refusal:
        await world.initiate()

    assert refusal.value.retry_after_s == 1.0
    payment = await world.query.get_by_key("key-1")
    assert (payment.status, payment.asking) == (Status.CREATING, Asking.NOT_ATTEMPTED)


# -- again after nothing was sent ------------------------------------------------------------


async def test_the_same_key_tries_again_after_nothing_was_sent(world: World) -> None:
    await world.never_sent()

    payment = await world.initiate()

    assert payment.status is Status.PENDING
    assert world.provider.calls == ["create", "create"]
    assert world.provider.operations[0] == world.provider.operations[1]


async def test_of_twenty_repetitions_after_nothing_was_sent_one_asks_and_all_are_answered(
    world: World,
) -> None:
    await world.never_sent()
    world.provider.replies["create"] = [_when_all_others_wait(world)]

    answers = await world.initiate_at_once(20)

    assert world.provider.calls == ["create", "create"]
    [payment] = set(map(_id_and_version, answers))
    assert payment[2] is Status.PENDING


async def test_twenty_repetitions_leave_it_proven_that_nothing_was_sent(world: World) -> None:
    async def away(_: Request) -> Answer:
        await trio.testing.wait_all_tasks_blocked()
        return not_attempted()

    await world.never_sent()
    world.provider.replies["create"] = [away]

    answers = await world.initiate_at_once(20)

    assert [type(answer) for answer in answers] == [ProviderUnavailable] * 20
    waited = [answer for answer in answers if "same key" in str(answer)]
    assert [str(answer) for answer in waited] == [
        "nothing was sent to the provider mock: retry with the same key"
    ] * len(waited)
    assert all(
        (answer.metadata, answer.retry_after_s) == ({"provider": "mock"}, 1.0)
        for answer in waited
        if isinstance(answer, ProviderUnavailable)
    )
    assert waited
    assert (await world.query.get_by_key("key-1")).asking is Asking.NOT_ATTEMPTED
    assert world.provider.calls == ["create", "create"]


async def test_a_repetition_after_the_limit_gets_the_failed_payment_not_an_error(
    world: World,
) -> None:
    world.provider.always = not_attempted()
    with pytest.raises(ProviderUnavailable):
        await world.initiate()
    world.clock.move(minutes=10)

    payment = await world.initiate()

    assert payment.status is Status.FAILED
    assert await world.events() == ["payment.failed"]


async def test_a_repetition_never_asks_for_a_payment_that_would_be_born_overdue(
    world: World,
) -> None:
    payment = await world.never_sent()
    world.clock.time = payment.expire_time

    with pytest.raises(ProviderUnavailable):
        await world.initiate()

    assert world.provider.remote == []
    assert (await world.work_until_done(await world.query.get_by_key("key-1"))).status is (
        Status.FAILED
    )


async def test_a_repetition_cannot_ask_a_provider_that_is_not_enabled_any_more(
    world: World,
) -> None:
    await world.never_sent()
    world.providers.disabled = True

    with pytest.raises(ProviderUnavailable, match="not enabled"):
        await world.initiate()

    payment = await world.query.get_by_key("key-1")
    assert payment.asking is Asking.NOT_ATTEMPTED


# -- others are faster -----------------------------------------------------------------------


async def test_money_that_is_seen_before_the_answer_completes_the_payment(world: World) -> None:
    async def paid_before_we_know(request: Request) -> Answer:
        answer = world.provider.make(world.provider.operations[-1])
        await world.pay()
        await world.intake_pass()
        return answer

    world.provider.replies["create"] = [paid_before_we_know]

    payment = await world.initiate()

    assert payment.status is Status.COMPLETED
    assert payment.provider_reference == "obj_1"
    assert await world.events() == ["payment.completed"]


async def test_a_payment_that_was_canceled_while_it_was_asked_for_is_no_error(
    world: World,
) -> None:
    async def canceled_meanwhile(_: Request) -> Answer:
        await world.cancel(await world.query.get_by_key("key-1"))
        return not_attempted()

    world.provider.replies["create"] = [canceled_meanwhile]

    payment = await world.initiate()

    assert payment.status is Status.CANCELED
    assert Attention.PAID_AFTER_CLOSE not in payment.attention


# -- words for the above ---------------------------------------------------------------------


def _when_all_others_wait(world: World) -> Callable[[Request], Awaitable[Answer]]:
    async def answer(_: Request) -> Answer:
        await trio.testing.wait_all_tasks_blocked()
        return world.provider.make(world.provider.operations[-1])

    return answer


async def _initiate_with_key(world: World, key: str) -> None:
    assert (await world.initiate(idempotency_key=key)).status is Status.PENDING


def _id_and_version(answer: Payment | Exception) -> tuple[object, object, object]:
    assert isinstance(answer, Payment), answer
    return answer.id, answer.version, answer.status


def test_equal_requests_have_equal_fingerprints_whatever_the_order_of_their_metadata() -> None:
    one = a_request(metadata={"a": "1", "b": "2"})
    other = a_request(metadata={"b": "2", "a": "1"})

    assert one.fingerprint() == other.fingerprint()
    assert one.fingerprint() != a_request(metadata={"a": "1"}).fingerprint()
