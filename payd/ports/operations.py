"""Ports for what operators look at beside payments. Each method reads no more than a page."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Protocol
from uuid import UUID

from payd.domain.ledger import Reconciliation, ReconciliationPosition
from payd.domain.overview import Backlog, DailySum, Health, OpenAttention, TrailState
from payd.domain.published import DeadLetter, DeadLetters, EventSelection, PublishedPosition
from payd.domain.running import Running
from payd.domain.stored_rows import StoredTable
from payd.ports.outbox import OutboxRow


class ReconciliationLists(Protocol):
    """Results of reconciliations."""

    async def newest(
        self, provider: str, after: ReconciliationPosition | None, limit: int
    ) -> Sequence[Reconciliation]:
        """At most `limit` results of a provider, or of all if it is empty, newest first."""


class PublishedEvents(Protocol):
    """Events that were published, as long as they are kept."""

    async def published(
        self, wanted: EventSelection, after: PublishedPosition | None, limit: int
    ) -> Sequence[tuple[PublishedPosition, OutboxRow]]:
        """At most `limit` of the events, sorted by position, beginning after `after`.

        Those of one payment are in their order.
        """


class DeadLetterStream(Protocol):
    """The stream of dead letters. Every method raises StreamUnavailable."""

    async def read(self, after_sequence: int, limit: int) -> DeadLetters:
        """At most `limit` dead letters, oldest first; fewer if they are long."""

    async def get(self, sequence: int) -> DeadLetter | None:
        """The dead letter at this position; None if it does not exist any more."""

    async def replay(self, bodies: Mapping[int, bytes]) -> Sequence[int]:
        """Publish dead letters as events again and delete them; return those that existed.

        `bodies` are their bodies by position. A letter that another call has deleted is skipped.

        Every consumer receives them; one that has handled such an event skips it by its id.
        """


class Sums(Protocol):
    """Counts and sums that are kept, so that reading them costs little however many payments."""

    async def daily(self, first: date) -> Sequence[DailySum]:
        """Payments by day since `first`, newest day first."""

    async def attention(self) -> Sequence[OpenAttention]:
        """Open attention by reason, the oldest first."""

    async def backlog(self) -> Backlog:
        """What waits for the daemons."""

    async def trail(self) -> TrailState:
        """How far the audit trail is chained and signed."""


class StoredRows(Protocol):
    """The database's own rows."""

    async def of_payment(self, payment_id: UUID) -> Sequence[StoredTable]:
        """The newest rows of each table; empty for an unknown payment.

        They are at most ROWS_MAX of a table, and have at most BYTES_MAX in all. Personal values
        stand where the tables have them; the salts of commitments are left out. Raises
        StoreUnavailable.
        """


class DaemonState(Protocol):
    """This daemon itself."""

    async def health(self) -> Health:
        """Its dependencies and loops."""

    def running(self) -> Running:
        """Its versions and settings, without secrets."""
