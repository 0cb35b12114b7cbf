"""How payments and a daemon stand: sums by day, open attention, health, and what waits."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import attrs

from payd.domain.attention import Attention
from payd.domain.money import Money
from payd.domain.payment import Status

#: Most days of an overview.
DAYS_MAX = 92


@attrs.frozen(kw_only=True)
class DailySum:
    """Payments that were created on one day, with the same method, status and currency."""

    #: In UTC.
    day: date
    method: str
    status: Status
    payments: int
    amount: Money


@attrs.frozen(kw_only=True)
class OpenAttention:
    """Payments that have a reason for attention open."""

    reason: Attention
    payments: int
    #: For how long the oldest has it.
    oldest_age: timedelta


@attrs.frozen(kw_only=True)
class HealthCheck:
    """The state of one dependency of the daemon."""

    name: str
    ok: bool
    required: bool
    #: What is wrong and what to do, or how it stands.
    detail: str


@attrs.frozen(kw_only=True)
class LoopHealth:
    """One background loop, since the daemon's start."""

    name: str
    restarts: int
    #: Items that it failed on.
    failures: int


@attrs.frozen(kw_only=True)
class Health:
    """The health of this daemon."""

    checks: Sequence[HealthCheck]
    loops: Sequence[LoopHealth]


@attrs.frozen(kw_only=True)
class Backlog:
    """Rows that wait for the daemons."""

    events: int
    oldest_event_age: timedelta
    reports: int
    unmatched_receipts: int


#: Rows of the audit trail that are counted at most.
ROWS_COUNTED_MAX = 10_000


@attrs.frozen(kw_only=True)
class TrailState:
    """How far the audit trail is chained and signed. Rows are counted up to ROWS_COUNTED_MAX."""

    #: Number and time of the newest checkpoint; none without one.
    checkpoint: int | None
    checkpoint_time: datetime | None
    #: What no checkpoint covers yet: rows, and their payments.
    unsigned_rows: int
    unsigned_payments: int
    #: Rows of the previous version of payd, until `payd migrate --post`.
    unchained_rows: int


@attrs.frozen(kw_only=True)
class Overview:
    """How payments and this daemon stand at a time."""

    time: datetime
    #: Newest day first.
    sums: Sequence[DailySum]
    #: The oldest first.
    attention: Sequence[OpenAttention]
    health: Health
    backlog: Backlog
    trail: TrailState
