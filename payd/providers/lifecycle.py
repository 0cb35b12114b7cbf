"""The life of one provider: built, serving, built again when it ends, stopped."""

import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import attrs
import trio

from payd.plugins.context import Logger
from payd.plugins.errors import Misconfigured
from payd.plugins.interface import Provider
from payd.providers.breaker import Pause, Random
from payd.providers.calls import GRACE_S, describe, innermost, passing
from payd.providers.loop_monitor import OWNER, Owner
from payd.providers.state import Record

__all__ = ["End", "Lifecycle"]

#: How long a factory may take to give its provider, and its context to close.
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


@attrs.frozen
class End:
    """Why a provider does not serve, or not any longer."""

    why: str
    #: Whether it may serve when it is built again: its code and its settings are not the reason.
    may_pass: bool = True


class Lifecycle:
    """Builds a provider, keeps it until `stop`, and builds it again when it ends before that."""

    def __init__(
        self,
        build: Callable[[], AbstractAsyncContextManager[object]],
        misfit: Callable[[Provider], str | None],
        owner: Owner,
        log: Logger,
        record: Record,
        random: Random,
        on_end: Callable[[], None],
    ) -> None:
        """Keep what builds a provider, and `misfit`, which returns why one cannot serve.

        `on_end` is called while a provider ends, before its tasks are cancelled.
        """
        self._build = build
        self._misfit = misfit
        self._owner = owner
        self._log = log
        self._record = record
        self._random = random
        self._on_end = on_end
        #: The provider and the nursery of its tasks; None while it does not serve.
        self.running: tuple[Provider, trio.Nursery] | None = None
        self._up = trio.Event()
        #: What `stop` cancels; None unless the provider is being built.
        self._building: trio.CancelScope | None = None
        self._has_served = False
        self._stopping = trio.Event()
        #: Set while nothing of the provider runs here.
        self._ended = trio.Event()
        self._ended.set()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    async def run(self, *, task_status: trio.TaskStatus[End | None]) -> None:
        """Build the provider, and again when it does not serve or ends by itself, until `stop`.

        Reports None when it serves, or why the first build failed; returns if that cannot pass.
        A stop may come before it is built.
        """
        is_reported = False
        OWNER.set(self._owner)

        def report(end: End | None = None) -> None:
            nonlocal is_reported
            if not is_reported:
                is_reported = True
                task_status.started(end)

        pause = Pause(self._random)
        self._ended = trio.Event()
        try:
            while not self._stopping.is_set():
                end = await self._live(report)
                if self.is_stopping:
                    break
                if not is_reported and not end.may_pass:
                    report(end)
                    return
                report(end)
                self._record.note_end(end.why, has_served=self._has_served)
                if await self.stops_within(pause.next_s(trio.current_time())):
                    break
        finally:
            self._ended.set()
        report(End("payd stops"))

    async def stop(self) -> None:
        """Refuse new calls, end those under way, close the provider. Repeating it is harmless.

        A provider that is being built is not waited for: its factory is cancelled.
        """
        self._stopping.set()
        if self._building is not None:
            self._building.cancel()
        with trio.move_on_after(STOP_TIMEOUT_S + 2 * GRACE_S):
            await self._ended.wait()
            return
        self._log.error(
            "provider_does_not_end",
            provider=self._owner.name,
            what_to_do="disable it, and report to its author that it ignores its cancellation",
        )
        await self._ended.wait()

    async def stops_within(self, timeout_s: float) -> bool:
        """Wait for `stop`, for so long at most; return whether it was called."""
        with trio.move_on_after(timeout_s):
            await self._stopping.wait()
        return self.is_stopping

    async def wait_until_up(self) -> None:
        """Wait until the provider serves, or `stop` is called."""
        async with trio.open_nursery() as nursery:

            async def wait(event: trio.Event) -> None:
                await event.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait, self._up)
            nursery.start_soon(wait, self._stopping)

    async def _live(self, serve: Callable[[], None]) -> End:
        """Build once and serve until the end; return why it ended."""
        scope = trio.CancelScope(deadline=trio.current_time() + START_TIMEOUT_S)
        self._building, self._has_served = scope, False
        try:
            with scope:
                async with self._build() as provider:
                    if not isinstance(provider, Provider):
                        what = f"the factory gave a {type(provider).__name__}, not a provider"
                        return End(what, may_pass=False)
                    if (why := self._misfit(provider)) is not None:
                        return End(why, may_pass=False)
                    self._building, scope.deadline = None, math.inf
                    await self._serve(provider, serve)
                    scope.deadline = trio.current_time() + STOP_TIMEOUT_S
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises has ended it
            if (ours := passing(error)) is not None:
                # Without errors beside it, which would pass through the cancelled scope.
                raise ours from None
            may_pass = not isinstance(innermost(error), Misconfigured)
            return End(describe(error), may_pass=may_pass)
        if scope.cancelled_caught:
            return End(f"the factory did not answer within {START_TIMEOUT_S:g} s")
        return End("the provider's context ended")

    async def _serve(self, provider: Provider, serve: Callable[[], None]) -> None:
        async with trio.open_nursery() as nursery:
            self.running = (provider, nursery)
            self._has_served = True
            self._record.note_start()
            self._up.set()
            serve()
            try:
                await self._stopping.wait()
            finally:
                self.running = None
                self._up = trio.Event()
                self._on_end()
                nursery.cancel_scope.cancel()
