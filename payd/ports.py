"""What we need from the outside, as Protocols. Adapters implement them; services await them.

Each method is one short, complete act: no transaction, lock or cursor is handed out.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import attrs

from payd.domain.decide import Decision
from payd.domain.evidence import Observation, Outflow, Receipt
from payd.domain.payment import Origin, Payment, Status
from payd.domain.pricing import PriceList
from payd.plugins.context import Clock
from payd.plugins.interface import ProviderEvent
from payd.plugins.port import Answer, ProviderPort, Providers, Registered
from payd.telemetry import Secret

__all__ = [
    "WATCH",
    "Answer",
    "Book",
    "Clock",
    "CrashPoints",
    "Cursor",
    "Cursors",
    "HeldLease",
    "Ids",
    "Inbox",
    "InboxRow",
    "Lease",
    "LeaseLost",
    "Leases",
    "Outbox",
    "OutboxRow",
    "PaymentStore",
    "PriceSource",
    "ProviderPort",
    "Providers",
    "PublishError",
    "Publisher",
    "RateLimiter",
    "Receipts",
    "Reconciliation",
    "Reconciliations",
    "Registered",
    "Report",
    "Secrets",
    "SecretsUnavailable",
    "StoredObject",
    "StoredReceipt",
]

#: What a provider reports: what it saw of a payment, or its own event, not yet translated.
Report = Observation | ProviderEvent


class Ids(Protocol):
    """New identifiers, so that tests can choose them."""

    def new(self) -> UUID:
        """An id that was never given before."""


class SecretsUnavailable(Exception):
    """The vault gave nothing; `reason` names what to mend, and no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Secrets(Protocol):
    """Where credentials are kept."""

    async def read(self) -> Mapping[str, tuple[Secret, ...]]:
        """All of them now, by name, the newest value first. Raises SecretsUnavailable."""


class CrashPoints(Protocol):
    """Named places where a fault-injection run may kill the process."""

    def reach(self, name: str) -> None:
        """Return, or never."""


class PriceSource(Protocol):
    """The prices in force."""

    def current(self) -> PriceList:
        """One whole list: never a half-loaded one."""


class PaymentStore(Protocol):
    """Payments. Every method raises StoreUnavailable when the database is away."""

    async def insert(self, payment: Payment, origin: Origin) -> Payment:
        """Write payment, items, customer and audit row in one statement.

        What the payment leaves out of its customer (wallet address, e-mail) stays as stored.
        Returns the payment that holds the idempotency key: another id than the given one
        means that the key was taken before, and nothing was written.
        """

    async def get(self, payment_id: UUID) -> Payment | None:
        """The newest version."""

    async def get_by_key(self, idempotency_key: str) -> Payment | None:
        """The newest version of the payment that holds the key."""

    async def find(self, provider: str, reference: str) -> Payment | None:
        """By provider reference, by payment id, or by alias."""

    async def commit(
        self, before: Payment, decision: Decision, origin: Origin, inbox_ids: Sequence[int] = ()
    ) -> bool:
        """Write a decision: payment, audit row, outbox rows and inbox marks, in one statement.

        False when `before` is no longer the newest version; then nothing was written.
        """

    async def await_answer(self, payment_id: UUID, timeout_s: float) -> Payment | None:
        """The payment, as soon as nobody is asking its provider, or as it is at the time-out."""

    async def claim_looks(self, now: datetime, limit: int, lease_s: float) -> Sequence[Payment]:
        """Open payments whose look is due, each for one claimer; its `looks` counts one more."""

    async def schedule_look(self, payment: Payment, time: datetime) -> None:
        """Put the next look at a payment that is still at this version."""


@attrs.frozen(kw_only=True)
class InboxRow:
    """One stored report that waits to be settled."""

    id: int
    provider: str
    report: Report
    attempts: int
    receive_time: datetime
    #: Another report had the same id and other content.
    conflicting: bool = False


class Inbox(Protocol):
    """Evidence, stored before it is believed."""

    async def put(
        self,
        provider: str,
        reports: Sequence[Report],
        cursor: "Cursor | None" = None,
        *,
        outflows: Sequence[Outflow] = (),
        lease: "Lease | None" = None,
    ) -> int:
        """Store what is new and move the cursor, in one transaction; how many were new.

        Repeats are ignored. The same id with other content is kept beside the first, marked as
        conflicting. Receipts go into the ledger of receipts at once, where no payment has them
        yet. With a lease that another took over nothing is stored: raises LeaseLost.
        """

    async def is_waiting(self, provider: str, references: Sequence[str]) -> bool:
        """Whether an observation that names one of these is stored and not settled yet.

        A provider's own event names nothing before it is translated: see `waiting_events`.
        """

    async def waiting_events(
        self, provider: str, after_id: int, limit: int
    ) -> Sequence[tuple[int, ProviderEvent]]:
        """A page of the provider's own events that are stored and not settled yet.

        By row id, each with it.
        """

    async def put_webhook(self, provider: str, event: ProviderEvent, raw_body: bytes) -> bool:
        """As `put`, of one event with the bytes that brought it; whether it was new."""

    async def claim(self, limit: int, lease_s: float) -> Sequence[InboxRow]:
        """The oldest unsettled rows that nobody holds."""

    async def finish(self, row_id: int, outcome: str) -> None:
        """Mark a row that changed no payment, with what became of it."""

    async def park(self, row_id: int, retry_in_s: float) -> None:
        """Put back a row whose payment is not known yet."""

    async def wait(self, timeout_s: float) -> None:
        """Return when something new may be there to claim, at the time-out at the latest.

        What is new ends one wait, claimed or not: whoever cannot claim it now waits again.
        """


