"""Accounts in memory: every movement of every payment is looked at."""

from collections.abc import Iterator
from datetime import datetime
from hashlib import md5
from uuid import UUID

import attrs

from payd.domain.accounting import Account, Amounts, Movement, MovementKind, Sums, Unit
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import ReceiptState
from payd.domain.money import currency_exponent
from payd.domain.page import first_of
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundStatus
from payd.ports import Page, Position
from support.memory.store import MemoryStore


class MemoryAccounts:
    """Implements the port Accounts over the payments of a store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def movements(self, after: Position, before: datetime, limit: int) -> Page[Movement]:
        found = await self._between(after, before)
        return first_of([(one, Position(one.time, one.id)) for one in found], limit)

    async def sums(self, after: Position, before: datetime) -> Page[Sums]:
        found: dict[Account, Sums] = {}
        for one in await self._between(after, before):
            known = found.get(one.account, Sums(account=one.account))
            found[one.account] = known + _counted(one)
        return Page(tuple(found.values()))

    async def _between(self, after: Position, before: datetime) -> list[Movement]:
        stored = {one.id: one.receipts for one in self._store.all()}
        payments = await self._store.get_all(list(stored))
        whole = (attrs.evolve(one, receipts=stored[one.id]) for one in payments)
        movements = (one for payment in whole for one in movements_of(payment))
        position = after.time, after.id
        wanted = [one for one in movements if (one.time, one.id) > position and one.time < before]
        return sorted(wanted, key=lambda one: (one.time, one.id))


def movements_of(payment: Payment) -> Iterator[Movement]:
    """Everything that moved money of a payment."""
    if payment.complete_time is not None:
        amounts = Amounts(gross=payment.confirmed, fee=payment.fee)
        yield _movement(payment, MovementKind.PAYMENT, payment.complete_time, payment.id, amounts)
    for refund in payment.refunds:
        if refund.status is RefundStatus.SUCCEEDED and refund.complete_time is not None:
            yield _of_refund(payment, refund, refund.complete_time)
    for dispute in payment.disputes:
        yield from _of_dispute(payment, dispute)


def _of_refund(payment: Payment, refund: Refund, time: datetime) -> Movement:
    amounts = Amounts(refunded=refund.amount)
    reference = refund.provider_reference or ""
    return _movement(payment, MovementKind.REFUND, time, refund.id, amounts, reference)


def _of_dispute(payment: Payment, dispute: Dispute) -> Iterator[Movement]:
    if dispute.status.is_inquiry:
        return
    opened = _named("opened", payment, dispute)
    amount = dispute.amount if payment.is_asset(dispute.asset) else 0
    taken = Amounts(disputed=amount)
    kind = MovementKind.DISPUTE
    yield _movement(payment, kind, dispute.open_time, opened, taken, dispute.id)
    if dispute.status in (DisputeStatus.WON, DisputeStatus.WITHDRAWN):
        returned = _named("returned", payment, dispute)
        given = Amounts(disputed=-amount)
        kind = MovementKind.DISPUTE_RETURN
        yield _movement(payment, kind, dispute.as_of, returned, given, dispute.id)


def _named(what: str, payment: Payment, dispute: Dispute) -> UUID:
    name = f"{what} {payment.provider} {dispute.id}".encode()
    return UUID(md5(name, usedforsecurity=False).hexdigest())


def _movement(
    payment: Payment,
    kind: MovementKind,
    time: datetime,
    id_: UUID,
    amounts: Amounts,
    reference: str | None = None,
) -> Movement:
    own = payment.provider_reference or ""
    receipts = sorted(payment.receipts, key=lambda one: (one.time, one.id))
    transactions = (
        receipt.details["transaction"]
        for receipt in receipts
        if receipt.state is ReceiptState.CONFIRMED and "transaction" in receipt.details
    )
    shown = transactions if payment.crypto and kind is MovementKind.PAYMENT else ()
    return Movement(
        time=time,
        id=id_,
        kind=kind,
        account=_account(payment),
        amounts=amounts,
        payment_id=payment.id,
        reference=own if reference is None else reference,
        payment_reference=own,
        aliases=(*payment.aliases, *shown),
        customer_id=payment.customer.id,
        idempotency_key=payment.idempotency_key,
    )


def _account(payment: Payment) -> Account:
    crypto, currency = payment.crypto, payment.amount.currency_code
    if crypto is None:
        unit = Unit(currency=currency, decimals=currency_exponent(currency))
    else:
        unit = Unit(
            currency=crypto.currency,
            decimals=crypto.decimals,
            chain_id=crypto.chain_id,
            token_address=crypto.token_address,
        )
    return Account(provider=payment.provider, method=payment.method, unit=unit)


def _counted(one: Movement) -> Sums:
    return Sums(
        account=one.account,
        payments=one.kind is MovementKind.PAYMENT,
        refunds=one.kind is MovementKind.REFUND,
        disputes=one.kind is MovementKind.DISPUTE,
        dispute_returns=one.kind is MovementKind.DISPUTE_RETURN,
        payments_with_fee=one.amounts.fee is not None,
        amounts=one.amounts,
    )
