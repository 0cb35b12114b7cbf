"""A sentence of an explanation with its reason, and what the sentences are made from."""

import attrs

from payd.domain.history import Change
from payd.domain.payment import Payment


@attrs.frozen
class Said:
    """What happened, and why; each is one or more sentences."""

    what: str
    because: str = ""


@attrs.frozen(kw_only=True)
class Move:
    """One change, with the payment before it."""

    before: Payment
    change: Change

    @property
    def after(self) -> Payment:
        """The payment after the change."""
        return self.change.payment

    @property
    def provider(self) -> str:
        """The name of the payment's provider."""
        return self.after.provider
