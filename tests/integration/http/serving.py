"""The HTTP server on a free port, with real sockets, scripted readiness and methods."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, cast

import attrs
import httpx
import trio
from support.memory import MemoryStore
from support.page_server import PreparedPayments, some_pages
from support.plain_http import NO_TLS

from payd.adapters.system import SystemClock
from payd.domain.errors import PaydError
from payd.plugins.interface import CryptoCurrency, Method, WebhookRequest
from payd.ports import PriceSource
from payd.ports.provider import ProviderPort, Registered
from payd.service.intake import Accepted, Intake
from payd.service.query import Query
from payd.transport.http.app import Check, Readiness, build_app
from payd.transport.http.pages.routes import Pages
from payd.transport.http.serve import serve_app
from payd.transport.http.webhooks import Webhooks
from payd.transport.page_links import PageLinks

HOST = "127.0.0.1"
MAX_BODY_BYTES = 256 * 1024
NO_LINKS = PageLinks(public_url="", keys=tuple)


@attrs.frozen
class NamedProvider:
    """The part of a provider that the server shows."""

    name: str


class Methods:
    """The enabled methods."""

    def __init__(self) -> None:
        usdc = CryptoCurrency(code="USDC", chain_id=42431, token_address="0x20c0", decimals=6)
        card = Method(key="card", display_name="Card", currencies=("USD", "EUR"))
        crypto = Method(
            key="crypto", display_name="Stablecoin", currencies=("USD",), crypto_currencies=(usdc,)
        )
        self._registered = [_registered(card, "stripe"), _registered(crypto, "tempo")]

    def by_method(self, method: str) -> Registered | None:
        return next((r for r in self._registered if r.method.key == method), None)

    def by_name(self, provider: str) -> ProviderPort | None:
        return next((r.provider for r in self._registered if r.provider.name == provider), None)

    def registered(self) -> list[Registered]:
        return self._registered


def _registered(method: Method, provider: str) -> Registered:
    return Registered(method=method, provider=cast(ProviderPort, NamedProvider(provider)))


class ScriptedIntake:
    """Accepts webhooks, or raises the error that a test has set."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, WebhookRequest]] = []
        self.error: PaydError | None = None

    async def accept_webhook(
        self, provider: str, request: WebhookRequest, traceparent: str = ""
    ) -> Accepted:
        """Keep the webhook, one event for each line of its body; they are new if the body is."""
        if self.error is not None:
            raise self.error
        is_new = all(known.body != request.body for _, known in self.taken)
        self.taken.append((provider, request))
        events = len(request.body.splitlines())
        return Accepted(events=events, new=events if is_new else 0)


@attrs.define
class RunningServer:
    """The server, and the objects behind it."""

    url: str
    port: int
    app: Any
    client: httpx.AsyncClient
    #: The checks that /readyz reports.
    checks: dict[str, Check]
    #: Whether a dependency hangs.
    hangs: bool
    #: Route and status of each answer.
    answered: list[tuple[str, int]]
    #: Set it to stop the server.
    stop: trio.Event
    #: Accepts webhooks; and the provider and outcome of each.
    intake: "ScriptedIntake"
    webhooks: list[tuple[str, str]]
    #: Provider, outcome and number of the events in them.
    events: list[tuple[str, str, int]]
    #: The payment pages, none of which exists here.
    pages: Pages


@asynccontextmanager
async def serving(app: Any, port: int = 0, stop: trio.Event | None = None) -> AsyncIterator[int]:
    """Run `app` until the end of the block; yield its port."""
    async with trio.open_nursery() as nursery:
        start: Callable[..., Awaitable[None]] = partial(serve_app, app)
        yield await nursery.start(start, HOST, port, trio.Event() if stop is None else stop)
        nursery.cancel_scope.cancel()


def _a_query() -> Query:
    clock = SystemClock()
    return Query(
        store=MemoryStore(clock, "test"),
        providers=Methods(),
        prices=cast(PriceSource, None),
        clock=clock,
        quote_ttl=timedelta(minutes=5),
        quote_keys=tuple,
    )


@asynccontextmanager
async def run_server() -> AsyncIterator[RunningServer]:
    """Run the server with every dependency ready."""
    running = RunningServer(
        url="",
        port=0,
        app=None,
        client=httpx.AsyncClient(verify=NO_TLS),
        checks={"database": Check(ok=True), "nats": Check(ok=True)},
        hangs=False,
        answered=[],
        stop=trio.Event(),
        intake=ScriptedIntake(),
        webhooks=[],
        events=[],
        pages=some_pages(PreparedPayments({}), NO_LINKS),
    )

    async def readiness() -> Readiness:
        if running.hangs:
            await trio.sleep_forever()
        return Readiness(checks=running.checks)

    running.app = build_app(
        _a_query(),
        Webhooks(
            intake=cast(Intake, running.intake),
            on_webhook=lambda provider, outcome: running.webhooks.append((provider, outcome)),
            on_events=lambda *counted: running.events.append(counted),
        ),
        running.pages,
        readiness,
        lambda route, status, seconds: running.answered.append((route, status)),
        MAX_BODY_BYTES,
    )

    @running.app.post("/echo")
    async def echo() -> bytes:
        from quart import request

        body: Any = await request.get_data()
        return bytes(body)

    @running.app.get("/broken")
    async def broken() -> bytes:
        raise ZeroDivisionError("boom at the till")

    async with serving(running.app, stop=running.stop) as running.port:
        running.url = f"http://{HOST}:{running.port}"
        async with httpx.AsyncClient(
            verify=NO_TLS, base_url=running.url, timeout=15
        ) as running.client:
            yield running
