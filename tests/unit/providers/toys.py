"""Toy providers and what a fence needs around them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import trio

from payd.plugins import (
    Absent,
    Cancel,
    Capabilities,
    Created,
    CreateOperation,
    Found,
    Lookup,
    Method,
    Money,
    Observation,
    Outflow,
    PaymentRef,
    Provider,
    ProviderConfig,
    ProviderManifest,
    ProviderStatus,
    Redirect,
    RefundCapabilities,
    RefundInstructions,
    RefundOperation,
    RefundRef,
    RefundSnapshot,
    RefundState,
    Sends,
    Sink,
    Snapshot,
)
from payd.providers.fence import Fence

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAYMENT_ID = UUID("01890000-0000-7000-8000-000000000001")
CREATED = Created(reference="toy_1", next_action=Redirect(url="https://toy.invalid/1"))
OPEN = Snapshot(status=ProviderStatus.OPEN, asset="USD", received=0, confirmed=0, as_of=START)
FOUND = Found(created=CREATED, snapshot=OPEN)
REFUND_ID = UUID("01890000-0000-7000-8000-000000000002")
REFUNDS = RefundCapabilities(
    sends=Sends.PROVIDER,
    idempotency_window=timedelta(hours=24),
    lookup=Lookup.INCLUDING_ABSENCE,
)
REFUNDED = RefundSnapshot(
    reference="re_1", state=RefundState.SUCCEEDED, asset="USD", amount=400, time=START
)


class TrioClock:
    """Wall time that follows trio's clock, so that a MockClock moves both."""

    def __init__(self) -> None:
        self._zero = trio.current_time()

    def now(self) -> datetime:
        return START + timedelta(seconds=trio.current_time() - self._zero)


class Journal:
    """A logger that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def events(self) -> list[str]:
        return [event for event, _ in self.lines]


class CollectingSink:
    """Keeps the observations, and wakes a test that waits for a number of them."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []
        self.batches: list[int] = []
        self.stored: str | None = None
        self._changed = trio.Event()

    @asynccontextmanager
    async def open(self, *, alone: bool) -> AsyncIterator[Sink]:
        """Open at once: no other daemon competes for the watch."""
        yield self

    async def cursor(self) -> str | None:
        return self.stored

    async def put(
        self,
        observations: Sequence[Observation],
        /,
        *,
        outflows: Sequence[Outflow] = (),
        cursor: str | None = None,
    ) -> None:
        await trio.lowlevel.checkpoint()
        self.batches.append(len(observations))
        self.seen.extend(observations)
        self.stored = cursor or self.stored
        self._changed.set()
        self._changed = trio.Event()

    async def reach(self, count: int) -> None:
        with trio.fail_after(3600):
            while len(self.seen) < count:
                await self._changed.wait()


async def found(_ref: PaymentRef) -> Found | Absent:
    return FOUND


async def well() -> None:
    return None


@attrs.define(kw_only=True)
class Toy:
    """A provider whose every word the test scripts."""

    says: Callable[[CreateOperation], Awaitable[Any]]
    finds: Callable[[PaymentRef], Awaitable[Any]] = found
    closes: Callable[[PaymentRef], Awaitable[Any]] = found
    feels: Callable[[], Awaitable[Any]] = well

    async def create(self, operation: CreateOperation, /) -> Created:
        return await self.says(operation)  # anything, on purpose

    async def fetch(self, ref: PaymentRef, /) -> Found | Absent:
        return await self.finds(ref)  # anything, on purpose

    async def cancel(self, ref: PaymentRef, /) -> Snapshot:
        return await self.closes(ref)  # anything, on purpose

    async def health(self) -> None:
        await self.feels()


@attrs.define(kw_only=True)
class RefundingToy(Toy):
    """A toy that refunds, too."""

    refunds: Callable[[RefundOperation], Awaitable[Any]]
    finds_refund: Callable[[RefundRef], Awaitable[Any]]

    async def refund(self, operation: RefundOperation, /) -> RefundSnapshot | RefundInstructions:
        return await self.refunds(operation)  # anything, on purpose

    async def fetch_refund(self, ref: RefundRef, /) -> RefundSnapshot | Absent:
        return await self.finds_refund(ref)  # anything, on purpose


