"""Port for the personal data of a customer, wherever it is stored."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

import attrs

from payd.domain.forget import RetainedEvent
from payd.domain.page import Position


@attrs.frozen(kw_only=True)
class Traces:
    """How reports in the inbox may be recognised as the customer's."""

    #: Names of the payments and of what belongs to them, e-mail and wallet address.
    names: frozenset[str] = frozenset()
    #: Reports that the audit trail names.
    report_ids: frozenset[int] = frozenset()


@attrs.frozen(kw_only=True)
class SearchedReports:
    """A part of the inbox that was searched."""

    #: Settled reports of the customer.
    found: frozenset[int]
    #: Reports of the customer that are not settled yet; they were left alone.
    waiting: frozenset[int]
    #: Where the next part begins; None at the end.
    next_after: int | None


class PersonalData(Protocol):
    """Personal values beside payments. Every method raises StoreUnavailable.

    With `erase` False a method only counts what it would erase. Erasing again erases nothing.
    """

    async def knows(self, customer_id: str) -> bool:
        """Whether there is such a customer."""

    async def payments_of(
        self, customer_id: str, after: Position | None, limit: int
    ) -> Sequence[Position]:
        """Creation times and ids of the customer's payments, oldest first."""

    async def unpublished(self, payment_ids: Collection[UUID]) -> Sequence[UUID]:
        """Those of the payments with an event that is not published yet."""

    async def erase_payments(
        self, payment_ids: Collection[UUID], *, erase: bool
    ) -> Mapping[str, int]:
        """Rows with personal values beside these payments, by table.

        The payments and their refunds are changed by decisions first; with what stands beside them
        go their columns that no decision changes. What says that they were forgotten stays.
        """

    async def retained_events(
        self, payment_ids: Collection[UUID], limit: int
    ) -> Sequence[RetainedEvent]:
        """Published events of these payments, newest first."""

    async def traces(self, customer_id: str, payment_ids: Collection[UUID]) -> Traces:
        """Traces of the customer and of some payments in reports."""

    async def erase_reports(self, traces: Traces, after: int, *, erase: bool) -> SearchedReports:
        """Search a part of the inbox, in the order of the reports' ids."""

    async def erase_customer(self, customer_id: str, *, erase: bool) -> int:
        """Rows of the customer with an e-mail or a wallet address."""
