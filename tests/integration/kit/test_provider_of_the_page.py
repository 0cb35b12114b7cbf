"""The examples of docs/providers.md, put together, are a provider that the kit certifies."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import trio
from unit.plugins.test_provider_page import example, program

from payd.plugins import (
    Cancel,
    Capabilities,
    Created,
    CreateOperation,
    Lookup,
    Method,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    Provider,
    ProviderConfig,
    ProviderContext,
    ProviderManifest,
    RateLimited,
    format_units,
    parse_units,
)
from payd.plugins.testing import (
    CHECKS,
    BenchClock,
    Fault,
    Outcome,
    Remote,
)
from payd.plugins.testing.run import run_checks

PAGE = ModuleType("page")
exec(compile(program(), "docs/providers.md", "exec"), vars(PAGE))
#: URL → the fake behind it.
FAKES: dict[str, "FakeOrders"] = {}


class FakeOrders:
    """Orders with a list of changes, as the page describes the API. No HTTP between."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.url, self.api_key = f"https://orders-{id(self)}.example", "key-of-orders"
        self.requests = 0
        self.fault: Fault | None = None
        self.orders: dict[str, dict[str, Any]] = {}
        self.changes: list[str] = []
        self._now = now
        self._keys: dict[str, tuple[Any, str]] = {}

    def of_payment(self, payment_id: str) -> list[dict[str, Any]]:
        return [self.shown(key) for key in self.orders if self._is_of(key, payment_id)]

    def pay(self, payment_id: str, amount: str) -> None:
        [order] = self.of_payment(payment_id)
        if order["status"] == "waiting":
            paid = parse_units(order["paid"], 2) + parse_units(amount, 2)
            status = "paid" if paid >= parse_units(order["amount"], 2) else "waiting"
            self._change(order["id"], paid=format_units(paid, 2), status=status)

    def expire(self, payment_id: str) -> None:
        [order] = self.of_payment(payment_id)
        self._change(order["id"], status="timed_out")

    def shown(self, key: str) -> dict[str, Any]:
        order = self.orders[key]
        if order["status"] == "waiting" and self._now().isoformat() >= order["ends"]:
            self._change(key, status="timed_out")
        return dict(self.orders[key])

    def create(self, body: Mapping[str, Any], idempotency_key: str) -> dict[str, Any]:
        known, key = self._keys.get(idempotency_key, (body, ""))
        if known != body:
            raise PAGE.IdempotencyConflict("the key was used with another body")
        if not key:
            key = f"o{len(self.orders) + 1}"
            self._keys[idempotency_key] = (body, key)
            self.orders[key] = {**body, "id": key, "paid": "0.00", "url": f"{self.url}/{key}"}
            self._change(key, status="waiting")
        return self.shown(key)

    def close(self, key: str) -> dict[str, Any]:
        if self.shown(key)["status"] == "waiting":
            self._change(key, status="closed")
        return self.shown(key)

    def listed(self, query: Mapping[str, str]) -> dict[str, Any]:
        if "merchant_reference" in query:
            return {"orders": self.of_payment(query["merchant_reference"])}
        if "changed_since" in query:
            start = int(query["changed_since"])
            found = self.changes[start : start + int(query["limit"])]
            end = start + len(found)
            orders = [self.shown(key) for key in dict.fromkeys(found)]
            return {"orders": orders, "next": end, "more": end < len(self.changes)}
        made = [
            self.shown(key)
            for key, order in self.orders.items()
            if query["made_from"] <= order["made"] < query["made_to"]
        ]
        return {"orders": made, "next": None}

    def _is_of(self, key: str, payment_id: str) -> bool:
        return bool(self.orders[key]["merchant_reference"] == payment_id)

    def _change(self, key: str, **changes: Any) -> None:
        now = self._now().isoformat()
        self.orders[key] = {"made": now, **self.orders[key], **changes, "changed": now}
        self.changes.append(key)


