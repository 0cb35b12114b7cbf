"""Sign and send events as webhooks; retry while refused, hold or drop them on demand."""

import hashlib
import hmac
import json
import math
import random
import ssl
from collections import deque
from collections.abc import Sequence
from functools import cache

import attrs
import httpx
import trio

from stripe_provider.companion.objects import API_VERSION, EVENT, Json
from stripe_provider.companion.state import State

MODES = ("deliver", "hold", "drop")
#: The event types that the endpoint has subscribed to; others are only listed.
SENT = frozenset(
    (
        "charge.dispute.closed",
        "charge.dispute.created",
        "charge.dispute.funds_reinstated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.refund.updated",
        "charge.refunded",
        "checkout.session.async_payment_failed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.completed",
        "checkout.session.expired",
        "payment_intent.succeeded",
        "refund.created",
        "refund.failed",
        "refund.updated",
    )
)
_ATTEMPTS = 20
_BACK_OFF_S = (1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_TIMEOUT_S = 10.0


@attrs.define(kw_only=True)
class Endpoint:
    """Where events are sent, and with which faults."""

    #: None sends nothing.
    url: str | None = None
    #: Two while a secret is rotated.
    secrets: Sequence[str] = ()
    mode: str = "deliver"
    #: Extra deliveries of each event.
    duplicates: int = 0
    delay_s: float = 0.0
    #: The API version of the events.
    api_version: str = API_VERSION


@attrs.frozen(kw_only=True)
class Attempt:
    """One attempt to deliver an event."""

    event: str
    type: str
    url: str
    #: None without a response.
    status: int | None


def signature(body: bytes, secrets: Sequence[str], now: int) -> str:
    """Return the value of the `Stripe-Signature` header."""
    signed = f"{now}.".encode() + body
    made = [hmac.new(s.encode(), signed, hashlib.sha256).hexdigest() for s in secrets]
    # Test mode adds a second scheme, which receivers must ignore.
    worthless = hashlib.sha256(signed).hexdigest()
    return ",".join([f"t={now}", *(f"v1={one}" for one in made), f"v0={worthless}"])


@cache
def _tls() -> ssl.SSLContext:
    """The context of all stand-ins of this process: reading the authorities takes 30 ms."""
    return httpx.create_ssl_context(trust_env=False)


class Webhooks:
    """Deliveries to one endpoint."""

    def __init__(self, state: State, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.attempts: deque[Attempt] = deque(maxlen=10_000)
        self._state = state
        self._offered, self._to_send = trio.open_memory_channel[str](math.inf)
        self._nursery: trio.Nursery | None = None
        self._client: httpx.AsyncClient | None = None

    def pending(self, event_type: str) -> int:
        """Return how many endpoints receive events of this type."""
        return int(self.endpoint.url is not None and event_type in SENT)

    def offer(self, event_id: str) -> None:
        """Queue a new event, in the transaction that created it."""
        if self.endpoint.mode == "drop":
            return
        held = self.endpoint.mode == "hold"
        self._state.expect_delivery(event_id, held=held)
        if not held:
            self._offered.send_nowait(event_id)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Send queued events, beginning with those of an earlier run."""
        for event_id in self._state.deliveries(held=False):
            self._offered.send_nowait(event_id)
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, verify=_tls()) as self._client,
            trio.open_nursery() as self._nursery,
        ):
            task_status.started()
            seen = set[str]()
            async for event_id in self._to_send:
                # An event queued before the start is also among the stored ones.
                if event_id not in seen:
                    seen.add(event_id)
                    for _ in range(1 + self.endpoint.duplicates):
                        self._nursery.start_soon(self._deliver, event_id)

    def held(self) -> list[Json]:
        """Return the held events."""
        found = (self._state.find(EVENT, name) for name in self._state.deliveries(held=True))
        return [event for event in found if event is not None]

    async def release(
        self, order: Sequence[str] | None, shuffle_seed: int | None, duplicates: int
    ) -> list[Attempt]:
        """Send held events, one after the other; refused ones are retried later."""
        held = self._state.deliveries(held=True)
        chosen = [name for name in order if name in held] if order is not None else held
        chosen = chosen * (1 + duplicates)
        if shuffle_seed is not None:
            random.Random(shuffle_seed).shuffle(chosen)  # noqa: S311 - repeatable on purpose
        for name in chosen:
            self._state.expect_delivery(name, held=False)
        made = []
        for name in chosen:
            attempt, delivered = await self._attempt(name)
            made.append(attempt)
            if not delivered and self._nursery is not None:
                self._nursery.start_soon(self._deliver_again, name)
        return made

    async def _deliver(self, event_id: str) -> None:
        await trio.sleep(self.endpoint.delay_s)
        if self.endpoint.mode == "hold":
            self._state.expect_delivery(event_id, held=True)
        elif self.endpoint.mode == "drop":
            self._state.end_delivery(event_id, delivered=False)
        else:
            _, delivered = await self._attempt(event_id)
            if not delivered:
                await self._deliver_again(event_id)

    async def _deliver_again(self, event_id: str) -> None:
        for number in range(1, _ATTEMPTS):
            await trio.sleep(_BACK_OFF_S[min(number, len(_BACK_OFF_S)) - 1])
            if self.endpoint.mode == "drop" or not self._is_pending(event_id):
                break
            _, delivered = await self._attempt(event_id)
            if delivered:
                return
        self._state.end_delivery(event_id, delivered=False)

    def _is_pending(self, event_id: str) -> bool:
        event = self._state.find(EVENT, event_id)
        return event is not None and event["pending_webhooks"] > 0

    async def _attempt(self, event_id: str) -> tuple[Attempt, bool]:
        event = self._state.find(EVENT, event_id) or {"type": ""}
        url = self.endpoint.url or ""
        # A deliberate duplicate of a delivered event looks the same.
        body = json.dumps({**event, "pending_webhooks": 1}, indent=2).encode()
        status = await self._send(url, body) if url and event["type"] else None
        attempt = Attempt(event=event_id, type=event["type"], url=url, status=status)
        self.attempts.append(attempt)
        delivered = status is not None and 200 <= status < 300
        if delivered:
            self._state.end_delivery(event_id, delivered=True)
        return attempt, delivered

    async def _send(self, url: str, body: bytes) -> int | None:
        if self._client is None:
            return None
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            # Not the stand-in's own time: the receiver compares it with its clock.
            "Stripe-Signature": signature(body, self.endpoint.secrets, int(self._state.wall())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        try:
            response = await self._client.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        return response.status_code
