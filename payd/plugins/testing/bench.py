"""The bench of one check: the provider as payd builds it, its remote side, and calls of both."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from secrets import randbits
from typing import Any, TypeVar
from uuid import UUID

import attrs
import trio

from payd.plugins import (
    Absent,
    Created,
    CreateOperation,
    Found,
    Method,
    Observation,
    Page,
    PaymentRef,
    Provider,
    ProviderError,
    ProviderEvent,
    ProviderManifest,
    ProviderStatus,
    ReceiptState,
    Snapshot,
    SupportsEvents,
)
from payd.plugins.testing.given import BenchClock, BenchLog, BenchSink
from payd.plugins.testing.held import owned
from payd.plugins.testing.operations import (
    Way,
    asset,
    create_operation,
    due,
    names,
    prepared,
    ways,
)
from payd.plugins.testing.registry import Failed
from payd.plugins.testing.remote import CannotHappen, Remote
from payd.providers import validation

T = TypeVar("T")

#: Seconds after which a call fails: longer than any correct call takes.
PATIENCE_S = 20.0
#: Tolerance for clocks that differ or have a resolution of one second.
CLOCKS_APART = timedelta(seconds=2)
#: Seconds that pass when the clock cannot be moved: more than clocks differ by.
_REAL_S = 4.0
#: Seconds between two reads of a watch's cursor.
_POLL_S = 0.08
#: Reads of an unchanged cursor after which a watch counts as idle: after it has reported what is
#: expected, and before. On a busy machine a report may take seconds.
_QUIET = 3
_STILL = 40
#: Bits of `CreateOperation.tag`.
_TAG_BITS = 48

#: Result class → the checks of payd that the class does not make itself.
_CHECKS: Mapping[type, Callable[[Any], bool]] = {
    ProviderEvent: validation.is_event,
    Page: validation.is_page,
}


@attrs.frozen(kw_only=True)
class Bench:
    """One provider, built for one check.

    Attributes:
        manifest: The provider's manifest.
        config: Its settings, validated.
        methods: Its methods with these settings.
        provider: The provider, as payd builds it.
        remote: Its scripted remote side.
        clock: The clock that the provider is given.
        log: What the provider logs.
        secrets: The credentials that the provider is given.
        build: Builds the provider with other settings. Raises RemoteMistake when they are refused.
        dues: What is due for each payment whose object was created, in units of the asset.
        sinks: The first is that of the background watch, if the remote side needs one.
        blocked_s: Seconds for which each long step of the provider blocked the event loop.
        watch_errors: What ended a run of the watch, other than a sink that refuses.
    """

    manifest: ProviderManifest
    config: Any
    methods: tuple[Method, ...]
    provider: Provider
    remote: Remote
    clock: BenchClock
    log: BenchLog
    secrets: dict[str, tuple[str, ...]]
    build: Callable[[Mapping[str, Any]], AbstractAsyncContextManager[Provider]]

    dues: dict[UUID, int] = attrs.field(factory=dict)
    sinks: list[BenchSink] = attrs.field(factory=list)
    blocked_s: list[float] = attrs.field(factory=list)
    watch_errors: list[BaseException] = attrs.field(factory=list)

    # -- for the checks --------------------------------------------------------------------------

    def ways(self) -> Sequence[Way]:
        """One way to pay for each method and number of decimals."""
        return ways(self.methods, lambda way: way.decimals)

    def assets(self) -> Sequence[Way]:
        """One way to pay for each method and asset: a currency, or a token in any currency."""
        return ways(self.methods, lambda way: way.token.code if way.token else way.currency)

    def sink(self, *, refuses: Collection[int] = ()) -> BenchSink:
        """Create a sink; from now on the provider reads its cursor."""
        self.sinks.append(BenchSink(refuses=refuses))
        return self.sinks[-1]

    def operation(
        self,
        *,
        minor_units: int | None = None,
        metadata: Mapping[str, str] | None = None,
        way: Way | None = None,
        **other: Any,
    ) -> CreateOperation:
        """Build a create operation as payd does, for a new payment."""
        if self.manifest.capabilities.tags and "parameters" not in other:
            other = {"tag": randbits(_TAG_BITS), **other}
        operation = create_operation(
            way or self.ways()[0],
            self.remote.amounts[0] if minor_units is None else minor_units,
            self.remote.metadata(None) if metadata is None else metadata,
            self.clock.now(),
            **other,
        )
        return operation if "parameters" in other else prepared(self.provider, operation)

    async def create(self, operation: CreateOperation) -> Created:
        """Call create. Raises ProviderError, and Failed for an invalid result."""
        result = await self.in_time(self.provider.create, operation)
        self.dues.setdefault(operation.payment_id, due(operation))
        return self.expect(Created, result, "create")

    async def fetch(self, ref: PaymentRef) -> Found | Absent:
        """Call fetch. Raises ProviderError, and Failed for an invalid result."""
        result = await self.in_time(self.provider.fetch, ref)
        if isinstance(result, Absent):
            return result
        return self.expect(Found, result, "fetch")

    async def found(self, ref: PaymentRef) -> Found:
        """Call fetch for an object that exists. Raises Failed when it is not found."""
        return self.expect(Found, await self.fetch(ref), "fetch of an object that exists")

    async def cancel(self, ref: PaymentRef) -> Snapshot:
        """Call cancel. Raises ProviderError, and Failed for an invalid result."""
        return self.expect(Snapshot, await self.in_time(self.provider.cancel, ref), "cancel")

    async def raised(self, call: Callable[..., Any], *args: Any) -> BaseException | None:
        """Make a call; return the ProviderError that it raised, or None."""
        try:
            await self.in_time(call, *args)
        except ProviderError as error:
            return error
        return None

    async def in_time(self, call: Callable[..., Any], *args: Any) -> Any:
        """Make a call with a deadline. Raises Failed for any other error than a ProviderError."""
        try:
            with trio.fail_after(PATIENCE_S), owned(self.blocked_s.append):
                return await call(*args)
        except trio.TooSlowError:
            raise Failed(f"{_name(call)} did not return within {PATIENCE_S:g} s") from None
        except ProviderError as error:
            error.add_note(" of ".join([_name(call), *map(_shown, args)]))
            raise
        except Failed:
            raise
        except Exception as error:
            raise Failed(
                f"{_name(call)} raised {type(error).__name__}: {error};"
                " it may raise only a ProviderError"
            ) from error

    def translated(self, event: ProviderEvent) -> Sequence[Observation]:
        """Translate an event of the provider. Raises Failed for an error or an invalid result."""
        assert isinstance(self.provider, SupportsEvents)
        try:
            observations = self.provider.translate(event)
        except Exception as error:
            raise Failed(
                f"translate of an event {event.type!r} raised {type(error).__name__}: {error};"
                " for what is not payd's it must return nothing"
            ) from error
        if not validation.is_observations(observations):
            raise Failed(f"translate returned invalid observations: {observations!r}")
        return observations

    def ref(self, operation: CreateOperation, created: Created | None = None) -> PaymentRef:
        """Build payd's reference to an object; without `created`, as after a lost response."""
        return PaymentRef(
            operation_id=operation.operation_id,
            payment_id=operation.payment_id,
            reference=created.reference if created else None,
            asset=asset(operation),
            create_time=operation.create_time,
            aliases=created.aliases if created else (),
        )

    async def opened(self, **fields: Any) -> tuple[CreateOperation, PaymentRef, Created]:
        """Create an open object."""
        operation = self.operation(**fields)
        created = await self.create(operation)
        return operation, self.ref(operation, created), created

    async def paid(self, **fields: Any) -> tuple[CreateOperation, PaymentRef, Created]:
        """Create an object and pay it; returns when the payment has been reported."""
        operation, ref, created = await self.opened(**fields)
        await self.pay(ref, due(operation))
        return operation, ref, created

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """Let the customer pay an amount; returns when the payment has been reported."""
        await self.remote.pay(ref, amount)
        await self.settled()

    async def passed(self, by: timedelta) -> None:
        """Let time pass on the kit's clock, or a few seconds on a real one."""
        if self.clock.is_real:
            await trio.sleep(_REAL_S)
            return
        self.clock.advance(by)
        await self.remote.later(by)

    async def waited(self, seconds: float) -> None:
        """Let time pass by every clock: that of the kit, of the remote side, and the real one."""
        await trio.sleep(seconds)
        if not self.clock.is_real:
            self.clock.advance(timedelta(seconds=seconds))
            await self.remote.later(timedelta(seconds=seconds))

    @asynccontextmanager
    async def rebuilt(self, settings: Mapping[str, Any]) -> AsyncIterator["Bench"]:
        """Build the provider again with other settings, beside the first one."""
        async with self.build(settings) as provider:
            yield attrs.evolve(self, provider=provider)

    async def settled(self, is_reported: Callable[[BenchSink], bool] | None = None) -> None:
        """Wait until the remote side and the background watch have reported everything.

        `is_reported`: whether the watch has reported what is expected; by default, all that the
        remote side knows to be read from a cursor, otherwise anything.
        """
        if not self.remote.needs_watch:
            await self.remote.rest()
            return
        sink = self.sinks[0]
        begin = before = sink.at
        quiet = 0
        await self.remote.rest()
        with trio.move_on_after(PATIENCE_S):
            while True:
                has_read = await self.remote.has_read(sink.at) if is_reported is None else None
                has_moved = sink.at != begin or begin is None
                is_enough = has_moved if is_reported is None else is_reported(sink)
                if has_read or quiet >= (_QUIET if is_enough and has_read is None else _STILL):
                    return
                await trio.sleep(_POLL_S)
                before, quiet = (before, quiet + 1) if sink.at == before else (sink.at, 0)

    async def standing(
        self, operation: CreateOperation, created: Created, snapshot: Snapshot
    ) -> Snapshot:
        """Merge the snapshot with what the background watch has reported."""
        await trio.lowlevel.checkpoint()
        if not self.remote.needs_watch:
            return snapshot
        receipts = self.sinks[0].receipts(names(operation, created))
        sums = [
            sum(one.amount for one in receipts if one.state in states)
            for states in (set(ReceiptState), {ReceiptState.CONFIRMED})
        ]
        is_paid = sums[1] >= due(operation)
        return attrs.evolve(
            snapshot,
            status=ProviderStatus.PAID if is_paid else snapshot.status,
            received=max(snapshot.received, sums[0]),
            confirmed=max(snapshot.confirmed, sums[1]),
        )

    def sends(self, call: str) -> bool:
        """Whether this call of the provider sends requests, as the remote side says."""
        return call not in self.remote.sends_nothing

    def require_requests(self, *calls: str) -> None:
        """Raise CannotHappen if none of these calls sends a request, which could meet a fault."""
        if not any(map(self.sends, calls)):
            raise CannotHappen(f"{' and '.join(calls)}: no request is sent that could meet a fault")

    async def objects(self, payment_id: UUID) -> int:
        """Number of objects that the remote side has for a payment; 1 where it stores none."""
        if not self.remote.remembers:
            return 1
        return await self.remote.objects(payment_id)

    def expect(self, kind: type[T], result: object, what: str) -> T:
        """Check a result's type and values as payd does. Raises Failed."""
        if type(result) is not kind:
            raise Failed(f"{what} returned a {type(result).__name__}, not a {kind.__name__}")
        if not _CHECKS.get(kind, lambda value: True)(result):
            raise Failed(
                f"{what} returned a {kind.__name__} that payd cannot store: a float, text with"
                f" NUL, or a value of a wrong type in {result!r}"
            )
        return result


def _shown(argument: object) -> str:
    if isinstance(argument, CreateOperation):
        return f"{due(argument)} units of {asset(argument)}"
    return str(getattr(argument, "reference", argument))


def _name(call: Callable[..., Any]) -> str:
    return str(getattr(call, "__name__", call))
