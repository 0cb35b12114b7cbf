"""What is stored about one payment: its changes in their order, and what stands around them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import attrs

from payd.domain.decide import Rules
from payd.domain.dispute import Dispute
from payd.domain.evidence import Conflict, Receipt, Snapshot
from payd.domain.payment import Payment
from payd.domain.published import NamedEvent
from payd.domain.refund import RefundSnapshot, RefundTerms
from payd.domain.refunds import REFUND_STUCK_AFTER


@attrs.frozen(kw_only=True)
class Change:
    """One row of the audit trail, or a run of status checks that brought nothing."""

    #: As it was after the change.
    payment: Payment
    audit_event: str
    actor: str
    #: From the caller's certificate; empty for what payd did by itself.
    certificate: str = ""
    request_id: str = ""
    #: The reason that a caller gave, or an operator's note.
    note: str = ""
    time: datetime
    #: Receipts that are new or changed.
    receipts: tuple[Receipt, ...] = ()
    #: Older events that an operator had published again.
    republished: tuple[NamedEvent, ...] = ()
    #: Rows of the inbox that were settled with it.
    report_ids: tuple[int, ...] = ()
    #: How many status checks it stands for, and when the first of them was.
    count: int = 1
    first_time: datetime


#: What an observation says, see `Observation.fact`.
Fact = Snapshot | tuple[Receipt, ...] | RefundSnapshot | Dispute | Conflict


@attrs.frozen(kw_only=True)
class StoredReport:
    """A row of the inbox: what a provider has reported."""

    id: int
    event_id: str
    receive_time: datetime
    attempts: int = 0
    #: When a report that waits is tried next, at the earliest.
    retry_time: datetime | None = None
    #: What it says about the payment, as far as payd can read it.
    facts: tuple[Fact, ...] = ()


@attrs.frozen(kw_only=True)
class StoredEvent:
    """A row of the outbox: what the main app is sent."""

    event_id: UUID
    subject: str
    #: The refund or dispute that it is about; empty for the payment itself.
    about: str = ""
    create_time: datetime
    #: None while it waits.
    publish_time: datetime | None = None
    last_error: str = ""


@attrs.frozen(kw_only=True)
class History:
    """Everything that is stored about one payment, as known at one time."""

    #: Oldest first, at least one.
    changes: tuple[Change, ...]
    #: As it was before the first of `changes`; None when that is its creation.
    before: Payment | None = None
    #: Number of versions that are older than `changes`.
    left_out: int = 0
    #: Reports by the id of their row, as far as `changes` name them.
    reports: Mapping[int, StoredReport] = attrs.field(factory=dict)
    #: Reports that name the payment and are not settled yet, oldest first.
    waiting: tuple[StoredReport, ...] = ()
    #: Oldest first.
    events: tuple[StoredEvent, ...] = ()
    #: Receipts that no payment has and that may be meant for this one.
    unmatched: tuple[Receipt, ...] = ()

    @property
    def payment(self) -> Payment:
        """The payment as it stands after the last change."""
        return self.changes[-1].payment


@attrs.frozen(kw_only=True)
class Circumstances:
    """What is not stored with the payment: the time, and what its provider can do."""

    now: datetime
    #: Whether `now` is the present: only then commands can help.
    is_present: bool = True
    #: Whether this daemon runs the payment's provider.
    is_enabled: bool = True
    #: Whether the provider can close a payment.
    can_close: bool = True
    #: Names and decimals of the provider's tokens, by their addresses in lower case.
    tokens: Mapping[str, tuple[str, int]] = attrs.field(factory=dict)
    #: Whether the provider can find a payment whose request got no answer.
    can_look_up: bool = True
    #: How long after its request payd itself can find out what became of a refund.
    refund_settle_after: timedelta = REFUND_STUCK_AFTER
    #: None if the provider cannot refund.
    refund_terms: RefundTerms | None = attrs.field(factory=RefundTerms)
    rules: Rules = attrs.field(factory=Rules)
