"""Stored evidence: the inbox of reports, and the cursors that read a provider's own list."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import attrs

from payd.domain.evidence import Observation, Outflow
from payd.plugins.interface import ProviderEvent

if TYPE_CHECKING:
    from payd.ports.leases import Lease


#: A report of a provider: an observation of a payment, or an event in the provider's own terms.
Report = Observation | ProviderEvent


@attrs.frozen
class Unreadable:
    """A stored report in a form that this version of payd does not know, such as a newer one's."""

    why: str


@attrs.frozen(kw_only=True)
class InboxRow:
    """A stored report that is claimed for settling. `attempts` counts this claim, too."""

    id: int
    provider: str
    report: Report | Unreadable
    attempts: int
    receive_time: datetime
    #: Whether an earlier report has the same id and other contents.
    conflicting: bool = False
    #: The span of the webhook that brought it; empty without one.
    traceparent: str = ""


class Inbox(Protocol):
    """The inbox: reports are stored durably here before they are settled."""

    async def put(
        self,
        provider: str,
        reports: Sequence[Report],
        cursor: "Cursor | None" = None,
        *,
        outflows: Sequence[Outflow] = (),
        lease: "Lease | None" = None,
    ) -> int:
        """Store new reports and move the cursor in one transaction; return how many were new.

        Repeats are ignored. A report with a known id and other contents is kept beside the first
        and marked as conflicting. Receipts that no payment has yet also go into the ledger. If
        another daemon has taken over `lease`, nothing is stored and LeaseLost is raised.
        """

    async def is_waiting(self, provider: str, references: Sequence[str]) -> bool:
        """Whether an observation with one of these references waits to be settled.

        Events have no reference until they are translated; `waiting_events` lists them.
        """

    async def waiting_events(
        self, provider: str, after_id: int, limit: int
    ) -> Sequence[tuple[int, ProviderEvent]]:
        """A page of the provider's events that wait to be settled: (row id, event), by row id.

        Starts after `after_id`. Claimed rows are included.
        """

    async def put_webhook(
        self,
        provider: str,
        events: Sequence[ProviderEvent],
        raw_body: bytes,
        traceparent: str = "",
    ) -> int:
        """Store all events of one webhook or none, as `put`; return how many were new.

        Their ids differ, and there is at least one. The body is kept once, with the first.
        `traceparent` is the webhook's span.
        """

    async def claim(self, limit: int, lease_s: float) -> Sequence[InboxRow]:
        """Claim the oldest unsettled rows for `lease_s` seconds, each for one worker.

        Every provider with waiting rows gets a share of `limit`.
        """

    async def finish(self, outcomes: Mapping[int, str]) -> None:
        """Mark rows that changed no payment as settled: row id → outcome."""

    async def park(self, retry_in_s: Mapping[int, float]) -> None:
        """Release rows that cannot be settled yet: row id → seconds until the next claim."""

    async def wait(self, timeout_s: float) -> None:
        """Return when a new row may be there to claim, at the latest after `timeout_s` seconds.

        A new row ends one wait, whether it is then claimed or not.
        """


@attrs.frozen(kw_only=True)
class Cursor:
    """A position in a provider's list of events or objects, or in its watch."""

    name: str
    value: str
    #: Time until the cursor can be claimed again; zero continues at once.
    rest: timedelta


#: Name of the cursor of a provider's watch.
WATCH = "watch"


class Cursors(Protocol):
    """Positions in providers' lists; the daemon that claims a cursor reads on from it."""

    async def claim_cursor(
        self, provider: str, name: str, lease_s: float
    ) -> "tuple[str | None] | None":
        """Claim a cursor for `lease_s` seconds; return its value in a tuple.

        Returns None while the cursor rests or another daemon has the claim. The value is None
        before the first read.
        """

    async def shorten_rest(self, name: str, rest: timedelta) -> None:
        """Let no cursor of this name, of any provider, rest or be claimed for longer than `rest`.

        A claim that is under way may end early, as when its lease ends: what is read twice is
        stored once.
        """

    async def read_cursor(self, provider: str, name: str) -> str | None:
        """The stored value of a cursor; None if it was never stored."""
