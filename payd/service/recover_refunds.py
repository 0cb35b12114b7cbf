"""Refund recovery: find out what became of refunds without an answer, and of those on their way.

A refund never fails by age. One that may have been sent is looked up first, and sent again only
while the provider recognises its operation id, with the same parameters. Several daemons may run
this at once: each refund is claimed by one of them.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import attrs

from payd.domain.actors import RECOVERY
from payd.domain.evidence import Absent, RefundAnswer, RefundAnswered, Unanswered
from payd.domain.payment import Origin, Payment
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refunds import next_refund_check_time, refund_of
from payd.plugins.capabilities import Lookup, RefundCapabilities
from payd.ports import Clock, PaymentStore, ProviderPort, Providers
from payd.service.operation import refund_ref
from payd.service.send_refund import SendRefund, was_never_sent
from payd.service.settle import Settle

_ORIGIN = Origin(actor=RECOVERY)


@attrs.frozen(kw_only=True)
class RecoverRefunds:
    """Use case: check open refunds with their provider."""

    store: PaymentStore
    settle: Settle
    sender: SendRefund
    providers: Providers
    clock: Clock
    batch_size: int = 50
    lease_s: float = 60.0

    async def claim_batch(self) -> Sequence[tuple[Payment, UUID]]:
        """Claim refunds whose status check is due; pass each to `recover`."""
        return await self.store.claim_refund_checks(self.clock.now(), self.batch_size, self.lease_s)

    async def recover(self, payment: Payment, refund_id: UUID) -> Refund:
        """Ask the provider, settle its answer, and schedule the next check."""
        refund = refund_of(payment, refund_id)
        origin = attrs.evolve(_ORIGIN, request_id=refund.request_id)
        after = await self.look(payment, refund, origin)
        now_stands = refund_of(after, refund_id)
        if now_stands.update_time == refund.update_time:
            await self._check_later(now_stands)
        return now_stands

    async def look(self, payment: Payment, refund: Refund, origin: Origin) -> Payment:
        """Ask the provider about one refund, and settle its answer."""
        provider = self.providers.by_name(payment.provider)
        capabilities = provider.capabilities.refunds if provider else None
        if provider is None or capabilities is None:
            return await self._learn(payment, refund.id, Unanswered(), origin)
        if self.sender.is_asked(refund):
            return payment
        if not was_never_sent(refund):
            payment = await self._fetch(payment, refund, provider, origin)
            refund = refund_of(payment, refund.id)
        if refund.status is RefundStatus.CREATING and self._may_send(refund, capabilities):
            payment, _ = await self.sender.send_again(payment, refund.id, origin)
        return payment

    async def _fetch(
        self, payment: Payment, refund: Refund, provider: ProviderPort, origin: Origin
    ) -> Payment:
        answer = (await provider.fetch_refund(refund_ref(payment, refund))).answer
        if isinstance(answer, Absent) and answer.proven:
            # Valid for this version only: a concurrent attempt may have made one since.
            evidence = RefundAnswered(refund_id=refund.id, answer=answer)
            payment, _ = await self.settle.claim(payment, evidence, origin)
            return payment
        if isinstance(answer, Absent):
            answer = Unanswered()
        return await self._learn(payment, refund.id, answer, origin)

    async def _learn(
        self, payment: Payment, refund_id: UUID, answer: RefundAnswer, origin: Origin
    ) -> Payment:
        evidence = RefundAnswered(refund_id=refund_id, answer=answer)
        return await self.settle.settle(payment, evidence, origin)

    def _may_send(self, refund: Refund, capabilities: RefundCapabilities) -> bool:
        """Whether sending it again cannot make a second refund.

        Either nothing was ever sent, or the provider still recognises the operation id.
        """
        if was_never_sent(refund):
            return True
        if capabilities.lookup is Lookup.INCLUDING_ABSENCE:
            return False
        return self.clock.now() < refund.create_time + capabilities.idempotency_window

    async def _check_later(self, refund: Refund) -> None:
        now = self.clock.now()
        time: datetime | None = next_refund_check_time(refund, now)
        if self.sender.is_asked(refund):
            # The answer of the daemon that sends, or the end of its claim, comes next.
            time = refund.ask_deadline
        if time is not None:
            await self.store.schedule_refund_check(refund, time)
