"""SettleRefund: an operator says what became of a refund that payd cannot find out about."""

from datetime import timedelta

import attrs

from payd.domain.errors import InvalidField, NoteRequired, RefundNotFound
from payd.domain.evidence import RefundSettled
from payd.domain.payment import Origin, Payment
from payd.domain.refund import Refund
from payd.domain.refunds import REFUND_STUCK_AFTER, refund_of
from payd.domain.request import SettleRequest
from payd.ports import PaymentStore, Providers
from payd.service.settle import BelongsElsewhere, Settle


@attrs.frozen(kw_only=True)
class SettleRefund:
    """Use case: settle a refund by an operator's word."""

    store: PaymentStore
    settle: Settle
    providers: Providers

    async def settle_refund(self, request: SettleRequest, origin: Origin) -> tuple[Payment, Refund]:
        """Return the refund with its outcome, and its payment.

        Raises RefundNotFound, NoteRequired, InvalidField for the reference, and NotRefundable if it
        has an outcome, or payd can still find out: within the provider's idempotency window.
        """
        if not request.note.strip():
            raise NoteRequired("say how you found out", field="note")
        found = await self.store.get_refund(request.refund_id)
        if found is None:
            raise RefundNotFound("no refund has this id", refund_id=str(request.refund_id))
        payment, refund = found
        evidence = RefundSettled(
            refund_id=refund.id,
            has_succeeded=request.has_succeeded,
            reference=request.reference,
            not_before=refund.create_time + self._window(payment),
            note=request.note,
        )
        try:
            payment, _ = await self.settle.apply_or_raise(payment, evidence, origin)
        except BelongsElsewhere:
            raise InvalidField("reference", "it is that of a refund of another payment") from None
        return payment, refund_of(payment, refund.id)

    def _window(self, payment: Payment) -> timedelta:
        """For how long payd can find out, if the provider is there to be asked."""
        provider = self.providers.by_name(payment.provider)
        capabilities = provider.capabilities.refunds if provider else None
        return capabilities.idempotency_window if capabilities else REFUND_STUCK_AFTER
