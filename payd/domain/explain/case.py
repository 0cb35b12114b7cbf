"""A payment with all that advice about it is made from, and the refund that payd would grant."""

from typing import Self
from uuid import UUID

import attrs

from payd.domain.errors import PaydError
from payd.domain.evidence import RefundRequested
from payd.domain.explain.money_back import held_by_dispute
from payd.domain.explain.words import minor_units
from payd.domain.explanation import Advice
from payd.domain.history import Circumstances, History
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refunds import grant, left

NOTE = "--note 'why'"
_REFUND = "payd refund "


@attrs.frozen(kw_only=True)
class Case:
    """What is stored, and what stands around it."""

    history: History
    around: Circumstances
    #: Whether advice that was given before says to refund: nobody may follow two of them.
    has_refund: bool = False

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

    @property
    def looks(self) -> str:
        """Where a person sees what the provider has: a chain has no dashboard."""
        where = "the dashboard" if self.around.can_close else "a block explorer"
        return f"in {where} of {self.provider}"

    def after(self, advice: Advice) -> Self:
        """The case for the advice that comes next."""
        return attrs.evolve(self, has_refund=self.has_refund or advice.command.startswith(_REFUND))

    def refund(self, text: str, amount: int, reason: str, *, first: str = "") -> Advice:
        """Advice to refund, with the command where payd takes it; else what to do instead.

        `text` says to refund, and `first` what is true whether that can be done or not.
        """
        payment = self.payment
        first = f"{first} " if first else ""
        if held := held_by_dispute(payment, amount):
            return Advice(text=f"{first}{held}")
        if self.has_refund:
            return Advice(
                text=f"{first}Request no other refund besides the one above before you have"
                f" explained the payment again.",
                command=f"payd explain {payment.id}",
            )
        command, refusal = self._command(amount, reason)
        if refusal:
            by_hand = self.looks if self.around.can_close else "by a transfer of your own"
            return Advice(text=f"{first}{text} payd cannot refund {refusal}: do it {by_hand}.")
        to = " ADDRESS is where the customer wants it." if " --to ADDRESS" in command else ""
        return Advice(text=f"{first}{text}{to}", command=command)

    def _command(self, amount: int, reason: str) -> tuple[str, str]:
        """The command, or why payd would refuse it."""
        payment, terms = self.payment, self.around.refund_terms
        if terms is None:
            return "", f"at {payment.provider}"
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
        except PaydError as error:
            return "", f"it ({error.message})"
        some = "" if amount == left(payment) else f" --amount {minor_units(payment, amount)}"
        to = " --to ADDRESS" if terms.needs_destination else ""
        return f"{_REFUND}{payment.id}{some} --reason '{reason}'{to}", ""
