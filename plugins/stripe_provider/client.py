"""Stripe's SDK on trio: one client, a pace for each endpoint, and a name for every failure.

Its HTTPXClient sleeps through anyio and so runs on trio (stripe-python, _http_client.py).
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import attrs
import httpx
import stripe
import trio

from payd.plugins import (
    Declined,
    IdempotencyConflict,
    InvalidRequest,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    Pace,
    RateLimited,
)
from stripe_provider.config import StripeConfig

#: What our requests and answers are read by; moved with the SDK, never by an account's setting.
API_VERSION = "2026-10-28.endive"
_RETRY_PAUSE_S = 0.2
#: Where Stripe does not say how long to wait.
_RATE_LIMITED_S = 1.0
_CONNECT_TIMEOUT_S = 2.0
#: Whoever asks for more is not believed.
_QUIET_MAX_S = 60.0

Json = Mapping[str, Any]
#: Provably before the request left.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
#: What the SDK raises over an answer that is not Stripe's.
_UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
#: Stands for the field where a refusal names nothing of the request.
_NO_FIELD = "nothing"
#: A parameter of a session → the field of InitiatePaymentRequest that it comes from.
_FIELDS = {
    "line_items": "items",
    "success_url": "return_url",
    "cancel_url": "cancel_url",
}


@attrs.frozen(kw_only=True)
class Reply:
    """What Stripe answered, and when by its own clock."""

    body: Json
    #: Whole seconds.
    time: datetime


class StripeApi:
    """The endpoints that payd uses. Every failure is one of payd.plugins' errors."""

    def __init__(self, current: Callable[[], stripe.StripeClient], config: StripeConfig) -> None:
        """`current` gives the client whose key is in force."""
        self._current = current
        self._rate = config.requests_per_second
        self._paces: dict[str, Pace] = {}

    @property
    def _client(self) -> stripe.StripeClient:
        return self._current()

    async def create_session(self, parameters: Json, idempotency_key: str) -> Json:
        """Create it, or get the one that this key has created. May send twice."""
        sessions = self._client.v1.checkout.sessions

        async def send() -> Reply:
            options: Any = {"idempotency_key": idempotency_key}
            try:
                return await self._call(
                    "create", lambda: sessions.create_async(_any(parameters), options)
                )
            except InvalidRequest as error:
                if error.field != _NO_FIELD:
                    raise
                # The account may not do this.
                raise Misconfigured(f"Stripe refuses to create sessions: {error.message}") from None

        try:
            return (await send()).body
        except OutcomeUnknown:
            # The same key and parameters: it is the same request.
            await trio.sleep(_RETRY_PAUSE_S)
        try:
            return (await send()).body
        except (NotAttempted, RateLimited, Misconfigured) as error:
            raise OutcomeUnknown(f"after a first try without an answer: {error}") from error

    async def session(self, session_id: str) -> Reply | None:
        """How it stands, with its payment intent; None where Stripe does not know it."""
        params = {"expand": ["payment_intent"]}
        sessions = self._client.v1.checkout.sessions
        try:
            return await self._call(
                "retrieve", lambda: sessions.retrieve_async(session_id, _any(params))
            )
        except InvalidRequest as error:
            if error.field == "resource_missing":
                return None
            raise

    async def expire_session(self, session_id: str) -> Reply:
        """Close it. Raises InvalidRequest where it is no longer open."""
        sessions = self._client.v1.checkout.sessions
        return await self._call("expire", lambda: sessions.expire_async(session_id))

    async def sessions(self, **params: Any) -> Reply:
        """One page of sessions, the newest first, with their payment intents."""
        params |= {"limit": 100, "expand": ["data.payment_intent"]}
        sessions = self._client.v1.checkout.sessions
        return await self._call("list", lambda: sessions.list_async(_any(params)))

    async def events(self, **params: Any) -> Reply:
        """One page of events, the newest first."""
        params |= {"limit": 100}
        events = self._client.v1.events
        return await self._call("events", lambda: events.list_async(_any(params)))

    async def balance(self) -> None:
        """Returns when Stripe answers and takes the key."""
        await self._call("balance", self._client.v1.balance.retrieve_async)

    async def _call(self, endpoint: str, send: Callable[[], Awaitable[Any]]) -> Reply:
        pace = self._paces.get(endpoint)
        if pace is None:
            pace = self._paces[endpoint] = _pace(self._rate)
        await pace.turn()
        try:
            answer = (await send()).last_response
        except stripe.RateLimitError as error:
            wait_s = _seconds(error.headers) or _RATE_LIMITED_S
            pace.hold(wait_s)
            raise RateLimited(wait_s) from None
        except stripe.StripeError as error:
            _raise(error)
        except _UNREADABLE as error:
            raise OutcomeUnknown(f"an answer that cannot be read: {type(error).__name__}") from None
        if not isinstance(answer.data, Mapping):
            raise OutcomeUnknown("an answer that is no object")
        return Reply(body=answer.data, time=_time(answer.headers))


