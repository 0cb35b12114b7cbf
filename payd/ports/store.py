"""Ports for stored payments, receipts and reconciliations."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import attrs

from payd.domain.decide import Decision
from payd.domain.evidence import Receipt
from payd.domain.ledger import ReceiptFilter, ReceiptPosition, Reconciliation, StoredReceipt
from payd.domain.page import Position
from payd.domain.payment import Origin, Payment, Status
from payd.domain.refund import Refund
from payd.domain.request import RefundFilter


@attrs.frozen(kw_only=True)
class Commit:
    """A decision to write, and the version of the payment on which it was made."""

    before: Payment
    decision: Decision
    origin: Origin
    #: Inbox rows that are marked as settled with it.
    inbox_ids: tuple[int, ...] = ()


@attrs.frozen
class Name:
    """A name under which a provider reports a payment, as `PaymentStore.find` knows them."""

    provider: str
    reference: str


class PaymentStore(Protocol):
    """Stored payments. Every method raises StoreUnavailable if the database does not answer."""

    async def insert(self, payment: Payment, origin: Origin) -> Payment:
        """Write payment, items, customer and audit row in one statement.

        Returns the payment that has the idempotency key. If its id is not the given one, the key
        existed before and nothing was written. An empty wallet address or e-mail keeps the
        customer's stored one.
        """

    async def get(self, payment_id: UUID, receipt_ids: Collection[str] = ()) -> Payment | None:
        """The newest version of a payment, if it exists, with those of its receipts.

        A payment is read with the sums of all its receipts, and with no receipt that is not asked
        for.
        """

    async def get_with_receipts(
        self, payment_id: UUID, receipts_max: int
    ) -> tuple[Payment, Sequence[Receipt]] | None:
        """The newest version of a payment, if it exists, and its newest receipts, oldest first."""

    async def get_by_key(self, idempotency_key: str) -> Payment | None:
        """The newest version of the payment with this key, if it exists."""

    async def get_all(self, payment_ids: Sequence[UUID]) -> Sequence[Payment]:
        """The newest versions of these payments, in this order; leave out unknown ones."""

    async def find(self, provider: str, reference: str) -> Payment | None:
        """Find a provider's payment by the first of these that is known.

        They are its reference, its payment id, the id of one of its refunds, and an alias.
        """

    async def find_all(self, names: Mapping[Name, Collection[str]]) -> Mapping[Name, Payment]:
        """Find payments as `find` does, all in one statement; leave out unknown names.

        Each is read with those of its receipts whose ids are given for any name.
        """

    async def oldest_unnamed(self, provider: str) -> datetime | None:
        """When the oldest open payment began that does not know its object; None for none."""

    async def newer(self, versions: Mapping[UUID, int]) -> Sequence[Payment]:
        """The payments of these ids that have a newer version than the given one."""

    async def commit(
        self, before: Payment, decision: Decision, origin: Origin, inbox_ids: Sequence[int] = ()
    ) -> bool:
        """Write a decision in one statement, with its audit row, events and inbox marks.

        Written are the payment and those of its receipts, refunds and disputes that differ from
        `before`. Returns False, and writes nothing, if `before` is no longer the newest version,
        if another payment has the provider reference, one of the receipts or disputes, or a refund
        with the provider's reference of one of the refunds, or if another refund has the
        idempotency key of one.
        """

    async def commit_all(self, commits: Sequence[Commit]) -> Sequence[bool]:
        """Write decisions of different payments together, each as `commit` does."""

    async def await_answer(self, payment_id: UUID, timeout_s: float) -> Payment | None:
        """Return the payment when no daemon has the claim to send, or after `timeout_s` seconds."""

    async def claim_status_checks(
        self, now: datetime, limit: int, lease_s: float
    ) -> Sequence[Payment]:
        """Claim open payments whose status check is due, each for one daemon.

        The claim ends after `lease_s` seconds. Increases `checks` of each payment.
        """

    async def claim_sync(self, payment_id: UUID, now: datetime, rest: timedelta) -> bool:
        """Claim to ask the provider about a payment because a caller wants it.

        Of all daemons' claims within `rest` the first one gets it.
        """

    async def schedule_status_check(self, payment: Payment, time: datetime) -> None:
        """Schedule the next status check of a payment if it is still at this version and open."""

    async def get_refund(self, refund_id: UUID) -> tuple[Payment, Refund] | None:
        """A refund with the newest version of its payment, if it exists."""

    async def get_refund_by_key(self, idempotency_key: str) -> tuple[Payment, Refund] | None:
        """The refund with this key, as `get_refund`."""

    async def list_refunds(
        self, wanted: RefundFilter, after: Position | None, limit: int
    ) -> Sequence[tuple[Payment, Refund]]:
        """A page of at most `limit` refunds, newest first, each with its payment."""

    async def claim_refund_checks(
        self, now: datetime, limit: int, lease_s: float
    ) -> Sequence[tuple[Payment, UUID]]:
        """Claim refunds whose status check is due, by their ids, each for one daemon.

        The claim ends after `lease_s` seconds. Increases `checks` of each refund.
        """

    async def schedule_refund_check(self, refund: Refund, time: datetime) -> None:
        """Schedule the next status check of a refund if it is unchanged and still has one."""


@attrs.frozen(kw_only=True)
class Book:
    """The ledger's sums and the watch's cursor, read in one snapshot."""

    #: The cursor of the watch; None before it stored one.
    cursor: str | None
    #: Asset → sum of its final receipts (matched or not), and of its outflows, in base units.
    received: Mapping[str, int]
    outflows: Mapping[str, int]


class Receipts(Protocol):
    """The ledger: every arrival of money, in a payment or unmatched."""

    async def get_receipt(self, provider: str, receipt_id: str) -> StoredReceipt | None:
        """One receipt of a provider, if it exists."""

    async def newest(
        self, wanted: ReceiptFilter, after: ReceiptPosition | None, limit: int
    ) -> Sequence[StoredReceipt]:
        """At most `limit` receipts, sorted by `ReceiptPosition`, newest first."""

    async def of_payment(self, payment_id: UUID, limit: int) -> Sequence[Receipt]:
        """The newest `limit` receipts of a payment, oldest first. Raises StoreUnavailable."""

    async def count_of_payment(self, payment_id: UUID) -> int:
        """Number of a payment's receipts. Raises StoreUnavailable."""

    async def book(self, provider: str) -> Book:
        """The running sums of a provider's account."""

    async def recount(self, provider: str) -> tuple[Book, Book]:
        """The running sums and the sums of all rows, from one snapshot.

        They differ only after a defect or a change made by hand in SQL.
        """


@attrs.frozen(kw_only=True)
class StoredObject:
    """A stored payment that has an object at its provider."""

    payment_id: UUID
    status: Status
    reference: str
    create_time: datetime


class Reconciliations(Protocol):
    """Results of reconciliations, and the payments to compare."""

    async def stored_objects(
        self, provider: str, since: datetime, until: datetime
    ) -> Sequence[StoredObject]:
        """Payments created in [since, until) that have an object at the provider."""

    async def add(self, reconciliation: Reconciliation) -> None:
        """Store the result of a reconciliation."""
