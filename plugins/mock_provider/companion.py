"""Settings of the mock in `payd dev`; it is its own remote side, so nothing has to be started."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from payd.plugins import Companion, CompanionContext, RunningCompanion

__all__ = ["COMPANION"]

_CARD = "card"
#: Long enough for a person to see the payment PENDING.
_DELAY_MS = 1000


@asynccontextmanager
async def _open(context: CompanionContext) -> AsyncIterator[RunningCompanion]:
    await trio.lowlevel.checkpoint()
    methods = "mock" if _CARD in context.methods_taken else f"mock,{_CARD}"
    yield RunningCompanion(
        settings={
            "methods": methods,
            "delay_ms": str(_DELAY_MS),
            "state_file": str(context.folder / "mock.sqlite3"),
        },
        banner=(context.pay_command("mock"),),
    )


#: It opens last, to take cards only where no other provider does.
COMPANION = Companion(open=_open, opens_last=True)
