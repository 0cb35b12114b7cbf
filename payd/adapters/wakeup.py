"""Wake-up flag of a working loop, on asyncio: whoever adds work sets it, the loop waits for it."""

import asyncio


class WakeUp:
    """A flag that ends one `wait`, and no more: `wait` clears it.

    A loop may wait again without having claimed what it was woken for, because it cannot work on
    it now. A flag that stayed set would make it spin.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """End the wait under way, or the next one."""
        self._event.set()

    def clear(self) -> None:
        """Forget earlier calls of `set`: the caller looks for work now."""
        self._event.clear()

    async def wait(self, timeout_s: float) -> None:
        """Return when the flag is set, after `timeout_s` seconds at the latest; clear the flag."""
        # `Event.wait` of a set flag returns without giving anybody else a turn.
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return
        self._event.clear()
