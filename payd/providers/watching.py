"""A provider's watch: one run after another, alone where it must be alone, halted where it halts."""

import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import trio

from payd.domain.evidence import Observation, Outflow
from payd.plugins.context import Logger
from payd.plugins.interface import Sink, SupportsWatch, WatchHalted
from payd.providers.breaker import Pause, Random
from payd.providers.calls import describe, innermost
from payd.providers.validation import check_put, passing

__all__ = ["HALT_RETRY_S", "LeadLost", "Sinks", "Watching"]

#: How soon a watch that halted may look whether what made it halt still holds.
HALT_RETRY_S = 60.0
#: Who has waited this long for the lead knows that another daemon has it.
OTHER_LEADS_S = 5.0


class LeadLost(Exception):
    """Another daemon leads now, or nobody can say who does."""


class Sinks(Protocol):
    """Where a provider's watch gets its sink."""

    def open(self, *, alone: bool) -> AbstractAsyncContextManager[Sink]:
        """A sink for one run. `alone`: waits until this daemon leads; then, when it no longer
        does, cancels the block and raises LeadLost.
        """


class Watching:
    """The runs of one provider's watch, and how it stands."""

    def __init__(self, provider: str, log: Logger, random: Random) -> None:
        self._provider = provider
        self._log = log
        self._pause = Pause(random)
        self._scope: trio.CancelScope | None = None
        self._halted: str | None = None
        #: Since when it waits for its sink.
        self._wait_time = math.inf
        self.restarts = 0
        #: Whether this daemon runs a watch that only one may run; None for any other.
        self.leads: bool | None = None

    @property
    def halted(self) -> str | None:
        """Why it halted; None while it does not, and while another daemon leads: that one tells."""
        waited_s = trio.current_time() - self._wait_time
        return None if waited_s > OTHER_LEADS_S else self._halted

    async def run_once(self, provider: SupportsWatch, sinks: Sinks) -> float:
        """Run it to its end, whatever that is; how long to wait before the next run."""
        alone = getattr(provider, "singleton", False) is True
        self.leads = False if alone else None
        self._wait_time = trio.current_time()
        try:
            with trio.CancelScope() as scope:
                self._scope = scope
                async with sinks.open(alone=alone) as sink:
                    self._halted, self._wait_time = self.halted, math.inf
                    self.leads = True if alone else None
                    await provider.watch(_Alive(self, sink), task_status=trio.TASK_STATUS_IGNORED)
        except BaseException as error:
            if passing(error) is not None:
                raise
            return self._ended(innermost(error))
        finally:
            self._scope, self._wait_time = None, math.inf
            self.leads = False if alone else None
        # Its provider went: that is told where it went, and it is built again there.
        return 0.0 if scope.cancelled_caught else self._again("the watch returned")

    def cancel(self) -> None:
        """End the run under way: its provider is going."""
        if self._scope is not None:
            self._scope.cancel()

    def told(self) -> None:
        """It reported something: whatever had halted it is over."""
        self._halted = None

    def _ended(self, error: BaseException) -> float:
        if isinstance(error, WatchHalted):
            self._halted = str(error)
            self._log.error("provider_watch_halted", provider=self._provider, reason=str(error))
            return HALT_RETRY_S
        if isinstance(error, LeadLost):
            self._log.info("provider_watch_lost_lead", provider=self._provider, reason=str(error))
            return 0.0
        return self._again(describe(error))

    def _again(self, why: str) -> float:
        self.restarts += 1
        self._log.warning("provider_watch_restarted", provider=self._provider, error=why)
        return self._pause.next_s(trio.current_time())


class _Alive:
    """The sink, through which a watch shows that it goes on."""

    def __init__(self, watching: Watching, sink: Sink) -> None:
        self._watching = watching
        self.cursor = sink.cursor
        self._put = sink.put

    async def put(
        self,
        observations: Sequence[Observation],
        /,
        *,
        outflows: Sequence[Outflow] = (),
        cursor: str | None = None,
    ) -> None:
        """See Sink."""
        check_put(observations, outflows, cursor)
        await self._put(observations, outflows=outflows, cursor=cursor)
        self._watching.told()
