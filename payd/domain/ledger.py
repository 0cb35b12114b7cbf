"""Receipts in the ledger and results of reconciliations, as an operator lists them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import attrs

from payd.domain.errors import InvalidFilter
from payd.domain.evidence import Receipt


@attrs.frozen(kw_only=True)
class StoredReceipt:
    """A receipt in the ledger, matched or not."""

    provider: str
    receipt: Receipt
    #: What the receipt named: a provider reference, a payment id, or "".
    reference: str
    #: The payment that has it; None while unmatched.
    payment_id: UUID | None

    @property
    def position(self) -> "ReceiptPosition":
        """Its place in a list of receipts."""
        return ReceiptPosition(self.receipt.time, self.provider, self.receipt.id)


@attrs.frozen(kw_only=True)
class PaymentReceipts:
    """The receipts of a payment, as its caller sees them."""

    #: The newest ones, oldest first.
    newest: Sequence[Receipt] = ()
    total: int = 0
    #: Receipt id → page of its transaction in a block explorer.
    pages: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(order=True)
class ReceiptPosition:
    """A place in a list of receipts: sorted by time, then by provider and id."""

    time: datetime
    provider: str
    id: str


@attrs.frozen(kw_only=True)
class ReceiptFilter:
    """Which receipts to list: those to which everything applies that is set."""

    #: Receipts that no payment has only.
    unmatched: bool = False
    provider: str = ""
    payment_id: UUID | None = None
    time_from: datetime | None = None
    time_before: datetime | None = None

    def check(self) -> None:
        """Raise InvalidFilter if no receipt can be like this."""
        if self.unmatched and self.payment_id is not None:
            raise InvalidFilter(
                "an unmatched receipt is of no payment: leave out payment_id or unmatched",
                filter="payment_id",
            )
        if self.time_from and self.time_before and self.time_from >= self.time_before:
            raise InvalidFilter("time_from must be before time_before", filter="time_from")


@attrs.frozen(kw_only=True)
class Reconciliation:
    """Result of comparing a provider with payd: its objects, or the balances of an audit."""

    #: Number in the order of storing; 0 before it is stored.
    id: int = attrs.field(default=0, eq=False)
    provider: str
    since: datetime
    until: datetime
    start_time: datetime
    end_time: datetime
    objects: int
    payments: int
    #: Each with `kind`, `reference`, `payment_id` (or "") and `detail`, which says what was done.
    findings: tuple[Mapping[str, str], ...]

    @property
    def position(self) -> "ReconciliationPosition":
        """Its place in a list of results."""
        return ReconciliationPosition(self.end_time, self.id)


@attrs.frozen(order=True)
class ReconciliationPosition:
    """A place in a list of reconciliations: sorted by their end, then by id."""

    end_time: datetime
    id: int
