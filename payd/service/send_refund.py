"""Send a refund to the provider and settle its answer.

A claim keeps two daemons from sending at once. Granting the refund is the first claim, until its
`ask_deadline`; committing AskAgain is every later one. Only the daemon that wrote the claim sends.
"""

from uuid import UUID

import attrs

from payd.domain.errors import NotRefundable, PaydError
from payd.domain.evidence import AskAgain, Conflict, Evidence, RefundAnswered
from payd.domain.outcome import Asking
from payd.domain.payment import Origin, Payment
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refunds import refund_of
from payd.plugins.capabilities import RefundCapabilities
from payd.ports import Clock, CrashPoints, ProviderPort, Providers, RefundReply
from payd.service.operation import claim_deadline, enabled_provider, refund_operation
from payd.service.settle import Settle


@attrs.frozen(kw_only=True)
class SendRefund:
    """Send a refund; the request, the approval and recovery share this step."""

    settle: Settle
    providers: Providers
    clock: Clock
    crash: CrashPoints

    def provider(self, payment: Payment) -> tuple[ProviderPort, RefundCapabilities]:
        """The payment's provider and what it can refund.

        Raises ProviderUnavailable, and NotRefundable for a provider that cannot refund.
        """
        provider = enabled_provider(self.providers, payment)
        capabilities = provider.capabilities.refunds
        if capabilities is None:
            raise NotRefundable(
                f"the provider {provider.name} cannot refund", payment_id=str(payment.id)
            )
        return provider, capabilities

    async def send(
        self, payment: Payment, refund_id: UUID, origin: Origin
    ) -> tuple[Payment, PaydError | None]:
        """Send under the claim that the refund carries.

        Returns the payment after the provider's answer, and the error for the caller, if any. Sends
        nothing if the claim has expired: another daemon may be sending.
        """
        refund = refund_of(payment, refund_id)
        if refund.status is not RefundStatus.CREATING or not self.is_asked(refund):
            return payment, None
        provider, _ = self.provider(payment)
        reply = await provider.refund(refund_operation(payment, refund))
        self.crash.reach("refund.after_provider")
        payment = await self.learn(payment, refund_id, reply, origin)
        self.crash.reach("refund.before_answer")
        return payment, reply.error

    async def send_again(
        self, payment: Payment, refund_id: UUID, origin: Origin
    ) -> tuple[Payment, PaydError | None]:
        """As `send`, under a new claim. Sends nothing while another daemon has the claim."""
        refund = refund_of(payment, refund_id)
        if refund.status is not RefundStatus.CREATING or self.is_asked(refund):
            return payment, None
        provider, _ = self.provider(payment)
        deadline = claim_deadline(provider, self.clock.now())
        claim = RefundAnswered(refund_id=refund_id, answer=AskAgain(deadline=deadline))
        claimed, mine = await self.settle.claim(payment, claim, origin)
        return await self.send(claimed, refund_id, origin) if mine else (claimed, None)

    async def learn(
        self, payment: Payment, refund_id: UUID, reply: RefundReply, origin: Origin
    ) -> Payment:
        """Settle what the provider said about a refund."""
        evidence: list[Evidence] = [RefundAnswered(refund_id=refund_id, answer=reply.answer)]
        if reply.is_conflict:
            detail = f"refund {refund_id} was sent before with other parameters"
            evidence.append(Conflict(detail=detail))
        async with self.settle.turns.of(payment.id):
            return await self.settle.settle_all(payment, evidence, origin)

    def is_asked(self, refund: Refund) -> bool:
        """Whether a daemon has the claim, so that no other one may send."""
        return refund.ask_deadline is not None and refund.ask_deadline > self.clock.now()


def was_never_sent(refund: Refund) -> bool:
    """Whether the provider provably does not know it."""
    return refund.asking is Asking.NOT_ATTEMPTED
