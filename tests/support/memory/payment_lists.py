"""Lists of payments in memory: every payment is looked at."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from payd.domain.evidence import Receipt
from payd.domain.next_action import CryptoTransfer
from payd.domain.page import first_of
from payd.domain.payment import Payment, Status
from payd.domain.refund import Refund
from payd.ports import Names, Page, Position, Selection
from support.memory.store import MemoryStore


class MemoryPaymentLists:
    """Implements the port PaymentLists over the payments of a store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def customers_with_email(self, email: str, limit: int) -> Sequence[str]:
        found = {one.id for one in self._store.customers() if one.email.lower() == email.lower()}
        return sorted(found)[:limit]

    async def payments_named(self, names: Names, limit: int) -> Sequence[UUID]:
        ids, texts = set(names.ids), set(names.texts)
        found = (
            one.id for one in self._store.all() if _ids_of(one) & ids or self._names_of(one) & texts
        )
        return list(found)[:limit]

    def _names_of(self, payment: Payment) -> set[str]:
        own = {payment.idempotency_key, payment.provider_reference or "", *payment.aliases}
        of_parts = [
            *(self._names_of_refund(payment.provider, refund) for refund in payment.refunds),
            *map(_names_of_receipt, payment.receipts),
            {dispute.id for dispute in payment.disputes},
        ]
        return own.union(*of_parts) - {""}

    def _names_of_refund(self, provider: str, refund: Refund) -> set[str]:
        action, reference = refund.next_action, refund.provider_reference or ""
        memo = action.memo if isinstance(action, CryptoTransfer) else ""
        sent = self._store.ledger.outflow(provider, reference)
        transaction = sent.details.get("transaction", "") if sent else ""
        return {refund.idempotency_key, reference, memo, transaction}

    async def newest_first(
        self, selection: Selection, after: Position | None, limit: int
    ) -> Page[Payment]:
        found = await self._wanted(selection, lambda payment: payment.create_time)
        found.sort(key=lambda each: (each[1].time, each[1].id), reverse=True)
        return first_of(
            [each for each in found if after is None or _key(each[1]) < _key(after)], limit
        )

    async def longest_attention_first(
        self, selection: Selection, after: Position | None, limit: int
    ) -> Page[Payment]:
        found = [each for each in await self._wanted(selection, _since) if each[0].attention]
        found.sort(key=lambda each: _key(each[1]))
        return first_of(
            [each for each in found if after is None or _key(each[1]) > _key(after)], limit
        )

    async def _wanted(
        self, selection: Selection, time_of: Callable[[Payment], datetime]
    ) -> list[tuple[Payment, Position]]:
        payments = await self._store.get_all([one.id for one in self._store.all()])
        return [
            (payment, Position(time_of(payment), payment.id))
            for payment in payments
            if _is_wanted(payment, selection)
        ]


def _is_wanted(payment: Payment, selection: Selection) -> bool:
    wanted = selection.filter
    customers, ids = selection.customer_ids, selection.payment_ids
    since, before = wanted.create_time_from, wanted.create_time_before
    least, most = wanted.min_minor_units, wanted.max_minor_units
    key, value = wanted.metadata or ("", None)
    return all(
        (
            customers is None or payment.customer.id in customers,
            ids is None or payment.id in ids,
            payment.status in (wanted.statuses or Status),
            not wanted.methods or payment.method in wanted.methods,
            not wanted.providers or payment.provider in wanted.providers,
            not wanted.attention or bool(payment.attention & wanted.attention),
            not wanted.subscription_id or wanted.subscription_id in payment.subscription_ids,
            value is None or payment.metadata.get(key) == value,
            since is None or payment.create_time >= since,
            before is None or payment.create_time < before,
            wanted.currency_code in ("", payment.amount.currency_code),
            least is None or payment.amount.minor_units >= least,
            most is None or payment.amount.minor_units <= most,
        )
    )


def _since(payment: Payment) -> datetime:
    open_ones = [record.since for record in payment.attention_records if record.is_open]
    return min(open_ones, default=payment.create_time)


def _key(position: Position) -> tuple[datetime, UUID]:
    return position.time, position.id


def _ids_of(payment: Payment) -> set[UUID]:
    return {payment.id, *(refund.id for refund in payment.refunds)}


def _names_of_receipt(receipt: Receipt) -> set[str]:
    return {receipt.id, receipt.details.get("transaction", "")}
