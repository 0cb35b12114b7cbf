"""Evidence in: stored first, believed later, one payment at a time.

A report that names no known payment is parked, since it may have overtaken the payment's own
commit: for long when it has the form of our ids, else for an hour. Receipts are not: what they
name was told to nobody before it was committed, and the ledger has them, for an operator.
"""

from collections.abc import Hashable, Sequence
from datetime import timedelta
from uuid import UUID

import attrs

from payd.domain.actors import provider_actor
from payd.domain.errors import WebhookUnknown
from payd.domain.evidence import Conflict, Evidence, Observation, Outflow
from payd.domain.payment import Origin, Payment
from payd.plugins.interface import ProviderEvent, WebhookRequest
from payd.ports import (
    Clock,
    CrashPoints,
    Cursor,
    Inbox,
    InboxRow,
    Lease,
    PaymentStore,
    Providers,
)
from payd.ports.provider import Untranslatable
from payd.service.settle import Settle

#: How long an observation waits for its payment to appear.
PARKED_MAX = timedelta(hours=24)
#: The same for one that names something else: a reference or an alias that we are being told.
UNKNOWN_MAX = timedelta(hours=1)
_PARK_S = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0)


@attrs.frozen(kw_only=True)
class Intake:
    """Use case: take evidence in and have it settled."""

    inbox: Inbox
    store: PaymentStore
    providers: Providers
    settle: Settle
    clock: Clock
    crash: CrashPoints
    batch_size: int = 100
    lease_s: float = 30.0

    async def accept(
        self,
        provider: str,
        observations: Sequence[Observation],
        cursor: Cursor | None = None,
        *,
        outflows: Sequence[Outflow] = (),
        lease: Lease | None = None,
    ) -> int:
        """Store what is new, all or nothing; durable when this returns. How many were new.

        Raises LeaseLost and StoreUnavailable.
        """
        self.crash.reach("intake.before_inbox")
        new = await self.inbox.put(provider, observations, cursor, outflows=outflows, lease=lease)
        self.crash.reach("intake.after_inbox")
        return new

    async def accept_webhook(self, provider: str, request: WebhookRequest) -> bool:
        """Store a webhook that is authentic; durable when this returns. Whether it was new.

        Raises WebhookUnknown, WebhookRefused, ProviderUnavailable and StoreUnavailable.
        """
        port = self.providers.by_name(provider)
        if port is None:
            raise WebhookUnknown(f"no provider {provider!r} is enabled")
        event = port.verify(request, self.clock.now())
        self.crash.reach("intake.before_inbox")
        new = await self.inbox.put_webhook(provider, event, request.body)
        self.crash.reach("intake.after_inbox")
        return new

    async def claim_batch(self) -> Sequence[InboxRow]:
        """Rows for this worker to pass to `work`, each once."""
        return await self.inbox.claim(self.batch_size, self.lease_s)

    async def work(self, row: InboxRow) -> str:
        """Settle one stored report; what became of it. Safe to repeat."""
        try:
            observations = self._observations(row)
        except Untranslatable:
            # Never given up: a later version of the provider may read it.
            await self._park(row)
            return "untranslatable"
        if not observations:
            await self.inbox.finish(row.id, "not_ours")
            return "not_ours"
        payments = [await self.store.find(row.provider, one.reference) for one in observations]
        known = [(p, one) for p, one in zip(payments, observations, strict=True) if p is not None]
        if len(known) < len(observations):
            for payment, observation in known:
                await self._settle(row, payment, observation)
            return await self._wait_for_payment(row, observations)
        wrote = [await self._settle(row, *one) for one in known[:-1]]
        # The last decision settles the row, too: one statement for both.
        if await self._settle(row, *known[-1], marks=(row.id,)):
            return "applied"
        outcome = "applied" if any(wrote) else "nothing_new"
        await self.inbox.finish(row.id, outcome)
        return outcome

    def _observations(self, row: InboxRow) -> Sequence[Observation]:
        if isinstance(row.report, Observation):
            return (row.report,)
        return self._translate(row.provider, row.report)

    def _translate(self, provider: str, event: ProviderEvent) -> Sequence[Observation]:
        port = self.providers.by_name(provider)
        if port is None:
            raise Untranslatable(f"the provider {provider!r} is not enabled")
        return port.translate(event)

    async def _settle(
        self,
        row: InboxRow,
        payment: Payment,
        observation: Observation,
        marks: Sequence[int] = (),
    ) -> bool:
        """Whether it changed the payment."""
        evidence: Evidence = Conflict() if row.conflicting else observation.fact
        origin = Origin(actor=provider_actor(row.provider), request_id=payment.request_id)
        _, wrote = await self.settle.apply(payment, evidence, origin, marks)
        return wrote

    async def _wait_for_payment(self, row: InboxRow, observations: Sequence[Observation]) -> str:
        if all(isinstance(one.fact, tuple) for one in observations):
            await self._keep_receipts(row, observations)
            await self.inbox.finish(row.id, "unmatched")
            return "unmatched"
        is_ours = any(_is_payment_id(one.reference) for one in observations)
        if self.clock.now() - row.receive_time > (PARKED_MAX if is_ours else UNKNOWN_MAX):
            outcome = "never_matched" if is_ours else "not_ours"
            await self._keep_receipts(row, observations)
            await self.inbox.finish(row.id, outcome)
            return outcome
        await self._park(row)
        return "parked"

    async def _keep_receipts(self, row: InboxRow, observations: Sequence[Observation]) -> None:
        """What an event's translation brought is money, too: into the ledger, for a person.

        A watch's receipts are there since they were put. Repeating it changes nothing.
        """
        if isinstance(row.report, Observation):
            return
        kept = [
            attrs.evolve(one, id=f"{row.report.id} receipts {number}")
            for number, one in enumerate(observations)
            if isinstance(one.fact, tuple)
        ]
        if kept:
            await self.inbox.put(row.provider, kept)

    async def _park(self, row: InboxRow) -> None:
        await self.inbox.park(row.id, _PARK_S[min(row.attempts, len(_PARK_S)) - 1])


def same_payment(row: InboxRow) -> Hashable:
    """Equal for rows that are about one payment, as far as they say: two would only race."""
    if isinstance(row.report, Observation) and row.report.reference:
        return row.provider, row.report.reference
    return row.id


def _is_payment_id(reference: str) -> bool:
    try:
        return str(UUID(reference)) == reference.lower()
    except ValueError:
        return False