@asynccontextmanager
async def open_api(secret_key: Callable[[], str], config: StripeConfig) -> AsyncIterator[StripeApi]:
    """The API with the key in force, until the end of the block: a rotated one is used at once."""
    # It tells every request; payd counts and times them itself.
    logging.getLogger("stripe").setLevel(logging.ERROR)
    timeout = httpx.Timeout(config.request_timeout_s, connect=_CONNECT_TIMEOUT_S)
    http = stripe.HTTPXClient(timeout=timeout)
    clients: dict[str, stripe.StripeClient] = {}

    def current() -> stripe.StripeClient:
        key = secret_key()
        if key not in clients:
            clients.clear()
            clients[key] = stripe.StripeClient(
                key,
                http_client=http,
                stripe_version=API_VERSION,
                # Who sends again must know what was sent before: see create_session.
                max_network_retries=0,
                base_addresses={"api": config.api_base},
            )
        return clients[key]

    try:
        yield StripeApi(current, config)
    finally:
        with trio.CancelScope(shield=True):
            await http.close_async()  # type: ignore[no-untyped-call]  # the SDK's


def _pace(per_second: float) -> Pace:
    """At most `per_second` in any second, of which a fifth may leave at once."""
    burst = max(1, int(per_second / 5))
    return Pace(max(per_second - burst, per_second / 2), burst=burst)


def _any(params: Json) -> Any:
    """The SDK's types name every parameter of Stripe; ours are checked by Stripe itself."""
    return params


def _raise(error: stripe.StripeError) -> NoReturn:
    """Stripe's messages for a refused key quote it: they are left out."""
    match error:
        case stripe.APIConnectionError():
            if isinstance(error.__cause__, _UNSENT):
                raise NotAttempted(f"no connection: {type(error.__cause__).__name__}") from None
            raise OutcomeUnknown(f"no answer: {type(error.__cause__).__name__}") from None
        case stripe.AuthenticationError() | stripe.PermissionError():
            status = error.http_status
            raise Misconfigured(f"Stripe refuses stripe_secret_key ({status})") from None
        case stripe.IdempotencyError():
            raise IdempotencyConflict("other parameters under the same key") from None
        case stripe.CardError():
            raise Declined(error.code or "card_declined", "The card was declined.") from None
        case stripe.InvalidRequestError():
            raise InvalidRequest(_field(error), error.user_message or "refused") from None
    raise OutcomeUnknown(f"{type(error).__name__} ({error.http_status})") from None


def _field(error: stripe.InvalidRequestError) -> str:
    if error.code == "resource_missing":
        return error.code
    if (error.code or "").startswith("amount_"):
        return "items"
    param = (error.param or "").partition("[")[0]
    return _FIELDS.get(param, param or ("request" if error.code else _NO_FIELD))


def _time(headers: Mapping[str, str]) -> datetime:
    """Stripe's own clock, so that reports and looks can be put in order."""
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        raise OutcomeUnknown("an answer without its time") from None


def _seconds(headers: Mapping[str, str] | None) -> float | None:
    """How long to be quiet; None where that is not said, or is no such time."""
    try:
        seconds = float((headers or {})["retry-after"])
    except (KeyError, ValueError):
        return None
    return min(seconds, _QUIET_MAX_S) if seconds > 0 else None
