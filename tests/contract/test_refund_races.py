"""Daemons that refund one payment at once, over every store: never more than was paid."""

from collections.abc import Sequence

import attrs
import trio
from contract.stores import CALLER, NOW, Stores, created, paid
from unit.service.fakes import FakeClock, FakeCrashPoints, FakeProvider, FakeProviders, TrioTurns
from unit.service.world import capable

from payd.adapters.system import OrderedIds
from payd.domain.decide import Rules
from payd.domain.errors import IdempotencyKeyReused, PaydError, RefundExceedsPaid
from payd.domain.money import Money
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refunds import left
from payd.domain.request import RefundRequest
from payd.plugins.interface import Method
from payd.ports import Registered
from payd.service.refund import RefundPayment
from payd.service.send_refund import SendRefund
from payd.service.settle import Settle

DAEMONS = 4
PAID = 14900


class Daemons:
    """As many daemons over one store and one remote side, each with a queue of its own."""

    def __init__(self, stores: Stores) -> None:
        self.clock, self.crash = FakeClock(), FakeCrashPoints()
        self.clock.time = NOW
        self.provider = FakeProvider(self.clock, capable())
        self.stores = stores
        self.all = [self._daemon() for _ in range(DAEMONS)]

    def _daemon(self) -> RefundPayment:
        card = Method(key="card", display_name="Card", currencies=("USD",))
        providers = FakeProviders(Registered(method=card, provider=self.provider))
        store, clock, crash = self.stores.payments, self.clock, self.crash
        settle = Settle(
            store=store,
            providers=providers,
            clock=clock,
            crash=crash,
            turns=TrioTurns(),
            rules=Rules(),
        )
        sender = SendRefund(settle=settle, providers=providers, clock=clock, crash=crash)
        return RefundPayment(
            store=store,
            settle=settle,
            sender=sender,
            clock=clock,
            ids=OrderedIds(),
            crash=crash,
        )

    async def refund(
        self, requests: Sequence[RefundRequest]
    ) -> list[tuple[Payment, Refund] | PaydError]:
        """The answers to these requests at once, one daemon after the other."""
        answers: list[tuple[Payment, Refund] | PaydError] = []

        async def call(daemon: RefundPayment, request: RefundRequest) -> None:
            try:
                answers.append(await daemon.refund(request, CALLER, wait_s=600))
            except PaydError as error:
                answers.append(error)

        async with trio.open_nursery() as nursery:
            for number, request in enumerate(requests):
                nursery.start_soon(call, self.all[number % DAEMONS], request)
        return answers


async def a_paid_payment(stores: Stores) -> Payment:
    payment = await stores.add(method="card", provider="mock")
    payment = await stores.learn(payment, created())
    return await stores.learn(payment, paid(payment))


def requests(payment: Payment, count: int, minor_units: int) -> list[RefundRequest]:
    amount = Money(currency_code="USD", minor_units=minor_units)
    return [
        RefundRequest(payment_id=payment.id, amount=amount, idempotency_key=f"{payment.id} {n}")
        for n in range(count)
    ]


async def test_i17_no_race_grants_more_than_was_paid_and_losing_is_no_error(
    stores: Stores,
) -> None:
    payment = await a_paid_payment(stores)
    daemons = Daemons(stores)

    answers = await daemons.refund(requests(payment, 24, 1000))

    granted = [answer for answer in answers if isinstance(answer, tuple)]
    assert len(granted) == 14
    assert all(isinstance(a, RefundExceedsPaid) for a in answers if not isinstance(a, tuple))
    stored = await stores.newest(payment)
    assert left(stored) == PAID - 14_000
    assert {refund.status for refund in stored.refunds} == {RefundStatus.PENDING}
    assert len(daemons.provider.remote_refunds) == 14


async def test_i18_one_key_at_all_daemons_is_one_refund(stores: Stores) -> None:
    payment = await a_paid_payment(stores)
    daemons = Daemons(stores)
    [request] = requests(payment, 1, 1000)

    answers = await daemons.refund([request] * 16)

    ids = {answer[1].id for answer in answers if isinstance(answer, tuple)}
    assert (len(ids), len(answers)) == (1, 16)
    assert len(daemons.provider.remote_refunds) == 1
    assert len((await stores.newest(payment)).refunds) == 1


async def test_one_key_for_two_payments_is_the_refund_of_one(stores: Stores) -> None:
    one, other = await a_paid_payment(stores), await a_paid_payment(stores)
    daemons = Daemons(stores)
    [request] = requests(one, 1, 1000)
    elsewhere = attrs.evolve(request, payment_id=other.id)

    answers = await daemons.refund([request, elsewhere] * 4)

    winners = {answer[0].id for answer in answers if isinstance(answer, tuple)}
    reused = [answer for answer in answers if isinstance(answer, IdempotencyKeyReused)]
    assert (len(winners), len(reused)) == (1, 4)
    refunds = [len((await stores.newest(payment)).refunds) for payment in (one, other)]
    assert sorted(refunds) == [0, 1]
