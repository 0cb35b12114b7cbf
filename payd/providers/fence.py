"""The fence around a provider: whatever its code does, every call ends with a named outcome.

A provider that raises, hangs, answers nonsense or floods degrades its own methods and nothing
else: its calls run in tasks of its own nursery (`calls`), a few at a time, each with a deadline;
after failures in a row a circuit breaker leaves it alone (`breaker`); its context is built again
when it ends (`lifecycle`). Results become evidence in `answers`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from types import NoneType
from typing import Any, TypeGuard, TypeVar

import attrs
import trio

from payd.domain.errors import ProviderUnavailable, WebhookRefused, WebhookUnknown
from payd.domain.evidence import Absent, Created, Observation, Snapshot
from payd.domain.refund import RefundInstructions, RefundSnapshot
from payd.plugins.capabilities import Lookup, Sends
from payd.plugins.context import Logger
from payd.plugins.errors import NotAttempted, OutcomeUnknown, ProviderError
from payd.plugins.interface import (
    CreateOperation,
    Found,
    Holding,
    ObjectPage,
    Page,
    PaymentRef,
    Provider,
    ProviderEvent,
    ProviderManifest,
    SupportsAudit,
    SupportsCompare,
    SupportsEvents,
    SupportsPrepare,
    SupportsScan,
    SupportsWebhooks,
    WebhookRequest,
)
from payd.plugins.refunding import RefundOperation, RefundRef
from payd.plugins.sponsoring import SponsorRequest, SupportsSponsor
from payd.ports.provider import Answer, RefundReply, Untranslatable
from payd.providers import answers, manifests, pure_calls, validation
from payd.providers.breaker import Breaker, Random
from payd.providers.calls import Call, Host
from payd.providers.lifecycle import End, Lifecycle
from payd.providers.loop_monitor import Owner, report_if_blocking
from payd.providers.state import OnCall, ProviderState, Record
from payd.providers.watching import Sinks, Watching

__all__ = ["Fence", "OnCall"]

HEALTH_TIMEOUT_S = 5.0
HEALTH_INTERVAL_S = 15.0
#: Requests of wallets to a sponsor at once.
SPONSORED_MAX = 4

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
        self.name = manifest.name
        self.capabilities = manifest.capabilities
        self._version = manifest.version
        self._methods = methods
        self._secrets = secrets or {}
        self._timeout_s = manifest.capabilities.operation_timeout.total_seconds()
        self._breaker = Breaker(random)
        self._record = Record(self.name, log, on_call)
        self._owner = Owner(self.name, self._record.note_blocked_loop)
        limiter = trio.CapacityLimiter(manifest.capabilities.concurrency)
        self._host = Host(limiter=limiter, owner=self._owner, random=random)
        self._sponsors = attrs.evolve(self._host, limiter=trio.CapacityLimiter(SPONSORED_MAX))
        self._watching = Watching(self._owner, log, random)
        self._lifecycle = Lifecycle(
            build,
            partial(manifests.misfit_of_provider, manifest),
            self._owner,
            log,
            self._record,
            random,
            self._watching.cancel,
        )
        self._abilities = _Abilities()
        self._healthy: bool | None = None

    def state(self) -> ProviderState:
        """Return its state now."""
        return ProviderState(
            name=self.name,
            version=self._version,
            methods=self._methods,
            running=self._lifecycle.running is not None,
            healthy=self._healthy,
            breaker=self._breaker.state(trio.current_time()),
            misconfigured=self._record.misconfigured,
            last_error=self._record.last_error,
            restarts=self._record.restarts,
            watch_restarts=self._watching.restarts,
            watch_halted=self._watching.halted,
            watch_leads=self._watching.leads,
            creates_refused=self._record.creates_refused,
            create_refusal=self._record.create_refusal,
            refund_refusal=self._record.refund_refusal,
            held_loop_s=self._record.held_loop_s,
        )

    # -- calls that payments wait for ----------------------------------------------------------

    async def create(self, operation: CreateOperation) -> Answer:
        """Create the payable object; a failed call proves what its error says, no more."""
        result = await self._call("create", lambda p: p.create(operation), (Created,))
        self._record.note_create(result)
        return answers.answer_to_create(self.name, result)

    async def fetch(self, ref: PaymentRef) -> Answer:
        """Fetch the object, unless the remote side could not find it without its reference."""
        lookup = self.capabilities.lookup
        if ref.reference is None and lookup is Lookup.NONE:
            return answers.UNANSWERED
        result = await self._call("fetch", lambda p: p.fetch(ref), (Found, Absent))
        return answers.answer_to_fetch(lookup, ref.reference, result)

    async def close(self, ref: PaymentRef) -> Answer:
        """Cancel the object; a rail that cannot close only reports how it stands."""
        result = await self._call("close", lambda p: p.cancel(ref), (Snapshot,))
        return answers.answer_to_close(self.capabilities.cancel, result)

    @property
    def can_refund(self) -> bool:
        """Whether its manifest says so; a provider that cannot do it is not served."""
        return self.capabilities.refunds is not None

    async def refund(self, operation: RefundOperation) -> RefundReply:
        """Refund; a failed call proves what its error says, no more."""
        refunds = self.capabilities.refunds
        if refunds is None:
            return answers.answer_to_refund(self.name, NotAttempted("it cannot refund"))
        sends = refunds.sends is Sends.PROVIDER
        result = await self._call(
            "refund",
            lambda p: p.refund(operation),
            (RefundSnapshot if sends else RefundInstructions,),
            partial(validation.is_refund_of, operation.refund_id),
        )
        self._record.note_refund(result)
        return answers.answer_to_refund(self.name, result)

    async def fetch_refund(self, ref: RefundRef) -> RefundReply:
        """Fetch the refund, unless the remote side could not find it without its reference."""
        refunds = self.capabilities.refunds
        if refunds is None or (ref.reference is None and refunds.lookup is Lookup.NONE):
            return answers.REFUND_UNANSWERED
        result = await self._call(
            "fetch_refund",
            lambda p: p.fetch_refund(ref),
            (RefundSnapshot, Absent),
            partial(validation.is_refund_of, ref.refund_id),
        )
        return answers.answer_to_fetch_refund(refunds.lookup, ref.reference, result)

    async def _call(
        self,
        operation: str,
        send: Callable[[Any], Awaitable[T]],
        kinds: tuple[type, ...],
        check: Callable[[T], bool] | None = None,
    ) -> T | ProviderError:
        start = trio.current_time()
        running = self._lifecycle.running
        wait_s, is_probe = self._breaker.admit(start) if running is not None else (0.0, False)
        if running is None or wait_s > 0:
            unavailable = answers.unavailable(wait_s)
            self._record.note(operation, unavailable, start)
            return unavailable
        result: T | ProviderError | None = None
        try:
            call: Call[T] = Call(running[0], send, kinds, check, host=self._host)
            result = await call.run(running[1], self._timeout_s)
            return result
        finally:
            failed = self._record.note(operation, result, start)
            self._breaker.leave(trio.current_time(), failed=failed, is_probe=is_probe)

    # -- bulk reads: when one fails, payments go on --------------------------------------------

    @property
    def can_scan(self) -> bool:
        """Whether the provider serves and has SupportsScan."""
        return self._supports(SupportsScan)

    @property
    def can_list_objects(self) -> bool:
        """Whether the provider serves and has SupportsCompare."""
        return self._supports(SupportsCompare)

    @property
    def can_audit(self) -> bool:
        """Whether the provider serves and has SupportsAudit."""
        return self._supports(SupportsAudit)

    def _supports(self, protocol: type) -> bool:
        running = self._lifecycle.running
        return running is not None and self._abilities.has(running[0], protocol)

    async def scan(self, cursor: str | None) -> Page | None:
        """Read one page of events; None when it failed or cannot be read."""
        if not self.can_scan:
            return None
        return await self._read("scan", lambda p: p.scan(cursor), (Page,), validation.is_page)

    async def objects(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> ObjectPage | None:
        """Read one page of objects; None when it failed or cannot be read."""
        if not self.can_list_objects:
            return None
        return await self._read("objects", lambda p: p.objects(since, until, cursor), (ObjectPage,))

    async def holdings(self, cursor: str) -> Sequence[Holding] | None:
        """Read what the account holds; None when it failed or cannot be read."""
        if not self.can_audit:
            return None
        kinds = (list, tuple)
        return await self._read(
            "holdings", lambda p: p.holdings(cursor), kinds, validation.is_holdings
        )

    async def sponsor(self, request: SponsorRequest) -> bytes | None:
        """Forward a wallet's request; None when it failed or the provider cannot do it.

        It has places of its own: all who know a payment's page can send such requests.
        """
        if not self._supports(SupportsSponsor):
            return None
        host = self._sponsors
        return await self._read("sponsor", lambda p: p.sponsor(request), (bytes,), host=host)

    async def _read(
        self,
        operation: str,
        send: Callable[[Any], Awaitable[T]],
        kinds: tuple[type, ...],
        check: Callable[[T], bool] | None = None,
        host: Host | None = None,
    ) -> T | None:
        running = self._lifecycle.running
        if running is None:
            return None
        start = trio.current_time()
        call: Call[T] = Call(running[0], send, kinds, check, host=host or self._host)
        result = await call.run(running[1], self._timeout_s)
        self._record.note_read(operation, result, start)
        return None if isinstance(result, ProviderError) else result

    # -- synchronous methods: they run in the caller's task ------------------------------------

    def prepare(self, operation: CreateOperation) -> Mapping[str, Any]:
        """Return the parameters to store before the first `create`; empty when it needs none."""
        running = self._lifecycle.running
        if running is None:
            raise self._not_running()
        provider = running[0]
        if not self._abilities.has(provider, SupportsPrepare):  # type: ignore[type-abstract]
            return {}
        try:
            with report_if_blocking(self._owner):
                return pure_calls.prepare(self.name, provider, operation)
        except ProviderUnavailable as error:
            self._note_broken("prepare", error.message)
            raise

    def verify(self, request: WebhookRequest, now: datetime) -> Sequence[ProviderEvent]:
        """Return the events of an authentic webhook; raises WebhookRefused and WebhookUnknown."""
        running = self._lifecycle.running
        if running is None:
            raise self._not_running()
        provider, start = running[0], trio.current_time()
        if not self._abilities.has(provider, SupportsWebhooks):  # type: ignore[type-abstract]
            raise WebhookUnknown(f"the provider {self.name} takes no webhooks", provider=self.name)
        try:
            with report_if_blocking(self._owner):
                return pure_calls.verify(provider, request, self._secrets, now)
        except validation.InvalidBatch as error:
            # The request was authentic: the provider's defect, which hurts no payment.
            self._record.note_read("verify", OutcomeUnknown(str(error)), start)
            raise WebhookRefused(str(error), why=error.why) from error

    def translate(self, event: ProviderEvent) -> Sequence[Observation]:
        """Return what an event reports about payments; raises Untranslatable."""
        running = self._lifecycle.running
        if running is None:
            raise Untranslatable(self._not_running().message)
        provider = running[0]
        try:
            if not self._abilities.has(provider, SupportsEvents):  # type: ignore[type-abstract]
                raise Untranslatable("the provider has no events any more")
            with report_if_blocking(self._owner):
                return pure_calls.translate(provider, event)
        except Untranslatable as error:
            # The row waits for a better version, and an operator must know of which plugin.
            self._note_broken("translate", str(error))
            raise

    def _not_running(self) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"the provider {self.name} is not running", retry_after_s=1.0, provider=self.name
        )

    def _note_broken(self, method: str, why: str) -> None:
        self._record.note(method, OutcomeUnknown(why), trio.current_time())

    # -- long tasks ----------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[End | None]) -> None:
        """Build the provider and keep it until `stop`; as `Lifecycle.run`."""
        await self._lifecycle.run(task_status=task_status)

    async def stop(self) -> None:
        """Refuse new calls, end those under way, close the provider. Repeating it is harmless."""
        await self._lifecycle.stop()

    async def run_watch(
        self, sinks: Sinks, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep the provider's watch running until `stop`; return at once when it has none.

        Ready at once: a provider that cannot watch yet must not delay the daemon.
        """
        task_status.started()
        await self._watching.run(self._lifecycle, sinks)

    async def run_health(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Check health every HEALTH_INTERVAL_S until `stop`; ready after the first check.

        A provider that is built meanwhile is checked at once, so that it is not called down.
        """
        await self.check_health()
        task_status.started()
        while not await self._stops_before_next_check():
            await self.check_health()

    async def _stops_before_next_check(self) -> bool:
        if self._lifecycle.running is not None:
            return await self._lifecycle.stops_within(HEALTH_INTERVAL_S)
        with trio.move_on_after(HEALTH_INTERVAL_S):
            await self._lifecycle.wait_until_up()
        return self._lifecycle.is_stopping

    async def check_health(self) -> None:
        """Check once and keep the result. Leaves the breaker as it is."""
        running = self._lifecycle.running
        if running is None:
            self._healthy = False
            return
        start = trio.current_time()
        call: Call[None] = Call(running[0], lambda p: p.health(), (NoneType,), host=self._host)
        result = await call.run(running[1], HEALTH_TIMEOUT_S)
        self._healthy = not isinstance(result, ProviderError)
        self._record.note("health", True if result is None else result, start)


class _Abilities:
    """Which protocols a provider has. Python compares every method each time it is asked."""

    def __init__(self) -> None:
        self._provider: object = None
        self._known: dict[type, bool] = {}

    def has(self, provider: object, protocol: type[T]) -> TypeGuard[T]:
        """Return whether the provider has the protocol."""
        if provider is not self._provider:
            self._provider, self._known = provider, {}
        if protocol not in self._known:
            self._known[protocol] = isinstance(provider, protocol)
        return self._known[protocol]