@attrs.frozen(kw_only=True)
class Cursor:
    """How far the reading of a provider's own list has come."""

    name: str
    value: str
    #: How long it is left alone; zero goes on at once.
    rest: timedelta


#: The cursor of a provider's watch.
WATCH = "watch"


class Cursors(Protocol):
    """Who may go on reading a provider's list, and from where."""

    async def claim_cursor(
        self, provider: str, name: str, lease_s: float
    ) -> "tuple[str | None] | None":
        """The cursor's value in a tuple, for one claimer; None while it rests or is held."""

    async def read_cursor(self, provider: str, name: str) -> str | None:
        """Its value as last stored."""


@attrs.frozen(kw_only=True)
class Lease:
    """The right to do alone what `name` says; a greater fence has replaced a smaller one."""

    name: str
    fence: int


class LeaseLost(Exception):
    """Another has the lease, or nobody can say who has."""


class HeldLease(Protocol):
    """A lease as long as its session lives."""

    @property
    def lease(self) -> Lease:
        """What to store with."""

    async def check(self) -> None:
        """Return while it is held; raises LeaseLost."""

    async def release(self) -> None:
        """Let another take it. Repeating it is harmless."""


class Leases(Protocol):
    """Who does alone what only one may do."""

    async def acquire(self, name: str) -> HeldLease | None:
        """The lease, under a fence that was never given before; None while another holds it."""


@attrs.frozen(kw_only=True)
class StoredReceipt:
    """A row of the ledger of receipts."""

    provider: str
    receipt: Receipt
    #: What it named: a provider reference, a payment id, or nothing.
    reference: str
    #: None for an unmatched one.
    payment_id: UUID | None


@attrs.frozen(kw_only=True)
class Book:
    """The ledger's sums at a watch's cursor, all of one moment."""

    #: The watch's cursor; None before its first `put`.
    cursor: str | None
    #: Asset → the sum of its final receipts, whatever payment has them, and of its outflows.
    received: Mapping[str, int]
    outflows: Mapping[str, int]


class Receipts(Protocol):
    """The ledger of receipts: every arrival of money, in a payment or unmatched."""

    async def get_receipt(self, provider: str, receipt_id: str) -> StoredReceipt | None:
        """One of them."""

    async def unmatched(self, limit: int) -> Sequence[StoredReceipt]:
        """Those that no payment has, the newest first."""

    async def book(self, provider: str) -> Book:
        """What the ledger says of a provider's account, by its running sums."""

    async def recount(self, provider: str) -> tuple[Book, Book]:
        """The running sums, and the sums of every row, both of one moment; equal unless a defect
        or somebody's SQL came between.
        """


@attrs.frozen(kw_only=True)
class StoredObject:
    """A payment that names an object at its provider."""

    payment_id: UUID
    status: Status
    reference: str
    create_time: datetime


@attrs.frozen(kw_only=True)
class Reconciliation:
    """One comparison of a provider's objects with payd's payments."""

    provider: str
    since: datetime
    until: datetime
    start_time: datetime
    end_time: datetime
    objects: int
    payments: int
    #: Kind, reference, payment id or "", and what was done.
    findings: tuple[Mapping[str, str], ...]


class Reconciliations(Protocol):
    """Comparisons with what providers say they have."""

    async def stored_objects(
        self, provider: str, since: datetime, until: datetime
    ) -> Sequence[StoredObject]:
        """Payments made in [since, until) that name an object."""

    async def add(self, reconciliation: Reconciliation) -> None:
        """Keep its result."""


@attrs.frozen(kw_only=True)
class OutboxRow:
    """One event to publish. `body` is final: a repetition sends the same bytes."""

    id: int
    event_id: UUID
    payment_id: UUID
    subject: str
    headers: Mapping[str, str]
    body: bytes
    #: The payment's latest completed, failed or canceled before this one: a consumer keeps the order.
    previous_event_id: UUID | None = None


class Outbox(Protocol):
    """Events that were decided and not yet published."""

    async def claim(self, limit: int, lease_s: float) -> Sequence[OutboxRow]:
        """The oldest unpublished event of each payment, each for one claimer."""

    async def mark_published(self, row_ids: Sequence[int]) -> None:
        """After the stream's acknowledgement, never before."""

    async def release(self, row_ids: Sequence[int], error: str) -> None:
        """Give back rows that could not be published, for a later try."""

    async def depth(self) -> tuple[int, float]:
        """How many are unpublished, and the age in seconds of the oldest (0 when none)."""

    async def wait(self, timeout_s: float) -> None:
        """Return when something new may be there to claim, at the time-out at the latest.

        What is new ends one wait, claimed or not: whoever cannot claim it now waits again.
        """


class PublishError(Exception):
    """The stream did not acknowledge: it may have the event or not. Publish it again."""


class Publisher(Protocol):
    """The stream that consumers read."""

    async def publish(self, row: OutboxRow) -> bool:
        """Return after the acknowledgement; raise PublishError otherwise.

        False when the stream had an event of this id already, and dropped this one.
        """


class RateLimiter(Protocol):
    """How many calls a client may make."""

    async def admit(self, client: str) -> float:
        """Seconds until this client may call again; 0 when this call is admitted. Never raises."""
