"""Evidence in: stored first, believed later, one payment at a time.

An observation that names no known payment is parked, since it may have overtaken the
payment's own commit: for long when it has the form of our ids, else for a moment.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import attrs

from payd.domain.evidence import Conflict, Evidence, Observation
from payd.domain.payment import Origin
from payd.ports import Clock, CrashPoints, Inbox, InboxRow, PaymentStore
from payd.service.settle import Settle

#: How long an observation waits for its payment to appear.
PARKED_MAX = timedelta(hours=24)
#: The same for one that names something else: a reference that we are just being told.
UNKNOWN_MAX = timedelta(minutes=1)
_PARK_S = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0)


@attrs.frozen(kw_only=True)
class Intake:
    """Use case: take evidence in and have it settled."""

    inbox: Inbox
    store: PaymentStore
    settle: Settle
    clock: Clock
    crash: CrashPoints
    batch_size: int = 100
    lease_s: float = 30.0

    async def accept(self, provider: str, observations: Sequence[Observation]) -> int:
        """Store what is new; durable when this returns. How many were new."""
        self.crash.reach("intake.before_inbox")
        new = await self.inbox.put(provider, observations)
        self.crash.reach("intake.after_inbox")
        return new

    async def claim_batch(self) -> Sequence[InboxRow]:
        """Rows for this worker to pass to `work`, each once."""
        return await self.inbox.claim(self.batch_size, self.lease_s)

    async def work(self, row: InboxRow) -> None:
        """Settle one stored observation; safe to repeat."""
        payment = await self.store.find(row.provider, row.observation.reference)
        if payment is None:
            await self._unmatched(row)
            return
        evidence: Evidence = Conflict() if row.conflicting else row.observation.fact
        origin = Origin(actor=f"provider:{row.provider}", request_id=payment.request_id)
        _, wrote = await self.settle.apply(payment, evidence, origin, [row.id])
        if not wrote:
            await self.inbox.finish(row.id, "nothing_new")

    async def _unmatched(self, row: InboxRow) -> None:
        is_ours = _is_payment_id(row.observation.reference)
        if self.clock.now() - row.receive_time > (PARKED_MAX if is_ours else UNKNOWN_MAX):
            await self.inbox.finish(row.id, "never_matched" if is_ours else "not_ours")
        else:
            await self.inbox.park(row.id, _PARK_S[min(row.attempts, len(_PARK_S)) - 1])


def _is_payment_id(reference: str) -> bool:
    try:
        return str(UUID(reference)) == reference.lower()
    except ValueError:
        return False
