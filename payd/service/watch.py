"""Watch a payment: its current state, then every newer version, until it has ended."""

from collections.abc import AsyncIterator
from datetime import datetime

import attrs

from payd.domain.errors import PaymentNotFound
from payd.domain.payment import Payment
from payd.domain.request import WatchRequest
from payd.ports import Clock, PaymentChanges, PaymentStore


@attrs.frozen(kw_only=True)
class Watch:
    """Use case: follow a payment."""

    store: PaymentStore
    changes: PaymentChanges
    clock: Clock

    async def watch(self, wanted: WatchRequest) -> AsyncIterator[Payment]:
        """Yield the payment as it is, unless the caller knows this version, then newer ones.

        Ends `wanted.linger` after a final status. Raises PaymentNotFound, Overloaded and
        ShuttingDown.
        """
        payment = await self.store.get(wanted.payment_id)
        if payment is None:
            raise PaymentNotFound("no payment has this id", payment_id=str(wanted.payment_id))
        if payment.version > wanted.after_version:
            yield payment
        known = max(payment.version, wanted.after_version)
        end: datetime | None = None
        with self.changes.watch(payment.id, known) as watcher:
            while True:
                if end is None and payment.status.is_final:
                    end = self.clock.now() + wanted.linger
                left_s = None if end is None else (end - self.clock.now()).total_seconds()
                if left_s is not None and left_s <= 0:
                    return
                newer = await watcher.newer(left_s)
                if newer is None:
                    return
                yield newer
                payment = newer
