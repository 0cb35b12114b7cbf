"""The fence around a provider: own nursery, limiter, deadline, breaker; every escape gets a name.

A provider that raises, hangs, answers nonsense or floods degrades its own methods and nothing
else. Each call runs in a task of the provider's nursery, so that one which resists its
cancellation is left behind and keeps only its place in the provider's own limiter. A caller's
cancellation is never swallowed: what became of that operation is found by recovery.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, TypeVar

import trio

from payd.domain.errors import ProviderUnavailable
from payd.domain.evidence import Observation
from payd.plugins.context import Logger
from payd.plugins.interface import (
    Capabilities,
    CreateOperation,
    Holding,
    Lookup,
    Misconfigured,
    NotAttempted,
    ObjectPage,
    OutcomeUnknown,
    Page,
    PaymentRef,
    Provider,
    ProviderError,
    ProviderEvent,
    ProviderManifest,
    SupportsAudit,
    SupportsCompare,
    SupportsPrepare,
    SupportsScan,
    SupportsWatch,
    WebhookRequest,
)
from payd.ports.provider import Answer, Untranslatable
from payd.providers import answers, pure_calls, validation
from payd.providers.breaker import Breaker, Pause, Random
from payd.providers.calls import Call, describe
from payd.providers.loop_monitor import OWNER, Owner, told_when_held
from payd.providers.refusals import Refusals
from payd.providers.state import FenceState
from payd.providers.validation import passing
from payd.providers.watching import Sinks, Watching

__all__ = ["Fence", "FenceState", "OnCall"]

#: provider, operation, outcome, seconds
OnCall = Callable[[str, str, str, float], None]

#: Provably unsent calls are sent again, within the operation's deadline.
ATTEMPTS_MAX = 3
RETRY_PAUSE_MAX_S = 0.2
#: How long a factory may take to give its provider, and its context to close.
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
#: How long a call that was cancelled at its deadline may take to end before it is left behind.
GRACE_S = 0.5
HEALTH_TIMEOUT_S = 5.0
HEALTH_INTERVAL_S = 15.0

T = TypeVar("T")


class Fence:
    """ProviderPort over one provider; `run` builds it and keeps it until `stop`."""

    def __init__(
        self,
        build: Callable[[], AbstractAsyncContextManager[Provider]],
        manifest: ProviderManifest,
        *,
        log: Logger,
        methods: tuple[str, ...] = (),
        secrets: Mapping[str, tuple[str, ...]] | None = None,
        random: Random,
        on_call: OnCall | None = None,
    ) -> None:
        self._build: Callable[[], AbstractAsyncContextManager[object]] = build
        self._secrets = secrets or {}
        self._manifest = manifest
        self._log = log
        self._methods = methods
        self._random = random
        self._on_call = on_call
        self._breaker = Breaker(random)
        self._limiter = trio.CapacityLimiter(manifest.capabilities.concurrency)
        self._timeout_s = manifest.capabilities.operation_timeout.total_seconds()
        self._inside: tuple[Provider, trio.Nursery] | None = None
        self._up = trio.Event()
        self._stopping = trio.Event()
        #: Set while nothing of the provider runs here.
        self._ended = trio.Event()
        self._ended.set()
        self._watching = Watching(manifest.name, log, random)
        self._refusals = Refusals(manifest.name, log)
        self._healthy: bool | None = None
        self._misconfigured = False
        self._last_error: str | None = None
        self._restarts = 0
        self._held_loop_s = 0.0

    @property
    def name(self) -> str:
        """As in the manifest."""
        return self._manifest.name

    @property
    def capabilities(self) -> Capabilities:
        """As in the manifest."""
        return self._manifest.capabilities

    def state(self) -> FenceState:
        """How it stands now."""
        return FenceState(
            name=self.name,
            version=self._manifest.version,
            methods=self._methods,
            running=self._inside is not None,
            healthy=self._healthy,
            breaker=self._breaker.state(trio.current_time()),
            misconfigured=self._misconfigured,
            last_error=self._last_error,
            restarts=self._restarts,
            watch_restarts=self._watching.restarts,
            watch_halted=self._watching.halted,
            watch_leads=self._watching.leads,
            creates_refused=self._refusals.in_a_row,
            create_refusal=self._refusals.told,
            held_loop_s=self._held_loop_s,
        )

    # -- ProviderPort ------------------------------------------------------------------------

    @property
    def can_scan(self) -> bool:
        """See ProviderPort."""
        return self._is(SupportsScan)

    @property
    def can_list_objects(self) -> bool:
        """See ProviderPort."""
        return self._is(SupportsCompare)

    @property
    def can_audit(self) -> bool:
        """See ProviderPort."""
        return self._is(SupportsAudit)

    def prepare(self, operation: CreateOperation) -> Mapping[str, Any]:
        """See ProviderPort."""
        provider = self._running()
        if not isinstance(provider, SupportsPrepare):
            return {}
        try:
            with told_when_held(self._held_loop):
                return pure_calls.prepare(self.name, provider, operation)
        except ProviderUnavailable as error:
            self._failed_at_once("prepare", error.message)
            raise

    def verify(self, request: WebhookRequest, now: datetime) -> ProviderEvent:
        """See ProviderPort."""
        with told_when_held(self._held_loop):
            return pure_calls.verify(self.name, self._running(), request, self._secrets, now)

    def translate(self, event: ProviderEvent) -> Sequence[Observation]:
        """See ProviderPort."""
        try:
            provider = self._running()
        except ProviderUnavailable as error:
            raise Untranslatable(error.message) from None
        try:
            with told_when_held(self._held_loop):
                return pure_calls.translate(provider, event)
        except Untranslatable as error:
            # The row waits for a better version, and an operator must know of which plugin.
            self._failed_at_once("translate", str(error))
            raise

    def _is(self, kind: type) -> bool:
        return self._inside is not None and isinstance(self._inside[0], kind)

    def _running(self) -> Provider:
        if self._inside is None:
            raise ProviderUnavailable(
                f"the provider {self.name} is not running", retry_after_s=1.0, provider=self.name
            )
        return self._inside[0]

    async def scan(self, cursor: str | None) -> Page | None:
        """See ProviderPort."""

        async def step(provider: Provider) -> Page:
            if not isinstance(provider, SupportsScan):
                raise NotAttempted("it cannot be scanned")
            return await provider.scan(cursor)

        said = await self._ask_aside("scan", step, validation.is_page)
        return said if isinstance(said, Page) else None

    async def objects(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> ObjectPage | None:
        """See ProviderPort."""

        async def step(provider: Provider) -> ObjectPage:
            if not isinstance(provider, SupportsCompare):
                raise NotAttempted("its objects cannot be listed")
            return await provider.objects(since, until, cursor)

        said = await self._ask_aside("objects", step, validation.is_object_page)
        return said if isinstance(said, ObjectPage) else None

    async def holdings(self, cursor: str) -> Sequence[Holding] | None:
        """See ProviderPort."""

        async def step(provider: Provider) -> Sequence[Holding]:
            if not isinstance(provider, SupportsAudit):
                raise NotAttempted("its holdings cannot be read")
            return await provider.holdings(cursor)

        said = await self._ask_aside("holdings", step, validation.is_holdings)
        return None if isinstance(said, ProviderError) else said

    async def create(self, operation: CreateOperation) -> Answer:
        """See ProviderPort."""
        said = await self._ask("create", lambda p: p.create(operation), validation.is_created)
        self._refusals.note(said)
        return answers.answer_to_create(self.name, said)

    async def fetch(self, ref: PaymentRef) -> Answer:
        """See ProviderPort."""
        lookup = self.capabilities.lookup
        if ref.reference is None and lookup is Lookup.NONE:
            return answers.UNANSWERED
        said = await self._ask("fetch", lambda p: p.fetch(ref), validation.is_look)
        return answers.answer_to_look(lookup, ref.reference, said)

    async def close(self, ref: PaymentRef) -> Answer:
        """See ProviderPort."""
        said = await self._ask("close", lambda p: p.cancel(ref), validation.is_snapshot)
        return answers.answer_to_close(self.capabilities.cancel, said)

    async def _ask(
        self,
        operation: str,
        call: Callable[[Provider], Awaitable[T]],
        is_sound: Callable[[object], bool],
    ) -> T | ProviderError:
        start = trio.current_time()
        wait_s = self._breaker.wait_s(start)
        if self._inside is None or wait_s > 0:
            self._note(operation, unavailable := answers.unavailable(wait_s), start)
            return unavailable
        probe = self._breaker.enter()
        said: T | ProviderError | None = None
        try:
            said = await self._in_own_task(Call(call, is_sound), *self._inside, self._timeout_s)
            return said
        finally:
            failed = self._note(operation, said, start)
            self._breaker.leave(trio.current_time(), failed=failed, probe=probe)

    async def _ask_aside(
        self,
        operation: str,
        call: Callable[[Provider], Awaitable[T]],
        is_sound: Callable[[object], bool],
    ) -> T | ProviderError:
        """What is read in bulk: when it fails, payments are as good as before."""
        if self._inside is None:
            return answers.unavailable(0)
        start = trio.current_time()
        said = await self._in_own_task(Call(call, is_sound), *self._inside, self._timeout_s)
        self._count(operation, said, start)
        if answers.is_failure(said):
            self._warn(operation, said)
        return said

    async def _in_own_task(
        self, call: "Call[T]", provider: Provider, nursery: trio.Nursery, timeout_s: float
    ) -> T | ProviderError:
        nursery.start_soon(self._attempt_in_turn, call, provider)
        try:
            with trio.move_on_after(timeout_s):
                await call.done.wait()
                return call.said
        finally:
            if not call.done.is_set():
                call.scope.cancel()
        with trio.move_on_after(GRACE_S):
            await call.done.wait()
        return call.said

    async def _attempt_in_turn(self, call: "Call[T]", provider: Provider) -> None:
        """`call.said` is at every await what holds if the call ends there."""
        OWNER.set(Owner(self.name, self._held_loop))
        try:
            with call.scope:
                await call.take_place(self._limiter)
                try:
                    await self._attempt(call, provider)
                finally:
                    self._limiter.release_on_behalf_of(call)
        finally:
            call.done.set()

    async def _attempt(self, call: "Call[T]", provider: Provider) -> None:
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                await trio.sleep(self._random() * RETRY_PAUSE_MAX_S * 2 ** (attempt - 1))
            call.said = OutcomeUnknown("no answer within the deadline")
            call.said = await call.answer(provider)
            if not isinstance(call.said, NotAttempted):
                return

    def _note(self, operation: str, said: object, start: float) -> bool | None:
        self._count(operation, said, start)
        failed = answers.is_failure(said)
        if failed is False:
            self._misconfigured = False
        if failed:
            self._remember(operation, said)
        return failed

    def _remember(self, operation: str, said: object) -> None:
        self._misconfigured = self._misconfigured or isinstance(said, Misconfigured)
        self._last_error = answers.label(said)
        self._warn(operation, said)

    def _count(self, operation: str, said: object, start: float) -> None:
        if self._on_call is not None:
            seconds = trio.current_time() - start
            self._on_call(self.name, operation, answers.label(said), seconds)

    def _warn(self, operation: str, said: object) -> None:
        self._log.warning(
            "provider_call_failed",
            provider=self.name,
            operation=operation,
            outcome=answers.label(said),
            error=str(said),
        )

    def _failed_at_once(self, operation: str, why: str) -> None:
        """A pure method of its broke."""
        self._count(operation, failed := OutcomeUnknown(why), trio.current_time())
        self._remember(operation, failed)

    def _held_loop(self, seconds: float) -> None:
        """It computed, or waited without `await`, while everybody else stood still."""
        self._held_loop_s += seconds
        self._log.error("provider_held_loop", provider=self.name, seconds=round(seconds, 3))
        if self._on_call is not None:
            self._on_call(self.name, "loop", "held", seconds)

    # -- the provider's life -----------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[str | None]) -> None:
        """Build the provider, and again when its context ends by itself, until `stop`.

        Reports None when it serves; or why the first build failed, and then returns.
        """
        served = False
        OWNER.set(Owner(self.name, self._held_loop))

        def serve() -> None:
            nonlocal served
            if not served:
                served = True
                task_status.started(None)

        pause = Pause(self._random)
        self._ended = trio.Event()
        try:
            while True:
                why = await self._live(serve)
                if self._stopping.is_set():
                    break
                if not served:
                    task_status.started(why)
                    return
                self._restarts += 1
                self._last_error = why
                self._log.warning("provider_ended", provider=self.name, error=why)
                if await self._stops_within(pause.next_s(trio.current_time())):
                    break
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Refuse new calls, end those under way, close the provider. Repeating it is harmless."""
        self._stopping.set()
        with trio.move_on_after(STOP_TIMEOUT_S + 2 * GRACE_S):
            await self._ended.wait()
            return
        self._log.error(
            "provider_does_not_end",
            provider=self.name,
            what_to_do="disable it, and tell its author that it resists its cancellation",
        )
        await self._ended.wait()

    async def _live(self, serve: Callable[[], None]) -> str:
        """Build once and serve until the end; why it ended."""
        scope = trio.CancelScope(deadline=trio.current_time() + START_TIMEOUT_S)
        try:
            with scope:
                async with self._build() as provider:
                    if not isinstance(provider, Provider):
                        return f"the factory gave a {type(provider).__name__}, not a provider"
                    scope.deadline = math.inf
                    await self._serve(provider, serve)
                    scope.deadline = trio.current_time() + STOP_TIMEOUT_S
        except BaseException as error:
            if passing(error) is not None:
                raise
            return describe(error)
        if scope.cancelled_caught:
            return f"the factory did not answer within {START_TIMEOUT_S:g} s"
        return "the provider's context ended"

    async def _serve(self, provider: Provider, serve: Callable[[], None]) -> None:
        async with trio.open_nursery() as nursery:
            self._inside = (provider, nursery)
            self._up.set()
            serve()
            try:
                await self._stopping.wait()
            finally:
                self._inside = None
                self._up = trio.Event()
                self._watching.cancel()
                nursery.cancel_scope.cancel()

    async def _stops_within(self, timeout_s: float) -> bool:
        with trio.move_on_after(timeout_s):
            await self._stopping.wait()
        return self._stopping.is_set()

    # -- long tasks --------------------------------------------------------------------------

    async def run_watch(
        self, sinks: Sinks, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep the provider's watch running until `stop`; returns at once where it has none.

        Ready at once: a provider that cannot watch yet must not delay the daemon.
        """
        task_status.started()
        OWNER.set(Owner(self.name, self._held_loop))
        while not self._stopping.is_set():
            if self._inside is None:
                if await self._stops_before_up():
                    return
                continue
            provider = self._inside[0]
            if not isinstance(provider, SupportsWatch):
                return
            pause_s = await self._watching.run_once(provider, sinks)
            if await self._stops_within(pause_s):
                return

    async def _stops_before_up(self) -> bool:
        async with trio.open_nursery() as nursery:

            async def wait(event: trio.Event) -> None:
                await event.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait, self._up)
            nursery.start_soon(wait, self._stopping)
        return self._stopping.is_set()

    async def run_health(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Ask the provider for its health now and then, until `stop`."""
        await self.check_health()
        task_status.started()
        while not await self._stops_within(HEALTH_INTERVAL_S):
            await self.check_health()

    async def check_health(self) -> None:
        """Ask once, and keep what came of it. Does not move the breaker."""
        if self._inside is None:
            self._healthy = False
            return
        start = trio.current_time()
        call = Call(lambda p: p.health(), validation.is_none)
        said = await self._in_own_task(call, *self._inside, HEALTH_TIMEOUT_S)
        self._healthy = not isinstance(said, ProviderError)
        self._note("health", said if isinstance(said, ProviderError) else True, start)
