"""Port for lists of payments: each method reads along an index, and no more than a page needs."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from payd.domain.page import Page, Position
from payd.domain.payment import Payment
from payd.domain.payment_filter import Names, Selection


class PaymentLists(Protocol):
    """Payments that a person looks for. Every method raises StoreUnavailable."""

    async def customers_with_email(self, email: str, limit: int) -> Sequence[str]:
        """Ids of at most `limit` customers whose address this is, in any case."""

    async def payments_named(self, names: Names, limit: int) -> Sequence[UUID]:
        """Ids of at most `limit` payments that have one of the names.

        They are the payment's id, idempotency key, provider reference or alias; the id,
        idempotency key, provider reference, memo or transaction of one of its refunds; the id of
        one of its disputes; the id or the transaction of one of its receipts.
        """

    async def newest_first(
        self, selection: Selection, after: Position | None, limit: int
    ) -> Page[Payment]:
        """A page of at most `limit` payments, sorted by creation and id, newest first."""

    async def longest_attention_first(
        self, selection: Selection, after: Position | None, limit: int
    ) -> Page[Payment]:
        """A page of at most `limit` payments with open attention, by the oldest open reason.

        A payment whose oldest reason ends meanwhile may come once more on a later page.
        """
