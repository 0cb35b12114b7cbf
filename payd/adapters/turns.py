"""Turns of the calls that change one payment, on asyncio."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import attrs

_REST_MIN_S, _REST_MAX_S = 0.002, 0.05


@attrs.define
class _Queue:
    """The calls that wait for one payment."""

    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    waiting: int = 0


class AsyncioTurns:
    """Implements the port Turns; it remembers only payments that a call waits for."""

    def __init__(self) -> None:
        self._queues: dict[UUID, _Queue] = {}

    def __len__(self) -> int:
        return len(self._queues)

    @asynccontextmanager
    async def of(self, payment_id: UUID) -> AsyncIterator[None]:
        """The turn of one call, first come first served."""
        queue = self._queues.setdefault(payment_id, _Queue())
        queue.waiting += 1
        try:
            async with queue.lock:
                yield
        finally:
            queue.waiting -= 1
            if queue.waiting == 0:
                del self._queues[payment_id]

    async def rest(self) -> None:
        """Wait for a short random time."""
        await asyncio.sleep(random.uniform(_REST_MIN_S, _REST_MAX_S))  # noqa: S311 - no secret
