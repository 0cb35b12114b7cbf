"""The bench runs a watch as payd does, and keeps the errors that end it."""

import traceback

import trio

from payd.plugins import Sink, SupportsWatch
from payd.plugins.testing.registry import Failed
from payd.providers.calls import describe, innermost
from payd.providers.watching import delay_of

__all__ = ["PutRefused", "keep_watching", "said_of"]

#: Seconds between two runs, unless a rate limit asks for more. payd waits longer, and a check waits
#: for the second run.
_PAUSE_S = 0.05


class PutRefused(OSError):
    """The sink could not store a report, on purpose: as if the database were unreachable."""


async def keep_watching(provider: SupportsWatch, sink: Sink, ended: list[BaseException]) -> None:
    """Run the watch until cancelled: start it again when it ends, and append what ended it.

    Raises Failed from a provider that was interrupted because it blocked the event loop.
    """
    while True:
        pause_s = _PAUSE_S
        try:
            await provider.watch(sink, task_status=trio.TASK_STATUS_IGNORED)
        except Exception as error:  # payd starts it again after any
            cause = innermost(error)
            if isinstance(cause, Failed):
                raise
            if not isinstance(cause, PutRefused):
                ended.append(cause)
            pause_s = max(pause_s, delay_of(cause))
        await trio.sleep(pause_s)


def said_of(ended: list[BaseException]) -> str:
    """Tell how often errors ended the watch, and the last one; empty if none did."""
    if not ended:
        return ""
    frames = traceback.extract_tb(ended[-1].__traceback__)
    where = f", at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    times = "once" if len(ended) == 1 else f"{len(ended)} times"
    return f" (the watch ended {times} with an error, the last{where}: {describe(ended[-1])})"
