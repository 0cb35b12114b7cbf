"""Which published events to publish again, and events that a consumer gave up."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import attrs


@attrs.frozen(kw_only=True)
class EventSelection:
    """Published events: of a payment, of one id, or of a span. One of these is set."""

    payment_id: UUID | None = None
    event_id: UUID | None = None
    #: When they were first published, with an optional end.
    published_from: datetime | None = None
    published_before: datetime | None = None


@attrs.frozen
class NamedEvent:
    """A published event, as the audit trail names it."""

    id: UUID
    subject: str


@attrs.frozen(order=True)
class PublishedPosition:
    """A place in a list of published events: sorted by time of publication, then by row id."""

    publish_time: datetime
    id: int


@attrs.frozen(kw_only=True)
class Republished:
    """What came of publishing a page of events again."""

    #: Events that the stream stored again.
    stored: int
    #: Events that the stream had stored within its duplicate window, and dropped.
    duplicates: int
    #: The next page begins after it; None after the last page.
    next: PublishedPosition | None


@attrs.frozen(kw_only=True)
class DeadLetter:
    """An event that a consumer has given up, with the reason.

    Any consumer may write a letter with any headers: what it says about itself is not proven.
    """

    #: Position in the stream of dead letters.
    sequence: int
    #: Subject of the event, such as payment.completed.
    subject: str
    reason: str
    time: datetime
    deliveries: int
    headers: Mapping[str, str]
    data: bytes
    #: The payment of the event. None if payd has published no such event, or no longer keeps it.
    payment_id: UUID | None = None

    @property
    def event_id(self) -> str:
        """The event's id; empty for a message of another sender."""
        return self.headers.get("ce-id", "")

    @property
    def named_event_id(self) -> UUID | None:
        """The event's id, as the headers say; None if they name none."""
        return _uuid(self.event_id)

    @property
    def named_payment_id(self) -> UUID | None:
        """The event's payment, as the headers say; None if they name none."""
        before, _, payment_id = self.headers.get("ce-source", "").rpartition("/payments/")
        return _uuid(payment_id) if before.startswith("//payd/") else None


@attrs.frozen(kw_only=True)
class DeadLetters:
    """Some dead letters, and how many there are."""

    #: Oldest first.
    letters: tuple[DeadLetter, ...] = ()
    #: The next ones come after this position; None after the last one.
    next: int | None = None
    total: int = 0


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
