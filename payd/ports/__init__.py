"""Ports: Protocols for what the core needs from outside. Adapters implement, services await them.

Each method is one short, complete operation; none returns an open transaction, lock or cursor.
"""

from payd.domain.ledger import Reconciliation, StoredReceipt
from payd.domain.page import Page, Position
from payd.domain.payment_filter import Names, PaymentFilter, Selection
from payd.domain.request import RefundFilter
from payd.plugins.context import Clock
from payd.ports.accounts import Accounts
from payd.ports.changes import PaymentChanges, Watcher
from payd.ports.evidence import WATCH, Cursor, Cursors, Inbox, InboxRow, Report, Unreadable
from payd.ports.history import Histories, Trail
from payd.ports.leases import HeldLease, Lease, LeaseLost, Leases
from payd.ports.operations import (
    DaemonState,
    DeadLetterStream,
    PublishedEvents,
    ReconciliationLists,
    StoredRows,
    Sums,
)
from payd.ports.outbox import Outbox, OutboxRow, Publisher, PublishError
from payd.ports.payment_lists import PaymentLists
from payd.ports.personal_data import PersonalData, SearchedReports, Traces
from payd.ports.process import (
    BusinessClock,
    CrashPoints,
    Ids,
    PriceSource,
    SecretsUnavailable,
    Tags,
    Turns,
)
from payd.ports.provider import (
    Answer,
    ProviderPort,
    Providers,
    RefundReply,
    Registered,
    Untranslatable,
)
from payd.ports.store import (
    Book,
    Commit,
    Name,
    PaymentStore,
    Receipts,
    Reconciliations,
    StoredObject,
)

__all__ = [
    "WATCH",
    "Accounts",
    "Answer",
    "Book",
    "BusinessClock",
    "Clock",
    "Commit",
    "CrashPoints",
    "Cursor",
    "Cursors",
    "DaemonState",
    "DeadLetterStream",
    "HeldLease",
    "Histories",
    "Ids",
    "Inbox",
    "InboxRow",
    "Lease",
    "LeaseLost",
    "Leases",
    "Name",
    "Names",
    "Outbox",
    "OutboxRow",
    "Page",
    "PaymentChanges",
    "PaymentFilter",
    "PaymentLists",
    "PaymentStore",
    "PersonalData",
    "Position",
    "PriceSource",
    "ProviderPort",
    "Providers",
    "PublishError",
    "PublishedEvents",
    "Publisher",
    "Receipts",
    "Reconciliation",
    "ReconciliationLists",
    "Reconciliations",
    "RefundFilter",
    "RefundReply",
    "Registered",
    "Report",
    "SearchedReports",
    "SecretsUnavailable",
    "Selection",
    "StoredObject",
    "StoredReceipt",
    "StoredRows",
    "Sums",
    "Tags",
    "Traces",
    "Trail",
    "Turns",
    "Unreadable",
    "Untranslatable",
    "Watcher",
]
