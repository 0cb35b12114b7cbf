"""The stores and the publisher in memory, for tests: they pass the same contract as the real ones.

One process, nothing kept. Nothing waits but `wait` and `await_answer`, which wait on trio; so
every other method is one indivisible step, as a statement is to PostgreSQL.
"""

from payd.adapters.memory.inbox import MemoryInbox
from payd.adapters.memory.ledger import MemoryLedger
from payd.adapters.memory.outbox import MemoryOutbox, MemoryPublisher
from payd.adapters.memory.store import MemoryReconciliations, MemoryStore

__all__ = [
    "MemoryInbox",
    "MemoryLedger",
    "MemoryOutbox",
    "MemoryPublisher",
    "MemoryReconciliations",
    "MemoryStore",
]
