"""ApproveRefund: a second person lets a refund be sent; then it is sent."""

from uuid import UUID

import attrs

from payd.domain.errors import RefundNotFound
from payd.domain.evidence import RefundApproved
from payd.domain.payment import Origin, Payment
from payd.domain.refund import Refund
from payd.domain.refunds import refund_of
from payd.ports import PaymentStore
from payd.service.refund import requester
from payd.service.send_refund import SendRefund, was_never_sent
from payd.service.settle import Settle


@attrs.frozen(kw_only=True)
class ApproveRefund:
    """Use case: approve a refund."""

    store: PaymentStore
    settle: Settle
    sender: SendRefund

    async def approve(self, refund_id: UUID, note: str, origin: Origin) -> tuple[Payment, Refund]:
        """Return the refund after the provider was asked, with its payment.

        An unknown outcome is not an error: recovery goes on. Raises RefundNotFound,
        ApproverIsRequester, NotRefundable, PaymentDisputed and ProviderUnavailable.
        """
        found = await self.store.get_refund(refund_id)
        if found is None:
            raise RefundNotFound("no refund has this id", refund_id=str(refund_id))
        payment, _ = found
        evidence = RefundApproved(refund_id=refund_id, by=requester(origin), note=note)
        payment = await self.settle.settle(payment, evidence, origin)
        if was_never_sent(refund_of(payment, refund_id)):
            payment, error = await self.sender.send_again(payment, refund_id, origin)
            if error is not None and not error.may_retry:
                raise error
        return payment, refund_of(payment, refund_id)
