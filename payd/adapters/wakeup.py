"""Wake-up flag of a worker loop, on asyncio: a writer sets it, the loop waits for it."""

import asyncio


class WakeUp:
    """A flag that ends one `wait` only, since `wait` clears it.

    A loop may wait again without having claimed the new row, because it cannot work on it yet. If
    the flag stayed set, the loop would spin.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """End the wait under way, or the next one."""
        self._event.set()

    def clear(self) -> None:
        """Clear the flag; call this before looking for work."""
        self._event.clear()

    async def wait(self, timeout_s: float) -> None:
        """Return when the flag is set, after `timeout_s` seconds at the latest; clear the flag."""
        # If the flag is set, `Event.wait` returns without letting other tasks run.
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return
        self._event.clear()
