"""Requests to the remote side. Every failure is raised as the error that payd acts upon."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx

from acme_provider.config import AcmeConfig
from payd.plugins import (
    Declined,
    IdempotencyConflict,
    InvalidRequest,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    RateLimited,
)

Json = Mapping[str, Any]

#: Seconds to wait after a 429 without a Retry-After header.
_RETRY_AFTER_S = 5.0


@asynccontextmanager
async def open_api(config: AcmeConfig, read_key: Callable[[], str]) -> AsyncIterator["AcmeApi"]:
    """Open a client until the end of the block. `read_key` is called for every request."""
    async with httpx.AsyncClient(
        base_url=config.api_base, timeout=config.request_timeout_s, verify=_tls()
    ) as client:
        yield AcmeApi(client, read_key)


@cache
def _tls() -> ssl.SSLContext:
    """The context of all clients of this process: reading the authorities takes 30 ms."""
    return httpx.create_ssl_context()


class AcmeApi:
    """The API's client; made by `open_api`."""

    def __init__(self, client: httpx.AsyncClient, read_key: Callable[[], str]) -> None:
        self._client = client
        self._read_key = read_key

    async def get(self, path: str, **query: str) -> Json | None:
        """GET a document; None for a 404."""
        return _read(await self._send("GET", path, params=query))

    async def post(self, path: str, body: Json, *, idempotency_key: str = "") -> Json | None:
        """POST a document and return the response's document; None for a 404."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return _read(await self._send("POST", path, json=dict(body), headers=headers))

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**more.pop("headers", {}), "Authorization": f"Bearer {self._read_key()}"}
        try:
            return await self._client.request(method, path, headers=headers, **more)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            # No connection, so nothing was sent.
            raise NotAttempted(f"{method} {path}: {type(error).__name__}") from error
        except httpx.HTTPError as error:
            # Sent at least in part, without a response: it may have been done.
            raise OutcomeUnknown(f"{method} {path}: {type(error).__name__}") from error


def _read(response: httpx.Response) -> Json | None:
    """Parse a response. Raises the error that corresponds to a refusal."""
    where, status = f"{response.request.method} {response.url.path}", response.status_code
    if status == 404:
        return None
    if status in (401, 403):
        raise Misconfigured(f"{where}: the API key is refused")
    if status == 429:
        raise RateLimited(_retry_after_s(response))
    if status == 409:
        raise IdempotencyConflict(f"{where}: the key was used with other parameters")
    if status >= 500:
        # A server that fails may have done the request before.
        raise OutcomeUnknown(f"{where}: {status}")
    document = _json(response, where)
    if status == 402:
        raise Declined(str(document["code"]), str(document["message"]))
    if status >= 400:
        raise InvalidRequest(str(document.get("field", "")), str(document.get("message", status)))
    return document


def _json(response: httpx.Response, where: str) -> Json:
    try:
        document = response.json()
    except ValueError as error:
        raise OutcomeUnknown(f"{where}: the response is not JSON") from error
    if not isinstance(document, dict):
        raise OutcomeUnknown(f"{where}: the response is not an object")
    return document


def _retry_after_s(response: httpx.Response) -> float:
    delay = response.headers.get("Retry-After", "")
    return float(delay) if delay.isascii() and delay.isdigit() else _RETRY_AFTER_S
