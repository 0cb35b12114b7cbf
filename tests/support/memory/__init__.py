"""The stores and the publisher in memory, for tests: they pass the same contract as the real ones.

One process, nothing kept. Nothing waits but `wait` and `await_answer`, which wait on trio; so
every other method is one indivisible step, as a statement is to PostgreSQL.
"""

from support.memory.inbox import MemoryInbox
from support.memory.ledger import MemoryLedger
from support.memory.outbox import MemoryOutbox, MemoryPublisher
from support.memory.store import MemoryReconciliations, MemoryStore

__all__ = [
    "MemoryInbox",
    "MemoryLedger",
    "MemoryOutbox",
    "MemoryPublisher",
    "MemoryReconciliations",
    "MemoryStore",
]
