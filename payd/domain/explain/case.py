"""A payment with all that advice about it is made from, and the refund that payd would grant."""

from uuid import UUID

import attrs

from payd.domain.errors import PaydError
from payd.domain.evidence import RefundRequested
from payd.domain.explain.words import minor_units
from payd.domain.explanation import Advice
from payd.domain.history import Circumstances, History
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refunds import grant, left

NOTE = "--note 'why'"


@attrs.frozen(kw_only=True)
class Case:
    """What is stored, and what stands around it."""

    history: History
    around: Circumstances

    @property
    def payment(self) -> Payment:
        """The payment as it stands."""
        return self.history.payment

    @property
    def provider(self) -> str:
        """The name of its provider."""
        return self.payment.provider

    @property
    def pending(self) -> int:
        """Money that is seen and not final."""
        return self.payment.received - self.payment.confirmed

    def refund(self, text: str, amount: int, reason: str) -> Advice:
        """Advice to refund, with the command where payd would take it."""
        command = self._command(amount, reason)
        if not command:
            return Advice(text=f"{text} payd cannot refund it.")
        to = " ADDRESS is where the customer wants it." if " --to ADDRESS" in command else ""
        return Advice(text=f"{text}{to}", command=command)

    def _command(self, amount: int, reason: str) -> str:
        payment, terms = self.payment, self.around.refund_terms
        if terms is None:
            return ""
        draft = Refund(
            id=UUID(int=0),
            status=RefundStatus.CREATING,
            amount=amount,
            destination="ADDRESS",
            create_time=self.around.now,
            update_time=self.around.now,
        )
        try:
            grant(payment, RefundRequested(refund=draft, terms=terms), self.around.now)
        except PaydError:
            return ""
        some = "" if amount == left(payment) else f" --amount {minor_units(payment, amount)}"
        to = " --to ADDRESS" if terms.needs_destination else ""
        return f"payd refund {payment.id}{some} --reason '{reason}'{to}"
