"""Attach an unmatched receipt to the payment that an operator names.

The receipt is settled as any other evidence, so the payment's rules decide what it changes.
"""

from uuid import UUID

import attrs

from payd.domain.errors import ReceiptNotAttachable, ReceiptNotFound
from payd.domain.evidence import ReceiptState
from payd.domain.payment import Origin, Payment
from payd.ports import Receipts, StoredReceipt
from payd.service.settle import BelongsElsewhere, Settle


@attrs.frozen(kw_only=True)
class Attach:
    """Use case: attach an unmatched receipt to a payment."""

    receipts: Receipts
    settle: Settle

    async def attach(
        self, receipt_id: str, payment_id: UUID, origin: Origin, note: str = ""
    ) -> Payment:
        """Return the payment with the receipt; unchanged if it already has it.

        Raises PaymentNotFound, ReceiptNotFound and ReceiptNotAttachable.
        """
        payment = await self.settle.newest(payment_id, [receipt_id])
        stored = await self.receipts.get_receipt(payment.provider, receipt_id)
        if stored is None:
            raise ReceiptNotFound(
                f"no receipt of {payment.provider} has this id: see `payd receipts list`",
                receipt_id=receipt_id,
            )
        if stored.payment_id == payment_id:
            return payment
        _refuse_unfit(stored, payment)
        try:
            after, _ = await self.settle.apply_or_raise(
                payment, (stored.receipt,), origin, note=note
            )
        except BelongsElsewhere as error:
            raise ReceiptNotAttachable(
                "another payment has just received it",
                receipt_id=receipt_id,
                payment_id=str(payment_id),
            ) from error
        return after


def _refuse_unfit(stored: StoredReceipt, payment: Payment) -> None:
    receipt = stored.receipt
    why = None
    if stored.payment_id is not None:
        why = f"it belongs to the payment {stored.payment_id}"
    elif receipt.state is not ReceiptState.CONFIRMED:
        why = f"it is {receipt.state.value}, not CONFIRMED: the money is not final"
    elif not payment.is_asset(receipt.asset):
        why = f"it is in {receipt.asset}, but the payment is due in {payment.asset}"
    if why is not None:
        raise ReceiptNotAttachable(why, receipt_id=receipt.id, payment_id=str(payment.id))
