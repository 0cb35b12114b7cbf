"""Live status: server-sent events that name a payment's newer versions, and nothing else of it."""

from collections.abc import AsyncIterator
from uuid import UUID

import trio

from payd.domain.errors import PaydError
from payd.service.show_payment import ShowPayment

#: Seconds of one answer. Proxies cut long ones; the browser then asks again by itself.
STREAM_S = 25.0
_RECONNECT_MS = 2000


class LivePages:
    """The pages that are being watched, up to a limit of their own."""

    def __init__(self, show: ShowPayment, most: int) -> None:
        self._show = show
        self._most = most
        self._count = 0

    @property
    def is_full(self) -> bool:
        """Whether a further page has to ask by itself."""
        return self._count >= self._most

    async def events(self, payment_id: UUID, after_version: int) -> AsyncIterator[bytes]:
        """Name each newer version, until the answer's time is over or payd stops."""
        self._count += 1
        try:
            yield f"retry: {_RECONNECT_MS}\n\n".encode()
            end, known = trio.current_time() + STREAM_S, after_version
            while (left_s := end - trio.current_time()) > 0:
                version = await self._newer(payment_id, known, left_s)
                if version is None:
                    return
                known = version
                yield f"id: {version}\nevent: change\ndata: {version}\n\n".encode()
        finally:
            self._count -= 1

    async def _newer(self, payment_id: UUID, known: int, left_s: float) -> int | None:
        try:
            return await self._show.newer(payment_id, known, left_s)
        except PaydError:
            # Stopping, or too many watches: the browser connects again, here or elsewhere.
            return None
