"""A provider's watch: restarted when it ends, in one daemon at a time where it must be alone."""

import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import trio

from payd.domain.evidence import Observation, Outflow
from payd.plugins.context import Logger
from payd.plugins.errors import RateLimited, WatchHalted
from payd.plugins.interface import Sink, SupportsWatch
from payd.providers.breaker import Pause, Random
from payd.providers.calls import describe, innermost, is_valid_error, passing
from payd.providers.lifecycle import Lifecycle
from payd.providers.loop_monitor import OWNER, Owner
from payd.providers.validation import check_put

__all__ = ["HALT_RETRY_S", "RETRY_AFTER_MAX_S", "LeadLost", "Sinks", "Watching", "delay_of"]

#: How soon a halted watch is started again, to find out whether the reason still holds.
HALT_RETRY_S = 60.0
#: The longest delay that a rate limit can ask of a watch: nobody knows of money meanwhile.
RETRY_AFTER_MAX_S = 300.0
#: After waiting this long for the lead, another daemon has it.
OTHER_LEADS_S = 5.0


class LeadLost(Exception):
    """Another daemon leads now, or it is not known which one does."""


class Sinks(Protocol):
    """Source of the sinks that a provider's watch reports to."""

    def open(self, *, alone: bool) -> AbstractAsyncContextManager[Sink]:
        """Open a sink for one run.

        `alone`: wait until this daemon leads; when it leads no longer, cancel the block and raise
        LeadLost.
        """


class Watching:
    """The runs of one provider's watch, and its state."""

    def __init__(self, owner: Owner, log: Logger, random: Random) -> None:
        self._owner = owner
        self._provider = owner.name
        self._log = log
        self._pause = Pause(random)
        self._scope: trio.CancelScope | None = None
        self._halted: str | None = None
        #: Since when it has waited for its sink.
        self._wait_time = math.inf
        self.restarts = 0
        #: Whether this daemon runs a watch that only one may run; None for any other.
        self.leads: bool | None = None

    @property
    def halted(self) -> str | None:
        """Why it halted; None while it runs, and while another daemon leads and reports it."""
        waited_s = trio.current_time() - self._wait_time
        return None if waited_s > OTHER_LEADS_S else self._halted

    async def run(self, lifecycle: Lifecycle, sinks: Sinks) -> None:
        """Keep the watch running until `stop`; return at once when the provider has none."""
        OWNER.set(self._owner)
        while not lifecycle.is_stopping:
            if lifecycle.running is None:
                await lifecycle.wait_until_up()
                continue
            provider, _ = lifecycle.running
            if not isinstance(provider, SupportsWatch):
                return
            if await lifecycle.stops_within(await self.run_once(provider, sinks)):
                return

    async def run_once(self, provider: SupportsWatch, sinks: Sinks) -> float:
        """Run it to its end; return how long to wait before the next run."""
        alone = getattr(provider, "singleton", False) is True
        self.leads = False if alone else None
        self._wait_time = trio.current_time()
        try:
            with trio.CancelScope() as scope:
                self._scope = scope
                async with sinks.open(alone=alone) as sink:
                    self._halted, self._wait_time = self.halted, math.inf
                    self.leads = True if alone else None
                    await provider.watch(
                        _CheckedSink(self, sink), task_status=trio.TASK_STATUS_IGNORED
                    )
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises has ended its run
            if (ours := passing(error)) is not None:
                # Without errors beside it, which would pass through the cancelled scope.
                raise ours from None
            return self._ended(innermost(error))
        finally:
            self._scope, self._wait_time = None, math.inf
            self.leads = False if alone else None
        # A cancelled run ended with its provider, which is logged and built again elsewhere.
        return 0.0 if scope.cancelled_caught else self._again("the watch returned")

    def cancel(self) -> None:
        """End the current run, because its provider ends."""
        if self._scope is not None:
            self._scope.cancel()

    def note_report(self) -> None:
        """It reported something: the reason why it had halted is gone."""
        self._halted = None

    def _ended(self, error: BaseException) -> float:
        if isinstance(error, WatchHalted):
            self._halted = str(error)
            self._log.error("provider_watch_halted", provider=self._provider, reason=str(error))
            return HALT_RETRY_S
        if isinstance(error, LeadLost):
            self._log.info("provider_watch_lost_lead", provider=self._provider, reason=str(error))
            return 0.0
        return max(self._again(describe(error)), delay_of(error))

    def _again(self, why: str) -> float:
        self.restarts += 1
        self._log.warning("provider_watch_restarted", provider=self._provider, error=why)
        return self._pause.next_s(trio.current_time())


def delay_of(error: BaseException) -> float:
    """Return the seconds for which the remote side wants to be left alone; 0 if it says nothing."""
    if not isinstance(error, RateLimited) or not is_valid_error(error):
        return 0.0
    return min(error.retry_after_s, RETRY_AFTER_MAX_S)


class _CheckedSink:
    """Checks what is put into a sink, and notes that the watch works."""

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
        """Check, store, and note the report."""
        check_put(observations, outflows, cursor)
        await self._put(observations, outflows=outflows, cursor=cursor)
        self._watching.note_report()
