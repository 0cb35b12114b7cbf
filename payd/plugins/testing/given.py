"""What the provider of a check is given: a clock, a log, and a sink for its watch."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import trio

from payd.plugins import Observation, Outflow, Receipt, Snapshot
from payd.plugins.testing.watching import PutRefused
from payd.providers.validation import check_put


class BenchClock:
    """A clock that the check sets; the real time for a remote side with its own clock."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self.is_real = False

    def now(self) -> datetime:
        """The current time, aware."""
        return datetime.now(UTC) if self.is_real else self._now

    def advance(self, by: timedelta) -> None:
        """Move the time forward."""
        self._now += by


@attrs.frozen
class BenchLog:
    """Collects what the provider logs.

    Attributes:
        lines: The lines, each an event and its fields as JSON.
    """

    lines: list[str] = attrs.field(factory=list)

    def info(self, event: str, **fields: Any) -> None:
        """Collect an info line."""
        self._keep(event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Collect a warning."""
        self._keep(event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Collect an error."""
        self._keep(event, fields)

    def _keep(self, event: str, fields: Mapping[str, Any]) -> None:
        self.lines.append(f"{event} {json.dumps(fields, default=repr)}")


@attrs.define
class BenchSink:
    """Stores what a watch reports; like payd, a `put` stores all of it or nothing.

    Attributes:
        stored: The observations, in the order of their reports.
        outflows: The outflows, likewise.
        at: The cursor as last stored.
        refuses: Numbers of the calls of `put`, from 0, that fail.
        puts: Number of calls of `put` so far.
    """

    stored: list[Observation] = attrs.field(factory=list)
    outflows: list[Outflow] = attrs.field(factory=list)
    at: str | None = None
    refuses: Collection[int] = ()
    puts: int = 0

    def receipts(self, called: set[str]) -> Sequence[Receipt]:
        """The receipts whose reference is one of `called`, each id once."""
        found = {
            receipt.id: receipt
            for observation in self.stored
            if observation.reference in called and isinstance(observation.fact, tuple)
            for receipt in observation.fact
        }
        return list(found.values())

    def confirmed(self, called: set[str]) -> int:
        """The largest confirmed total in the snapshots whose reference is one of `called`."""
        facts = [one.fact for one in self.stored if one.reference in called]
        return max((one.confirmed for one in facts if isinstance(one, Snapshot)), default=0)

    async def cursor(self) -> str | None:
        """Return the stored cursor; None before the first one."""
        await trio.lowlevel.checkpoint()
        return self.at

    async def put(
        self,
        observations: Any,
        /,
        *,
        outflows: Any = (),
        cursor: str | None = None,
    ) -> None:
        """Store a report, or raise PutRefused."""
        await trio.lowlevel.checkpoint()
        check_put(observations, outflows, cursor)
        self.puts += 1
        if self.puts - 1 in self.refuses:
            raise PutRefused("the database is unreachable")
        self.stored.extend(observations)
        self.outflows.extend(outflows)
        self.at = cursor if cursor is not None else self.at
