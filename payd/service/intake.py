"""Take evidence in: store each report durably, then settle it in the payment that it names.

A report may overtake the commit of the payment that it names. Therefore a report without a known
payment is parked and tried again: for 24 hours if it names an id in the form of ours, otherwise for
one hour. Receipts are not parked: payd reveals a receipt's reference only after the payment is
committed, and the ledger keeps the receipt for an operator.
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

#: How long an observation that names a payment id waits for its payment.
PARKED_MAX = timedelta(hours=24)
#: The same for one that names a reference or an alias, which payd may learn a little later.
UNKNOWN_MAX = timedelta(hours=1)
#: Seconds until the next attempt, by the number of attempts. The last one repeats.
_PARK_S = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0)


@attrs.frozen(kw_only=True)
class Intake:
    """Use case: store reports of providers and settle them."""

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
        """Store reports in one transaction, with the cursor; return how many were new.

        They are durable when this returns. Raises LeaseLost and StoreUnavailable.
        """
        self.crash.reach("intake.before_inbox")
        new = await self.inbox.put(provider, observations, cursor, outflows=outflows, lease=lease)
        self.crash.reach("intake.after_inbox")
        return new

    async def accept_webhook(self, provider: str, request: WebhookRequest) -> bool:
        """Verify a webhook and store its event durably; return whether it was new.

        Raises WebhookUnknown, WebhookRefused, ProviderUnavailable and StoreUnavailable.
        """
        port = self.providers.by_name(provider)
        if port is None:
            raise WebhookUnknown(
                f"no enabled provider is named {provider!r}: check the webhook's URL"
            )
        event = port.verify(request, self.clock.now())
        self.crash.reach("intake.before_inbox")
        new = await self.inbox.put_webhook(provider, event, request.body)
        self.crash.reach("intake.after_inbox")
        return new

    async def claim_batch(self) -> Sequence[InboxRow]:
        """Claim stored reports; pass each to `work`."""
        return await self.inbox.claim(self.batch_size, self.lease_s)

    async def work(self, row: InboxRow) -> str:
        """Settle one stored report and return its outcome. Repeating it changes nothing."""
        try:
            observations = self._observations(row)
        except Untranslatable:
            # Kept for ever: a later version of the provider may be able to read it.
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
        # The last decision also marks the row: one statement does both.
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
        """Settle one observation; return whether it changed the payment."""
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
        """Put receipts from a translated event into the ledger, for an operator to match.

        Receipts of a watch are there already. Repeating this changes nothing.
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
    """Key that is equal for rows about the same payment, where it is known without translation.

    Workers take rows with equal keys one after another: at the same time they would only compete.
    """
    if isinstance(row.report, Observation) and row.report.reference:
        return row.provider, row.report.reference
    return row.id


def _is_payment_id(reference: str) -> bool:
    try:
        return str(UUID(reference)) == reference.lower()
    except ValueError:
        return False
