"""Attach a receipt that matched nothing to the payment that it was meant for, by a person's word.

It enters as any evidence does, so that the payment's rules decide what it makes of it.
"""

from uuid import UUID

import attrs

from payd.domain.errors import ReceiptNotAttachable, ReceiptNotFound
from payd.domain.evidence import ReceiptState
from payd.domain.payment import Origin, Payment
from payd.ports import Receipts, StoredReceipt
from payd.service.settle import ReceiptTaken, Settle


@attrs.frozen(kw_only=True)
class Attach:
    """Use case: place a receipt."""

    receipts: Receipts
    settle: Settle

    async def attach(
        self, receipt_id: str, payment_id: UUID, origin: Origin, note: str = ""
    ) -> Payment:
        """The payment with the receipt; as it stands when it has it already.

        Raises PaymentNotFound, ReceiptNotFound and ReceiptNotAttachable.
        """
        payment = await self.settle.newest(payment_id)
        stored = await self.receipts.get_receipt(payment.provider, receipt_id)
        if stored is None:
            raise ReceiptNotFound(
                f"{payment.provider} has no receipt of this id", receipt_id=receipt_id
            )
        if stored.payment_id == payment_id:
            return payment
        _refuse_unfit(stored, payment)
        try:
            after, _ = await self.settle.take(payment, (stored.receipt,), origin, note=note)
        except ReceiptTaken as error:
            raise ReceiptNotAttachable(
                "another payment has just got it",
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
        why = f"it is {receipt.state.value}: the money is not ours"
    elif not payment.is_asset(receipt.asset):
        why = f"it is in {receipt.asset}, the payment is due in {payment.asset}"
    if why is not None:
        raise ReceiptNotAttachable(why, receipt_id=receipt.id, payment_id=str(payment.id))
