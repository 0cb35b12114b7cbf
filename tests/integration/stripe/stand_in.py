"""A running stand-in for Stripe, the real SDK as its caller, and a receiver of its webhooks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx
import stripe
import trio
from stripe_provider.companion.app import StandIn, open_stand_in
from support.plain_http import NO_TLS

from payd.transport.http.serve import serve_app

KEY = "sk_test_x"
SECRET = "whsec_x"
HOST = "127.0.0.1"
#: The SDK's client for httpx passes a body in a way that httpx would have otherwise.
SDK_WARNING = "ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"


@attrs.frozen
class Received:
    """One webhook."""

    body: bytes
    signature: str

    @property
    def event(self) -> dict[str, Any]:
        """What it says."""
        return dict(stripe.Webhook.construct_event(self.body, self.signature, SECRET).to_dict())


@attrs.define
class Receiver:
    """Takes webhooks; refuses the next few on demand."""

    received: list[Received] = attrs.Factory(list)
    refusals: int = 0
    arrived: trio.Event = attrs.Factory(trio.Event)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        headers = dict(scope["headers"])
        self.received.append(Received(body, headers[b"stripe-signature"].decode()))
        self.arrived.set()
        self.arrived = trio.Event()
        status = 200
        if self.refusals:
            self.refusals -= 1
            status = 500
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def until(self, count: int) -> list[dict[str, Any]]:
        """The events, once so many webhooks have come."""
        with trio.fail_after(30):
            while len(self.received) < count:
                await self.arrived.wait()
        return [one.event for one in self.received]

    def types(self) -> list[str]:
        return [one.event["type"] for one in self.received]


@attrs.frozen(kw_only=True)
class Rig:
    """Everything that a test talks to."""

    stand_in: StandIn
    client: stripe.StripeClient
    #: For the hosted page and the control API.
    http: httpx.AsyncClient
    receiver: Receiver

    @property
    def sessions(self) -> Any:
        return self.client.v1.checkout.sessions

    async def create(self, *, key: str | None = None, **changes: Any) -> Any:
        """A session of 20 dollars."""
        options = {"idempotency_key": key} if key else {}
        return await self.sessions.create_async(params(**changes), options)

    async def order(self, path: str, /, **body: Any) -> dict[str, Any]:
        """Of the control API."""
        response = await self.http.post(f"/_control/{path}", json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def ask(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.http.get(f"/_control/{path}")).json()
        return answer

    async def act(self, session: Any, deed: str, **body: Any) -> dict[str, Any]:
        """As the customer, the bank or time."""
        return await self.order(f"sessions/{session.id}/{deed}", **body)

    async def fault(self, kind: str, path: str = "/v1/checkout/sessions", **more: Any) -> None:
        await self.order("faults", method=more.pop("method", "POST"), path=path, kind=kind, **more)

    async def now(self) -> int:
        return int((await self.order("clock"))["now"])


def params(**changes: Any) -> dict[str, Any]:
    """Of a session of 20 dollars; None leaves a parameter out."""
    product = {"name": "Top-up", "description": "Two of <them>"}
    price = {"currency": "usd", "unit_amount": 1000, "product_data": product}
    wanted = {
        "mode": "payment",
        "line_items": [{"price_data": price, "quantity": 2}],
        "success_url": "https://shop.example/done?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://shop.example/back",
        "client_reference_id": "pay_1",
        "metadata": {"payment_id": "pay_1"},
        "payment_intent_data": {"metadata": {"payment_id": "pay_1"}, "description": "Top-up"},
        "allowed_payment_method_types": ["card"],
        "adaptive_pricing": {"enabled": False},
        **changes,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def amount(unit_amount: Any, currency: str = "usd") -> list[dict[str, Any]]:
    """Line items that come to so much."""
    product = {"name": "Top-up"}
    price = {"currency": currency, "unit_amount": unit_amount, "product_data": product}
    return [{"price_data": price, "quantity": 1}]


@asynccontextmanager
async def open_rig(*, state_file: Path | None = None, listen: bool = True) -> AsyncIterator[Rig]:
    """Running; without a state file it forgets everything."""
    receiver = Receiver()
    async with trio.open_nursery() as nursery:
        serve: Callable[..., Awaitable[None]] = partial(serve_app, receiver.app)
        port = await nursery.start(serve, HOST, 0, trio.Event())
        start = partial(
            open_stand_in, HOST, 0, secret_key=KEY, webhook_secret=SECRET, state_file=state_file
        )
        stand_in: StandIn = await nursery.start(start)
        if listen:
            stand_in.webhook_url = f"http://{HOST}:{port}/hook"
        transport = stripe.HTTPXClient(timeout=5)
        client = stripe.StripeClient(
            KEY,
            http_client=transport,
            base_addresses={"api": stand_in.url},
            max_network_retries=0,
        )
        async with httpx.AsyncClient(verify=NO_TLS, base_url=stand_in.url) as http:
            yield Rig(stand_in=stand_in, client=client, http=http, receiver=receiver)
        await transport.close_async()
        nursery.cancel_scope.cancel()
