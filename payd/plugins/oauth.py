"""OAuth 2 client credentials (RFC 6749, 4.4) for a provider's httpx client, on trio."""

import math
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any
from urllib.parse import quote

import attrs
import httpx
import trio

from payd.plugins.errors import Misconfigured, NotAttempted, ProviderError, RateLimited

__all__ = ["ClientCredentials"]

#: Seconds before its end at which a token is replaced; less for a token that lives shortly.
_MARGIN_S = 30.0
_MARGIN_SHARE = 0.2
_RETRY_AFTER_S = 1.0
_RETRY_AFTER_MAX_S = 3600.0


@attrs.frozen
class _Token:
    """An access token, the credentials that it was requested with, and when to replace it."""

    text: str = attrs.field(repr=False)
    credentials: tuple[str, str] = attrs.field(repr=False)
    replace_at: float


class _Request:
    """A token request under way, and what came of it; neither when it was cancelled."""

    def __init__(self, credentials: tuple[str, str]) -> None:
        self.credentials = credentials
        self.done = trio.Event()
        self.error: ProviderError | None = None


class ClientCredentials(httpx.Auth):
    """Adds an access token to each request of an httpx client: set it as `client.auth`.

    The token is kept until shortly before it expires. Calls that need a new one at the same time
    share one token request and its outcome. When the API answers 401, the token is replaced once
    and the request sent once more; a second 401 is returned. Other credentials replace the token.

    A request raises, before anything of it was sent:
        Misconfigured: the token request is refused, or its answer is no bearer token.
        NotAttempted: the token request or its answer is lost, or the server has failed.
        RateLimited: too many token requests.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        token_url: str,
        read_credentials: Callable[[], tuple[str, str]],
        *,
        in_body: bool = False,
        parameters: Mapping[str, str] | None = None,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        """Request tokens at `token_url` with `client`.

        `read_credentials` returns client id and secret, and is called for every request: read
        `context.secrets` in it. They are sent as HTTP Basic, or with `in_body` as form fields.
        `parameters` are further form fields, such as scope or audience. `now` is a clock in
        seconds.
        """
        self._client = client
        self._token_url = token_url
        self._read_credentials = read_credentials
        self._in_body = in_body
        self._parameters = parameters or {}
        self._now = now
        self._token: _Token | None = None
        self._request: _Request | None = None

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request with a token; after a 401 once more with a new one. httpx calls it."""
        # A body that is a stream could not be sent twice.
        await request.aread()
        token = await self._current(refused=None)
        request.headers["Authorization"] = f"Bearer {token.text}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            token = await self._current(refused=token)
            request.headers["Authorization"] = f"Bearer {token.text}"
            yield request

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Refuse a client that blocks: it would hold up the event loop."""
        raise TypeError("ClientCredentials needs httpx.AsyncClient")

    async def _current(self, refused: _Token | None) -> _Token:
        """Return a token that is not `refused`, if necessary after requesting it."""
        while True:
            credentials = self._read_credentials()
            token = self._token
            if (
                token is not None
                and token is not refused
                and token.credentials == credentials
                and self._now() < token.replace_at
            ):
                return token
            under_way = self._request
            if under_way is None or under_way.credentials != credentials:
                return await self._replace(credentials)
            await under_way.done.wait()
            if under_way.error is not None:
                raise under_way.error

    async def _replace(self, credentials: tuple[str, str]) -> _Token:
        """Request a token, for this call and for those that wait."""
        self._request = request = _Request(credentials)
        try:
            token = self._token = await self._fetch(credentials)
        except ProviderError as error:
            request.error = error
            raise
        finally:
            # Cancelled: one of those that wait sends the next request.
            request.done.set()
            if self._request is request:
                self._request = None
        return token

    async def _fetch(self, credentials: tuple[str, str]) -> _Token:
        began = self._now()
        client_id, secret = credentials
        form = {"grant_type": "client_credentials", **self._parameters}
        # Not the client's own, which is this one.
        auth = httpx.Auth()
        if self._in_body:
            form |= {"client_id": client_id, "client_secret": secret}
        else:
            # RFC 6749, 2.3.1: each is encoded before they are joined.
            auth = httpx.BasicAuth(quote(client_id, safe=""), quote(secret, safe=""))
        headers = {"Accept": "application/json"}
        try:
            response = await self._client.post(
                self._token_url, data=form, headers=headers, auth=auth, follow_redirects=False
            )
        except httpx.HTTPError as error:
            raise NotAttempted(f"token request: {type(error).__name__}") from error
        document = _read(response)
        lifetime_s = _lifetime_s(document.get("expires_in"))
        margin_s = min(_MARGIN_S, lifetime_s * _MARGIN_SHARE)
        return _Token(str(document["access_token"]), credentials, began + lifetime_s - margin_s)


def _read(response: httpx.Response) -> Mapping[str, Any]:
    """Return the document of a token. Raises the error that corresponds to anything else."""
    status = response.status_code
    try:
        document = response.json()
    except ValueError:
        document = None
    fields: Mapping[str, Any] = document if isinstance(document, dict) else {}
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise RateLimited(_retry_after_s(response))
    if status >= 500:
        raise NotAttempted(f"token request: {status}")
    if status != httpx.codes.OK:
        # The code is one of RFC 6749's, such as invalid_client; other text may be anything.
        why = fields.get("error", "")
        raise Misconfigured(f"token request refused: {status} {str(why)[:100]}".rstrip())
    if not fields.get("access_token") or not isinstance(fields["access_token"], str):
        raise NotAttempted("token request: the answer has no access token")
    if str(fields.get("token_type", "bearer")).lower() != "bearer":
        raise Misconfigured("token request: the answer is no bearer token")
    return fields


def _lifetime_s(expires_in: object) -> float:
    """Seconds that a token lives. It is optional: a token without it is used until a 401."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float | str):
        return math.inf
    try:
        return max(0.0, float(expires_in))
    except ValueError:
        return math.inf


def _retry_after_s(response: httpx.Response) -> float:
    delay = response.headers.get("Retry-After", "")
    if not (delay.isascii() and delay.isdigit()):
        return _RETRY_AFTER_S
    return min(float(delay), _RETRY_AFTER_MAX_S)
