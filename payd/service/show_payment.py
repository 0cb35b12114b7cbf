"""Show a payment to its customer: its state, the money that arrived, and when it changes."""

from collections.abc import Sequence
from uuid import UUID

import attrs

from payd.domain.errors import PaymentNotFound
from payd.domain.evidence import Receipt
from payd.domain.payment import Payment
from payd.ports import PaymentChanges, PaymentStore, Receipts

#: Receipts that are shown; a customer sends one, or a few.
_RECEIPTS_MAX = 20


@attrs.frozen(kw_only=True)
class Shown:
    """A payment, and its newest receipts, oldest first."""

    payment: Payment
    receipts: Sequence[Receipt]


@attrs.frozen(kw_only=True)
class ShowPayment:
    """Use case: what a payment's page shows."""

    store: PaymentStore
    receipts: Receipts
    changes: PaymentChanges

    async def get(self, payment_id: UUID) -> Shown:
        """The payment as it is. Raises PaymentNotFound and StoreUnavailable."""
        payment = await self.store.get(payment_id)
        if payment is None:
            raise PaymentNotFound("no payment has this id", payment_id=str(payment_id))
        # Nothing has arrived for most payments that are looked at: then there is nothing to read.
        received = payment.received > 0
        found = await self.receipts.of_payment(payment_id, _RECEIPTS_MAX) if received else ()
        return Shown(payment=payment, receipts=found)

    async def newer(self, payment_id: UUID, after_version: int, timeout_s: float) -> int | None:
        """Wait for a newer version and return its number; None after `timeout_s`.

        Raises Overloaded and ShuttingDown.
        """
        with self.changes.watch(payment_id, after_version) as watcher:
            payment = await watcher.newer(timeout_s)
        return payment.version if payment else None
