"""Live status: server-sent events that name a payment's newer versions, and nothing else of it."""

from collections.abc import AsyncIterator, Callable
from uuid import UUID

import trio

from payd.domain.errors import PaydError
from payd.service.show_payment import ShowPayment

#: Seconds of one answer. Proxies cut long ones; the browser then asks again by itself.
STREAM_S = 25.0
_RECONNECT_MS = 2000
#: Seconds after which a stream of a session looks whether the session has ended.
_CHECK_S = 5.0


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

    async def events(
        self, payment_id: UUID, after_version: int, still_valid: Callable[[], bool] | None = None
    ) -> AsyncIterator[bytes]:
        """Name each newer version, until the answer's time is over or payd stops.

        With `still_valid` it also ends soon after that is no longer so.
        """
        self._count += 1
        wait_s = STREAM_S if still_valid is None else _CHECK_S
        try:
            yield f"retry: {_RECONNECT_MS}\n\n".encode()
            end, known = trio.current_time() + STREAM_S, after_version
            while (left_s := end - trio.current_time()) > 0:
                if still_valid is not None and not still_valid():
                    return
                version = await self._show.newer(payment_id, known, min(left_s, wait_s))
                if version is not None and (still_valid is None or still_valid()):
                    known = version
                    yield f"id: {version}\nevent: change\ndata: {version}\n\n".encode()
        except PaydError:
            # Stopping, or too many watches: the browser connects again, here or elsewhere.
            return
        finally:
            self._count -= 1
