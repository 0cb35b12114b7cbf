"""A wallet's transaction goes to a sponsor with what its payment still misses, if it misses any."""

import contextlib
from typing import Any
from uuid import uuid4

import attrs
import pytest
from unit.service.situations import in_tokens, on_a_chain, receipt, received
from unit.service.test_wallet_request import ACTION, offering
from unit.service.world import USDC, World

from payd.domain.errors import PaymentNotFound, ProviderUnavailable, RateLimited
from payd.domain.payment import Payment, Status
from payd.service.sponsor import SponsorTransfer

BODY = b'{"method": "eth_signRawTransaction"}'
SPONSORED = attrs.evolve(USDC, is_sponsored=True)


class OnePayment:
    """A store of one payment."""

    def __init__(self, payment: Payment) -> None:
        self.payment = payment

    async def get(self, payment_id: Any) -> Payment | None:
        return self.payment if payment_id == self.payment.id else None


@pytest.fixture
def chain() -> World:
    return on_a_chain()


class Permits:
    """Those of all payments: some, and then a wait."""

    def __init__(self, left: int = 100) -> None:
        self.left = left

    async def wait_s(self) -> float:
        self.left -= 1
        return 0.0 if self.left >= 0 else 3.0


def sponsoring(
    chain: World, payment: Payment, token: Any = SPONSORED, permits: Permits | None = None
) -> SponsorTransfer:
    return SponsorTransfer(
        store=OnePayment(payment),  # type: ignore[arg-type]  # it only reads
        providers=offering(chain, token),
        clock=chain.clock,
        wait_of_all=(permits or Permits()).wait_s,
    )


async def waiting(chain: World, **changes: Any) -> Payment:
    return attrs.evolve(await in_tokens(chain), **{"next_action": ACTION, **changes})


async def test_the_provider_gets_the_request_with_all_that_is_due(chain: World) -> None:
    payment = await waiting(chain)
    chain.provider.sponsored = b"signed"
    assert await sponsoring(chain, payment).forward(payment.id, BODY) == b"signed"
    [asked] = chain.provider.sponsor_requests
    assert (asked.payment_id, asked.action, asked.body) == (payment.id, ACTION, BODY)
    assert (asked.left, asked.expire_time) == (ACTION.amount_base_units, payment.expire_time)


async def test_all_payments_together_have_a_limit(chain: World) -> None:
    payment = await waiting(chain)
    asking = sponsoring(chain, payment, permits=Permits(1))
    await asking.forward(payment.id, BODY)
    with pytest.raises(RateLimited) as refused:
        await asking.forward(payment.id, BODY)
    assert str(refused.value) == "too many ask for a sponsor"
    assert refused.value.retry_after_s == 3.0
    assert len(chain.provider.sponsor_requests) == 1


async def test_the_last_unit_needs_a_permit_and_half_a_second_is_a_wait(chain: World) -> None:
    async def wait_s() -> float:
        return 0.5

    payment = await waiting(chain, snapshot_received=ACTION.amount_base_units - 1)
    asking = attrs.evolve(sponsoring(chain, payment), wait_of_all=wait_s)
    with pytest.raises(RateLimited) as refused:
        await asking.forward(payment.id, BODY)
    assert refused.value.retry_after_s == 0.5
    assert chain.provider.sponsor_requests == []


async def test_links_of_payments_that_have_no_sponsor_or_end_use_up_no_permits(
    chain: World,
) -> None:
    payment, permits = await waiting(chain), Permits()
    completed = attrs.evolve(payment, status=Status.COMPLETED)
    for token, ended in ((USDC, payment), (SPONSORED, completed)):
        with contextlib.suppress(PaymentNotFound):
            await sponsoring(chain, ended, token, permits).forward(payment.id, BODY)
    assert permits.left == 100


async def test_of_a_partly_paid_payment_only_the_rest_is_left(chain: World) -> None:
    payment = await in_tokens(chain)
    await received(chain, payment, receipt(chain, "0xaa:1", 48_999_999))
    partly = attrs.evolve(await chain.newest(payment), next_action=ACTION)
    await sponsoring(chain, partly).forward(payment.id, BODY)
    assert chain.provider.sponsor_requests[0].left == 100_000_001


@pytest.mark.parametrize(
    "changes",
    [
        {"status": Status.COMPLETED},
        {"status": Status.CANCELING},
        {"status": Status.EXPIRED},
        {"snapshot_received": ACTION.amount_base_units + 1},
        {"expire_time": None},
    ],
)
async def test_nothing_is_left_of_a_payment_that_waits_no_more(
    chain: World, changes: dict[str, Any]
) -> None:
    if "expire_time" in changes:
        changes = {"expire_time": chain.clock.now()}
    payment = await waiting(chain, **changes)
    await sponsoring(chain, payment).forward(payment.id, BODY)
    assert chain.provider.sponsor_requests[0].left == 0


async def test_there_is_no_sponsor_where_none_is_offered(chain: World) -> None:
    payment = await waiting(chain)
    without_action = attrs.evolve(payment, next_action=None)
    no_transfer = "no payment asks for a transfer here"
    no_sponsor = "nobody pays the fee of this payment's transfer"
    cases = [
        (sponsoring(chain, payment), uuid4(), no_transfer),
        (sponsoring(chain, without_action), payment.id, no_transfer),
        (sponsoring(chain, payment, USDC), payment.id, no_sponsor),
        (sponsoring(chain, attrs.evolve(payment, method="gone")), payment.id, no_sponsor),
    ]
    for use_case, payment_id, why in cases:
        with pytest.raises(PaymentNotFound, match=f"^{why}$"):
            await use_case.forward(payment_id, BODY)
    assert chain.provider.sponsor_requests == []


async def test_a_provider_without_an_answer_is_to_be_asked_again(chain: World) -> None:
    payment = await waiting(chain)
    chain.provider.sponsored = None
    with pytest.raises(ProviderUnavailable) as refused:
        await sponsoring(chain, payment).forward(payment.id, BODY)
    assert str(refused.value) == "nobody can be asked to pay the fee now"
    assert refused.value.retry_after_s == 1.0
    assert refused.value.metadata == {"provider": "mock"}
