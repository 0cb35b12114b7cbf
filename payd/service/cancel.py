"""CancelPayment: commit CANCELING → ask the provider to close → settle its answer.

CANCELING is committed before the provider is asked, so that recovery finishes the cancellation if
the daemon dies in between. The provider decides: if the customer paid meanwhile, the payment
becomes COMPLETED.
"""

from uuid import UUID

import attrs

from payd.domain.errors import PaymentNotCancelable
from payd.domain.evidence import CancelRequested
from payd.domain.payment import Origin, Payment, Status
from payd.ports import CrashPoints, Providers
from payd.service.operation import payment_ref
from payd.service.settle import Settle
from payd.service.status_check import StatusCheck


@attrs.frozen(kw_only=True)
class Cancel:
    """Use case: cancel an open payment."""

    settle: Settle
    status_check: StatusCheck
    providers: Providers
    crash: CrashPoints

    async def cancel(self, payment_id: UUID, reason: str, origin: Origin) -> Payment:
        """Return the payment, CANCELED or still CANCELING.

        Raises PaymentNotFound, and PaymentNotCancelable when money arrived or it ended otherwise.
        """
        payment = await self.settle.newest(payment_id)
        if payment.status is Status.CANCELED:
            return payment
        payment = await self.settle.settle(payment, CancelRequested(reason=reason), origin)
        self.crash.reach("cancel.after_wish")
        if payment.status is Status.CANCELING:
            payment = await self.close(payment, origin)
        if payment.status not in (Status.CANCELING, Status.CANCELED):
            raise PaymentNotCancelable(
                f"the payment is {payment.status.value} and can no longer be canceled",
                payment_id=str(payment.id),
                status=payment.status.value,
            )
        return payment

    async def close(self, payment: Payment, origin: Origin) -> Payment:
        """Ask the provider to close a CANCELING payment; no-op until its reference is known."""
        provider = self.providers.by_name(payment.provider)
        if provider is None or payment.provider_reference is None:
            return payment
        answer = await provider.close(payment_ref(payment))
        self.crash.reach("cancel.after_provider")
        return await self.status_check.apply(payment, provider, answer, origin)