@attrs.define(kw_only=True)
class WatchingToy(Toy):
    """A toy that watches, too."""

    watches: Callable[[Sink], Awaitable[None]]

    async def watch(self, sink: Sink, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await self.watches(sink)


@attrs.define(kw_only=True)
class OnlyToy(WatchingToy):
    """A toy whose watch only one daemon may run."""

    singleton: bool = True


def says(*words: object) -> Callable[..., Awaitable[Any]]:
    """Answers each call with the next word, at the end with the last; raises the errors."""
    left = list(words)

    async def say(*_: object) -> Any:
        await trio.lowlevel.checkpoint()
        word = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(word, BaseException):
            raise word
        return word

    return say


def a_manifest(**overrides: Any) -> ProviderManifest:
    capabilities = Capabilities(
        **(
            {
                "idempotency_window": timedelta(hours=24),
                "lookup": Lookup.INCLUDING_ABSENCE,
                "cancel": Cancel.CLOSES,
            }
            | overrides.pop("capabilities", {})
        )
    )
    fields: dict[str, Any] = {
        "name": "toy",
        "version": "1.2.3",
        "sdk": ">=1.0,<2",
        "config_model": ProviderConfig,
        "methods": lambda config: (Method(key="toy", display_name="Toy", currencies=("USD",)),),
        "capabilities": capabilities,
        "factory": lambda context, config: nullcontext(Toy(says=says(CREATED))),
    }
    return ProviderManifest(**(fields | overrides))


def an_operation(**overrides: Any) -> CreateOperation:
    fields: dict[str, Any] = {
        "operation_id": "op-1",
        "payment_id": PAYMENT_ID,
        "method": "toy",
        "amount": Money(currency_code="USD", minor_units=1000),
        "crypto": None,
        "items": (),
        "customer_id": "customer-1",
        "create_time": START,
        "expire_time": START + timedelta(minutes=30),
        "return_url": "https://shop.invalid/done",
        "cancel_url": "https://shop.invalid/back",
        "metadata": {},
    }
    return CreateOperation(**(fields | overrides))


def a_ref(**overrides: Any) -> PaymentRef:
    fields: dict[str, Any] = {
        "operation_id": "op-1",
        "payment_id": PAYMENT_ID,
        "reference": None,
        "asset": "USD",
        "create_time": START,
    }
    return PaymentRef(**(fields | overrides))


def a_refund(**overrides: Any) -> RefundOperation:
    fields: dict[str, Any] = {
        "operation_id": f"payd:{REFUND_ID}:refund:v1",
        "refund_id": REFUND_ID,
        "payment_id": PAYMENT_ID,
        "reference": "toy_1",
        "aliases": (),
        "amount": 400,
        "asset": "USD",
        "is_all": False,
        "reason": "The customer asked.",
        "destination": "",
        "create_time": START,
    }
    return RefundOperation(**(fields | overrides))


def a_refund_ref(**overrides: Any) -> RefundRef:
    fields: dict[str, Any] = {
        "operation_id": f"payd:{REFUND_ID}:refund:v1",
        "refund_id": REFUND_ID,
        "reference": None,
        "payment_id": PAYMENT_ID,
        "payment_reference": "toy_1",
        "aliases": (),
        "asset": "USD",
        "amount": 400,
        "create_time": START,
    }
    return RefundRef(**(fields | overrides))


@asynccontextmanager
async def fenced(
    provider: Provider | Callable[[], AbstractAsyncContextManager[Provider]], **overrides: Any
) -> AsyncIterator[Fence]:
    """The provider behind a running fence, and its orderly end."""
    build = provider if callable(provider) else lambda: nullcontext(provider)
    on_call = overrides.pop("on_call", None)
    log = overrides.pop("log", None) or Journal()
    secrets = overrides.pop("secrets", None)
    fence = Fence(
        build,
        a_manifest(**overrides),
        log=log,
        methods=("toy",),
        secrets=secrets,
        random=half,
        on_call=on_call,
    )
    async with trio.open_nursery() as nursery:
        assert await nursery.start(fence.run) is None
        yield fence
        await fence.stop()


def half() -> float:
    return 0.5
