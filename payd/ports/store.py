"""Payments, receipts and reconciliations as stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import attrs

from payd.domain.decide import Decision
from payd.domain.evidence import Receipt
from payd.domain.payment import Origin, Payment, Status


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

    async def claim_status_checks(
        self, now: datetime, limit: int, lease_s: float
    ) -> Sequence[Payment]:
        """Open payments whose look is due, each for one claimer; its `looks` counts one more."""

    async def schedule_status_check(self, payment: Payment, time: datetime) -> None:
        """Put the next look at a payment that is still at this version."""


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
