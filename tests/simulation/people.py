"""Customers, their banks and the main app: they start, pay, cancel, and want money back."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

import attrs
import trio
from simulation.daemon import Daemon, Unreachable
from simulation.faults import Faults
from simulation.history import History
from simulation.operators import Operators
from simulation.plan import Buyer
from simulation.rail import Thing
from unit.service.world import CALLER, a_request

from payd.domain.errors import IdempotencyKeyReused, PaydError
from payd.domain.money import Money
from payd.domain.payment import Payment
from payd.domain.refund import RefundState
from payd.domain.request import RefundRequest
from payd.plugins import DisputeStatus, ProviderStatus, RefundOperation

#: Starts an action; nothing rests before it has ended.
Start = Callable[..., None]


@attrs.define
class People:
    """Everybody who uses the daemons or the provider."""

    history: History
    faults: Faults
    start: Start
    #: A daemon that a request may reach.
    any_daemon: Callable[[], Daemon]
    operators: Operators = attrs.field(init=False)
    _refunds_fail: set[UUID] = attrs.field(factory=set, init=False)
    _sent: set[UUID] = attrs.field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self.operators = Operators(self.history, self._ask, self.start)

    async def shop(self, buyer: Buyer) -> None:
        """Start a payment, and do what the buyer has planned."""
        await trio.sleep(buyer.start_s)
        key = f"key-{buyer.number}"
        method = "token" if buyer.transfers else "card"
        request = a_request(idempotency_key=key, method=method)
        payment = await self._ask(
            "initiate", key, lambda services: services.initiate.initiate(request, CALLER, 5.0)
        )
        if payment is None:
            return
        if buyer.reuses_keys:
            other = attrs.evolve(request, return_url="https://other.example")
            self.start(
                self._reuse, key, lambda services: services.initiate.initiate(other, CALLER, 5.0)
            )
        if buyer.refunds_fail:
            self._refunds_fail.add(payment.id)
        if buyer.cancel_s is not None:
            self.start(self._cancel, buyer, payment)
        if buyer.pay_s is not None:
            await trio.sleep(buyer.pay_s)
            await (self._transfer if buyer.transfers else self._pay)(buyer, payment)

    async def ask_once_more(self, number: int, daemon: Daemon) -> None:
        """Start a payment at one daemon, some time after the last fault: that must succeed."""
        key = f"end-{number}"
        request = a_request(idempotency_key=key)
        try:
            await daemon.call(
                "initiate", lambda services: services.initiate.initiate(request, CALLER, 5.0)
            )
        except (PaydError, Unreachable) as error:
            self.history.unserved.append(f"daemon {number + 1}: {error!r}")

    async def _ask(self, path: str, key: str, call: Callable[[Any], Awaitable[Any]]) -> Any:
        """A call of the main app, repeated with the same key until it has an answer."""
        for attempt in range(8):
            try:
                answer = await self.any_daemon().call(path, call)
            except (PaydError, Unreachable) as error:
                self.history.note(f"{key}: {type(error).__name__}", f"app: {type(error).__name__}")
                await trio.sleep(2.0**attempt)
                continue
            found = answer[1] if isinstance(answer, tuple) else answer
            self.history.note(f"{key}: {found.status.value}")
            self.history.answers.setdefault(key, []).append(found)
            return found
        return None

    async def _reuse(self, key: str, call: Callable[[Any], Awaitable[Any]]) -> None:
        """A call with other contents and a key that has had its answer."""
        await trio.sleep(30)
        with suppress(Unreachable):
            try:
                await self.any_daemon().call("initiate", call)
            except IdempotencyKeyReused:
                self.history.sometimes["app: IdempotencyKeyReused"] += 1
            except PaydError:
                return
            else:
                self.history.reused.append(key)

    async def _cancel(self, buyer: Buyer, payment: Payment) -> None:
        await trio.sleep(buyer.cancel_s or 0)
        await self._ask(
            "cancel",
            f"cancel of key-{buyer.number}",
            lambda services: services.cancel.cancel(payment.id, "changed my mind", CALLER),
        )

    async def _pay(self, buyer: Buyer, payment: Payment) -> None:
        rail = self.history.rail
        thing = rail.thing_of(payment.id)
        if thing is None or not rail.pay(thing, is_final=not buyer.slow_s):
            self.history.note(f"buyer {buyer.number} can not pay any more", "too late to pay")
            return
        self.history.note(f"buyer {buyer.number} pays {thing.reference}", "paid")
        stored = await self.history.store.get(payment.id)
        if stored is not None and stored.provider_reference is None:
            self.history.note("the payment does not know its object yet", "paid before commit")
        if buyer.slow_s:
            await trio.sleep(buyer.slow_s)
            if buyer.bounces:
                self.history.note(f"the payment of {thing.reference} bounces", "bounced")
                rail.bounce(thing)
                return
            rail.pay(thing, is_final=True)
        await trio.sleep(300)
        if buyer.is_disputed:
            self.start(self._dispute, thing)
        if buyer.refund_at_provider and thing.status is ProviderStatus.PAID:
            rail.refund_by_hand(thing, buyer.refund_at_provider)
            self.history.note(f"a person refunds {thing.reference} at the provider", "by hand")
        await trio.sleep(buyer.refund_after_s)
        self._want_back(buyer, payment)

    async def _transfer(self, buyer: Buyer, payment: Payment) -> None:
        for part in buyer.transfers:
            memo = str(payment.id) if buyer.has_memo else ""
            transfer = self.history.chain.send(memo, payment.due * part // 100)
            self.history.note(
                f"buyer {buyer.number} sends {transfer.amount}: {transfer.id}", "sent"
            )
            self.start(self.faults.reorganise, self.history.chain, transfer)
            if buyer.is_matched and not buyer.has_memo:
                self.operators.match(transfer, payment)
            await trio.sleep(120)
        await trio.sleep(300)
        self._want_back(buyer, payment)

    def _want_back(self, buyer: Buyer, payment: Payment) -> None:
        for number, amount in enumerate(buyer.refunds):
            self.start(self._refund, buyer, payment, number, amount)

    async def _dispute(self, thing: Thing) -> None:
        for status in (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.LOST):
            await trio.sleep(600)
            self.history.note(f"dispute of {thing.reference}: {status.value}", "disputed")
            self.history.rail.dispute(thing, status)

    async def _refund(self, buyer: Buyer, payment: Payment, number: int, amount: int) -> None:
        key = f"refund-{buyer.number}-{number}"
        request = RefundRequest(
            payment_id=payment.id,
            idempotency_key=key,
            amount=Money(currency_code="USD", minor_units=amount),
            destination="0xdestination" if buyer.transfers else "",
        )
        granted = await self._ask(
            "refund", key, lambda services: services.refund.refund(request, CALLER, 5.0)
        )
        if granted is not None and buyer.transfers and buyer.is_taken_back:
            self.start(self.operators.withdraw, payment.id, granted.id)
        if granted is not None and buyer.reuses_keys:
            other = attrs.evolve(request, reason="another one")
            await self._reuse(key, lambda services: services.refund.refund(other, CALLER, 5.0))

    def end_refund_later(self, thing: Thing, operation_id: str) -> None:
        """Let the bank carry out a refund."""
        self.start(partial(self._end_refund, thing, operation_id))

    def send_refund_later(self, operation: RefundOperation) -> None:
        """Let a person send what the instructions of a refund say, once."""
        if operation.refund_id not in self._sent:
            self._sent.add(operation.refund_id)
            self.start(self._send_refund, operation)

    async def _send_refund(self, operation: RefundOperation) -> None:
        await trio.sleep(600)
        memo = str(operation.payment_id)
        sent = self.history.chain.send(memo, operation.amount, operation.refund_id)
        self.history.note(f"a person sends {sent.amount} back: {sent.id}", "refund sent")

    async def _end_refund(self, thing: Thing, operation_id: str) -> None:
        await trio.sleep(600)
        fails = thing.operation.payment_id in self._refunds_fail
        state = RefundState.FAILED if fails else RefundState.SUCCEEDED
        self.history.rail.finish_refund(thing, operation_id, state)
