"""Stored evidence: the inbox of reports, and the cursors that read a provider's own list."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import attrs

from payd.domain.evidence import Observation, Outflow
from payd.plugins.interface import ProviderEvent

if TYPE_CHECKING:
    from payd.ports.leases import Lease


#: What a provider reports: what it saw of a payment, or its own event, not yet translated.
Report = Observation | ProviderEvent


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
