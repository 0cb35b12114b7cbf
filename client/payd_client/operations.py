"""What operators read beside payments: receipts, dead letters, reconciliations, overview."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs

from payd_client.parts import Money
from payd_client.proto import payment_pb2 as pb
from payd_client.receipts import ReceiptState
from payd_client.values import Status


@attrs.frozen(kw_only=True)
class ReceiptFilter:
    """Which receipts to list: those to which everything applies that is set."""

    #: Receipts that no payment has only.
    unmatched: bool = False
    provider: str = ""
    payment_id: UUID | str = ""
    time_from: datetime | None = None
    time_before: datetime | None = None


@attrs.frozen(kw_only=True)
class Receipt:
    """One arrival of money."""

    id: str
    provider: str
    #: None while no payment has it.
    payment_id: UUID | None
    #: ISO 4217 code, or the 0x-hex address of a token.
    asset: str
    amount_base_units: int
    #: Code of the asset, such as USDC; empty for a token that payd does not know.
    currency: str
    decimals: int
    state: ReceiptState
    time: datetime
    #: What the transfer named: a memo, a provider's reference, or nothing.
    reference: str
    #: Such as `sender` and `transaction`.
    details: Mapping[str, str]
    #: The protobuf message.
    message: pb.Receipt = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Republished:
    """What came of publishing events again."""

    #: Events that the stream stored again.
    stored: int
    #: Events that the stream dropped, because it had stored them within its duplicate window.
    duplicates: int


@attrs.frozen(kw_only=True)
class DeadLetter:
    """An event that a consumer could not handle."""

    #: Its id: the position in the stream of dead letters.
    sequence: int
    #: Subject of the event, such as payment.completed.
    subject: str
    #: Empty for a message of another sender.
    event_id: str
    reason: str
    time: datetime
    deliveries: int
    headers: Mapping[str, str]
    data: bytes
    #: Empty if payd has published no such event, or no longer keeps it.
    payment_id: str


@attrs.frozen(kw_only=True)
class StoredTable:
    """Rows of one table of payd's database."""

    name: str
    #: Values by column, oldest row first.
    rows: tuple[Mapping[str, Any], ...]
    #: Whether older rows are left out.
    has_more: bool


@attrs.frozen(kw_only=True)
class ReconciliationFinding:
    """What a reconciliation found."""

    kind: str
    reference: str
    #: Empty without one.
    payment_id: str
    detail: str


@attrs.frozen(kw_only=True)
class Reconciliation:
    """Result of comparing a provider with payd."""

    provider: str
    since: datetime
    until: datetime
    start_time: datetime
    end_time: datetime
    objects: int
    payments: int
    findings: tuple[ReconciliationFinding, ...]
    #: The protobuf message.
    message: pb.Reconciliation = attrs.field(repr=False, eq=False)


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
    """Payments with one reason for attention."""

    reason: str
    payments: int
    since: datetime


@attrs.frozen(kw_only=True)
class HealthCheck:
    """One check of the daemon that answered."""

    name: str
    ok: bool
    required: bool
    detail: str


@attrs.frozen(kw_only=True)
class LoopHealth:
    """One background loop, since the daemon's start."""

    name: str
    restarts: int
    failures: int


@attrs.frozen(kw_only=True)
class Backlog:
    """What waits for the daemons."""

    events: int
    oldest_event_age: timedelta
    reports: int
    unmatched_receipts: int


@attrs.frozen(kw_only=True)
class TrailState:
    """How far the audit trail is chained and signed; rows are counted up to 100,000."""

    #: Number and time of the newest checkpoint; None without one.
    checkpoint: int | None
    checkpoint_time: datetime | None
    #: Rows that no checkpoint covers yet, and their payments.
    unsigned_rows: int
    unsigned_payments: int
    #: Rows of the previous version of payd, which `payd migrate --post` chains.
    unchained_rows: int


@attrs.frozen(kw_only=True)
class Overview:
    """How payments and the daemon stand."""

    time: datetime
    #: Newest day first.
    sums: tuple[DailySum, ...]
    #: The oldest first.
    attention: tuple[OpenAttention, ...]
    checks: tuple[HealthCheck, ...]
    loops: tuple[LoopHealth, ...]
    backlog: Backlog
    trail: TrailState
    #: The protobuf message.
    message: pb.Overview = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Setting:
    """One setting of the daemon; a secret is masked."""

    key: str
    value: str
    variable: str
    source: str


@attrs.frozen(kw_only=True)
class ProviderVersion:
    """An enabled provider."""

    name: str
    version: str
    methods: tuple[str, ...]
    #: Why it could not be loaded; empty when it runs.
    problem: str


@attrs.frozen(kw_only=True)
class Configuration:
    """What runs, and with which settings."""

    version: str
    environment: str
    pricing_version: str
    providers: tuple[ProviderVersion, ...]
    settings: tuple[Setting, ...]
