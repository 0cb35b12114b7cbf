"""Stripe's SDK on trio: one client, a rate limit per endpoint, and an error for every failure.

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
    ProviderError,
    RateLimited,
)
from stripe_provider.config import StripeConfig

#: Stripe API version of requests and responses. Change it with the SDK, not with the account.
API_VERSION = "2026-10-28.endive"
_RETRY_PAUSE_S = 0.2
#: Seconds to wait after a 429 without a Retry-After header.
_RATE_LIMITED_S = 1.0
_CONNECT_TIMEOUT_S = 2.0
#: Longest accepted retry delay in seconds.
_QUIET_MAX_S = 60.0

#: What a look at a payment needs besides its session.
_CHARGE = (
    "payment_intent.latest_charge.balance_transaction",
    "payment_intent.latest_charge.refunds",
)

Json = Mapping[str, Any]
#: Exceptions raised before any byte of the request was sent.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
#: What the SDK raises for a response that is not from Stripe.
_UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
#: Field of an InvalidRequest for a refusal that names no parameter.
_NO_FIELD = "nothing"
#: A parameter of a session that comes from payd's clock.
_EXPIRY = "expires_at"
#: A parameter of a session → the field of InitiatePaymentRequest that it comes from.
_FIELDS = {
    "line_items": "items",
    "success_url": "return_url",
    "cancel_url": "cancel_url",
}


@attrs.frozen(kw_only=True)
class Reply:
    """A response of Stripe with the time of Stripe's clock."""

    body: Json
    #: In whole seconds.
    time: datetime


class StripeApi:
    """The endpoints that payd uses. Every failure is raised as an error of payd.plugins."""

    def __init__(self, current: Callable[[], stripe.StripeClient], config: StripeConfig) -> None:
        """`current` returns the client with the current key."""
        self._current = current
        self._rate = config.requests_per_second
        self._paces: dict[str, Pace] = {}

    @property
    def _client(self) -> stripe.StripeClient:
        return self._current()

    async def create_session(self, parameters: Json, idempotency_key: str) -> Json:
        """Create a session, or get the one created with this idempotency key. May send twice."""
        sessions = self._client.v1.checkout.sessions

        async def send() -> Reply:
            options: Any = {"idempotency_key": idempotency_key}
            try:
                return await self._call(
                    "create", lambda: sessions.create_async(_any(parameters), options)
                )
            except InvalidRequest as error:
                if error.field == _EXPIRY:
                    # payd computes it: the caller cannot mend it, and a retry after a while may.
                    raise NotAttempted(
                        f"Stripe refuses when the session would expire ({error.message}):"
                        " compare this host's clock with another one"
                    ) from None
                if error.field != _NO_FIELD:
                    raise
                # The account lacks a permission.
                raise Misconfigured(f"Stripe refuses to create sessions: {error.message}") from None

        return (await _twice(send)).body

    async def session(self, session_id: str) -> Reply | None:
        """Get a session with its payment intent, charge, fee and newest refunds.

        None if Stripe does not know it. A restricted key that may not read charges gets the session
        with its payment intent: a payment must not wait for a permission that only refunds need.
        """
        sessions = self._client.v1.checkout.sessions

        async def get(*expand: str) -> Reply | None:
            params = {"expand": list(expand)}
            return await self._get(
                "retrieve", lambda: sessions.retrieve_async(session_id, _any(params))
            )

        try:
            return await get(*_CHARGE)
        except (Misconfigured, InvalidRequest):
            return await get("payment_intent")

    async def expire_session(self, session_id: str) -> Reply:
        """Close a session. Raises InvalidRequest if it is no longer open."""
        sessions = self._client.v1.checkout.sessions
        return await self._call("expire", lambda: sessions.expire_async(session_id))

    async def sessions(self, **params: Any) -> Reply:
        """List a page of sessions with their payment intents, newest first."""
        params |= {"limit": 100, "expand": ["data.payment_intent"]}
        sessions = self._client.v1.checkout.sessions
        return await self._call("list", lambda: sessions.list_async(_any(params)))

    async def create_refund(self, parameters: Json, idempotency_key: str) -> Json:
        """Refund, or get the refund made with this idempotency key. May send twice."""
        refunds = self._client.v1.refunds

        async def send() -> Reply:
            options: Any = {"idempotency_key": idempotency_key}
            return await self._call(
                "refund",
                lambda: refunds.create_async(_any(parameters), options),
                refused=_refund_refused,
            )

        return (await _twice(send)).body

    async def refund(self, refund_id: str) -> Json | None:
        """Get a refund; None if Stripe does not know it."""
        refunds = self._client.v1.refunds
        reply = await self._get("get_refund", lambda: refunds.retrieve_async(refund_id))
        return None if reply is None else reply.body

    async def refunds(self, **params: Any) -> Reply:
        """List a page of refunds, newest first."""
        params |= {"limit": 100}
        refunds = self._client.v1.refunds
        return await self._call("refunds", lambda: refunds.list_async(_any(params)))

    async def disputes(self, **params: Any) -> Reply:
        """List a page of disputes, newest first."""
        params |= {"limit": 100}
        disputes = self._client.v1.disputes
        return await self._call("disputes", lambda: disputes.list_async(_any(params)))

    async def events(self, **params: Any) -> Reply:
        """List a page of events, newest first."""
        params |= {"limit": 100}
        events = self._client.v1.events
        return await self._call("events", lambda: events.list_async(_any(params)))

    async def balance(self) -> None:
        """Check that Stripe responds and accepts the key."""
        await self._call("balance", self._client.v1.balance.retrieve_async)

    async def _get(self, endpoint: str, send: Callable[[], Awaitable[Any]]) -> Reply | None:
        """Get one object; None if Stripe does not know it."""
        try:
            return await self._call(endpoint, send)
        except InvalidRequest as error:
            if error.field == "resource_missing":
                return None
            raise

    async def _call(
        self,
        endpoint: str,
        send: Callable[[], Awaitable[Any]],
        refused: Callable[[stripe.InvalidRequestError], ProviderError] | None = None,
    ) -> Reply:
        """Send a request. `refused` converts the error of a request that Stripe refuses."""
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
            if refused is not None and isinstance(error, stripe.InvalidRequestError):
                raise refused(error) from None
            _raise(error)
        except _UNREADABLE as error:
            raise OutcomeUnknown(f"unreadable response: {type(error).__name__}") from None
        if not isinstance(answer.data, Mapping):
            raise OutcomeUnknown("unreadable response: not an object")
        return Reply(body=answer.data, time=_time(answer.headers))


