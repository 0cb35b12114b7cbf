"""CancelRefund: an operator takes a refund back that nobody has sent."""

from uuid import UUID

import attrs

from payd.domain.errors import NoteRequired, RefundNotFound
from payd.domain.evidence import RefundCanceled
from payd.domain.payment import Origin, Payment
from payd.domain.refund import Refund
from payd.domain.refunds import refund_of
from payd.ports import PaymentStore
from payd.service.settle import Settle


@attrs.frozen(kw_only=True)
class CancelRefund:
    """Use case: withdraw a refund."""

    store: PaymentStore
    settle: Settle

    async def cancel(self, refund_id: UUID, note: str, origin: Origin) -> tuple[Payment, Refund]:
        """Return the refund, CANCELED, with its payment.

        Raises RefundNotFound, NoteRequired, and NotRefundable if it may have been sent.
        """
        if not note.strip():
            raise NoteRequired("say why the refund is taken back", field="note")
        found = await self.store.get_refund(refund_id)
        if found is None:
            raise RefundNotFound("no refund has this id", refund_id=str(refund_id))
        payment, _ = found
        evidence = RefundCanceled(refund_id=refund_id, note=note)
        payment = await self.settle.settle(payment, evidence, origin)
        return payment, refund_of(payment, refund_id)
