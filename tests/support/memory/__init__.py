"""Stores and publisher in memory, for tests; they pass the same contract tests as the real ones.

Only `wait` and `await_answer` wait, on trio. Every other method runs without interruption, as a
single statement does in PostgreSQL.
"""

from support.memory.accounts import MemoryAccounts
from support.memory.history import MemoryHistories
from support.memory.inbox import MemoryInbox
from support.memory.ledger import MemoryLedger
from support.memory.operations import (
    MemoryDeadLetters,
    MemoryStoredRows,
    MemorySums,
    WellDaemon,
)
from support.memory.outbox import MemoryOutbox, MemoryPublisher
from support.memory.payment_lists import MemoryPaymentLists
from support.memory.personal_data import MemoryPersonalData
from support.memory.store import MemoryReconciliations, MemoryStore
from support.memory.tags import MemoryTags

__all__ = [
    "MemoryAccounts",
    "MemoryDeadLetters",
    "MemoryHistories",
    "MemoryInbox",
    "MemoryLedger",
    "MemoryOutbox",
    "MemoryPaymentLists",
    "MemoryPersonalData",
    "MemoryPublisher",
    "MemoryReconciliations",
    "MemoryStore",
    "MemoryStoredRows",
    "MemorySums",
    "MemoryTags",
    "WellDaemon",
]