@asynccontextmanager
async def open_api(secret_key: Callable[[], str], config: StripeConfig) -> AsyncIterator[StripeApi]:
    """Open the API until the end of the block. A rotated key is used from the next request on."""
    # The SDK logs every request; payd counts and times requests itself.
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
                # No retries by the SDK: create_session must know what was sent before.
                max_network_retries=0,
                base_addresses={"api": config.api_base},
            )
        return clients[key]

    try:
        yield StripeApi(current, config)
    finally:
        with trio.CancelScope(shield=True):
            await http.close_async()  # type: ignore[no-untyped-call]  # the SDK's


async def _twice(send: Callable[[], Awaitable[Reply]]) -> Reply:
    """Send again after a lost response: with the same key and parameters it is the same request."""
    try:
        return await send()
    except OutcomeUnknown:
        await trio.sleep(_RETRY_PAUSE_S)
    try:
        return await send()
    except (NotAttempted, RateLimited, Misconfigured) as error:
        raise OutcomeUnknown(f"retry after a lost response failed: {error}") from error


def _pace(per_second: float) -> Pace:
    """Build a rate limit of `per_second` with bursts of a fifth of it."""
    burst = max(1, int(per_second / 5))
    return Pace(max(per_second - burst, per_second / 2), burst=burst)


def _any(params: Json) -> Any:
    """Cast parameters to the SDK's types, which list every parameter; Stripe checks ours."""
    return params


def _raise(error: stripe.StripeError) -> NoReturn:
    """Convert an SDK error. Stripe's messages for a refused key quote the key, so drop them."""
    match error:
        case stripe.APIConnectionError():
            if isinstance(error.__cause__, _UNSENT):
                raise NotAttempted(
                    f"no connection to Stripe: {type(error.__cause__).__name__}"
                ) from None
            raise OutcomeUnknown(f"no response: {type(error.__cause__).__name__}") from None
        case stripe.AuthenticationError() | stripe.PermissionError():
            status = error.http_status
            raise Misconfigured(f"Stripe refuses stripe_secret_key ({status})") from None
        case stripe.IdempotencyError():
            raise IdempotencyConflict(
                "the idempotency key was used with other parameters"
            ) from None
        case stripe.CardError():
            raise Declined(error.code or "card_declined", "The card was declined.") from None
        case stripe.InvalidRequestError():
            raise InvalidRequest(_field(error), error.user_message or "refused") from None
    raise OutcomeUnknown(f"{type(error).__name__} ({error.http_status})") from None


def _refund_refused(error: stripe.InvalidRequestError) -> ProviderError:
    """Stripe refuses a refund for good; more than what is left comes without a code."""
    code = error.code or ("amount_too_large" if error.param == "amount" else "refused")
    return Declined(code, error.user_message or "Stripe refused the refund.")


def _field(error: stripe.InvalidRequestError) -> str:
    if error.code == "resource_missing":
        return error.code
    if (error.code or "").startswith("amount_"):
        return "items"
    param = (error.param or "").partition("[")[0]
    return _FIELDS.get(param, param or ("request" if error.code else _NO_FIELD))


def _time(headers: Mapping[str, str]) -> datetime:
    """Read the time of Stripe's clock, so that responses and events can be ordered."""
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        raise OutcomeUnknown("unreadable response: no valid Date header") from None


def _seconds(headers: Mapping[str, str] | None) -> float | None:
    """Read Retry-After in seconds; None if it is missing or invalid."""
    try:
        seconds = float((headers or {})["retry-after"])
    except (KeyError, ValueError):
        return None
    return min(seconds, _QUIET_MAX_S) if seconds > 0 else None