class Api:
    """The client that the page assumes: documents, None for a 404, and payd's errors."""

    def __init__(self, fake: FakeOrders, context: ProviderContext) -> None:
        self._fake = fake
        self._context = context

    async def get(self, path: str, **query: str) -> Any:
        return await self._send(lambda: self._read(path, query))

    async def post(self, path: str, body: Any, *, idempotency_key: str = "") -> Any:
        if path == "/orders":
            return await self._send(lambda: self._fake.create(body, idempotency_key))
        key = path.split("/")[2]
        return await self._send(lambda: self._fake.close(key) if key in self._fake.orders else None)

    def _read(self, path: str, query: Mapping[str, str]) -> Any:
        if path == "/orders":
            return self._fake.listed(query)
        key = path.rpartition("/")[2]
        if path == "/account":
            return {}
        return self._fake.shown(key) if key in self._fake.orders else None

    async def _send(self, act: Callable[[], Any]) -> Any:
        await trio.lowlevel.checkpoint()
        fake, fault = self._fake, self._fake.fault
        fake.requests += 1
        if fault is Fault.LOST_REQUEST:
            raise NotAttempted("no connection")
        if fault is Fault.HANG:
            await trio.sleep_forever()
        key_is_wrong = self._context.secrets["api_key"][0] != fake.api_key
        if fault is Fault.UNAUTHORIZED or key_is_wrong:
            raise Misconfigured("the key is refused")
        if fault is Fault.RATE_LIMITED:
            raise RateLimited(1.0)
        answer = act()
        if fault is not None:
            raise OutcomeUnknown(fault.value)
        return answer


class Orders:
    """The provider: every method is one of the page."""

    def __init__(self, api: Any, clock: Any) -> None:
        look: Any = example(PAGE, "fetch")
        listing: Any = example(PAGE, "objects")
        shown = look(api, clock)
        self.fetch, self.cancel, self.health = shown.fetch, shown.cancel, shown.health
        self.objects = listing(api).objects
        self.watch = PAGE.Polling(api, 0.05).watch
        self._api = api

    async def create(self, operation: CreateOperation) -> Created:
        body = {
            "merchant_reference": str(operation.payment_id),
            "amount": format_units(operation.amount.minor_units, 2),
            "currency": operation.amount.currency_code,
            "ends": operation.expire_time.isoformat(),
        }
        order = await self._api.post("/orders", body, idempotency_key=operation.operation_id)
        page = PAGE.Redirect(url=order["url"]) if order["status"] == "waiting" else None
        return Created(reference=order["id"], next_action=page)


class OrdersConfig(ProviderConfig):
    api_base: str


@asynccontextmanager
async def open_provider(context: ProviderContext, config: OrdersConfig) -> AsyncIterator[Provider]:
    await trio.lowlevel.checkpoint()
    yield Orders(Api(FAKES[config.api_base], context), context.clock)


MANIFEST = ProviderManifest(
    name="orders",
    version="1.0",
    sdk=">=1.3,<2",
    config_model=OrdersConfig,
    methods=lambda _config: (Method(key="orders", display_name="Orders", currencies=("EUR",)),),
    capabilities=Capabilities(
        idempotency_window=timedelta(hours=24),
        lookup=Lookup.INCLUDING_ABSENCE,
        cancel=Cancel.CLOSES,
    ),
    credentials=("api_key",),
    factory=open_provider,
)


@asynccontextmanager
async def open_remote(clock: BenchClock) -> AsyncIterator[Remote]:
    await trio.lowlevel.checkpoint()
    fake = FakeOrders(clock.now)
    FAKES[fake.url] = fake
    try:
        yield PAGE.OrdersRemote(fake)
    finally:
        del FAKES[fake.url]


def test_it_does_what_payd_relies_on() -> None:
    """The page's Remote scripts the usual members; what it leaves out is unproven."""
    verdicts = trio.run(run_checks, CHECKS, MANIFEST, open_remote)
    wrong = (Outcome.FAILED, Outcome.REMOTE_MISTAKE)
    assert not [one for one in verdicts if one.outcome in wrong]
    assert sum(one.outcome is Outcome.PASSED for one in verdicts) > 50
