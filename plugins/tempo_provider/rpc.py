"""JSON-RPC over httpx on trio: one endpoint, an error for each failure, and an adapter for web3."""

import json
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio
from web3 import AsyncWeb3
from web3.providers.async_base import AsyncBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from payd.plugins import Clock
from tempo_provider.ranges import is_too_large, is_too_often, suggested_length

#: Maximum bytes of a response; a longer one is not read to its end.
BODY_BYTES_MAX = 32 * 1024 * 1024
#: Maximum number of requests in a JSON-RPC batch.
BATCH_MAX = 100
#: Seconds of pause after a refusal without a delay.
REST_S = 10.0
REST_MAX_S = 300.0
#: JSON-RPC error codes for a rate limit: EIP-1474's "limit exceeded", and the HTTP status 429.
_RATE_LIMITED = (-32005, 429)

Call = tuple[str, Sequence[Any]]


class RpcError(Exception):
    """A request to an endpoint failed. The message names the endpoint without its secrets."""


class Unavailable(RpcError):
    """The endpoint is unreachable, too slow, overloaded or paused."""


class Unreadable(RpcError):
    """The endpoint sent an invalid or inconsistent response."""


class RangeTooLarge(RpcError):
    """The endpoint refuses so many blocks; fewer would succeed."""

    def __init__(self, message: str, suggestion: int | None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


class Refused(RpcError):
    """The endpoint returned a JSON-RPC error."""


class Endpoint:
    """One JSON-RPC server. After a 429 or 402 it is paused for as long as it asks."""

    def __init__(self, url: str, http: httpx.AsyncClient, clock: Clock, timeout_s: float) -> None:
        self._url = url
        self._http = http
        self._clock = clock
        #: Seconds from the request to the last byte of the response.
        self._timeout_s = timeout_s
        self._rests_until = 0.0
        parts = urlsplit(url)
        #: Host and port: the rest of a URL may contain a key.
        self.name = parts.netloc.rpartition("@")[2]

    @property
    def is_resting(self) -> bool:
        """Whether the endpoint is paused after a rate limit."""
        return trio.current_time() < self._rests_until

    async def call(self, method: str, *params: Any) -> Any:
        """Make one request and return its result. Raises RpcError."""
        (result,) = await self.batch([(method, params)])
        return result

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Make several requests; return results in order. Raises RpcError if any failed."""
        results: list[Any] = []
        for start in range(0, len(calls), BATCH_MAX):
            results += await self._batch(calls[start : start + BATCH_MAX])
        return results

    async def _batch(self, calls: Sequence[Call]) -> list[Any]:
        requests = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in enumerate(calls, start=1)
        ]
        # Send a single request without a list: some servers do not support batches.
        is_single = len(requests) == 1
        answer = await self._post(requests[0] if is_single else requests)
        answers = [answer] if is_single or isinstance(answer, dict) else answer
        return self._results(answers, len(requests))

    def _results(self, answers: Any, wanted: int) -> list[Any]:
        if not isinstance(answers, list) or not all(isinstance(one, dict) for one in answers):
            raise Unreadable(f"{self.name}: not a JSON-RPC response")
        for one in answers:
            if one.get("error") is not None:
                raise self._refusal(one["error"])
        by_id = {one["id"]: one for one in answers if isinstance(one.get("id"), int)}
        if set(by_id) != set(range(1, wanted + 1)):
            raise Unreadable(f"{self.name}: response ids do not match the requests")
        return [by_id[number].get("result") for number in range(1, wanted + 1)]

    def _refusal(self, error: Any) -> RpcError:
        code, message = (
            (error.get("code"), error.get("message")) if isinstance(error, dict) else (0, error)
        )
        text = f"{self.name}: {message!s:.300}"
        if is_too_large(str(message)):
            return RangeTooLarge(text, suggested_length(str(message)))
        if code in _RATE_LIMITED or is_too_often(str(message)):
            self._rests_until = trio.current_time() + REST_S
            return Unavailable(text)
        return Refused(text)

    async def _post(self, document: object) -> Any:
        if self.is_resting:
            raise Unavailable(f"{self.name}: paused after a rate limit")
        try:
            with trio.fail_after(self._timeout_s):
                async with self._http.stream("POST", self._url, json=document) as response:
                    self._check(response)
                    body = await self._read(response)
        except httpx.HTTPError as error:
            # The text of some exceptions contains the URL.
            raise Unavailable(f"{self.name}: {type(error).__name__}") from None
        except trio.TooSlowError:
            raise Unavailable(f"{self.name}: no response in {self._timeout_s:g} s") from None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise Unreadable(f"{self.name}: not JSON") from None

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (402, 429):
            rest_s = min(REST_MAX_S, self._rest_s(response.headers.get("retry-after", "")))
            self._rests_until = trio.current_time() + rest_s
            raise Unavailable(f"{self.name}: HTTP {status}, paused for {rest_s:g} s")
        # Some servers send JSON-RPC errors with status 400.
        if status >= 500 or status in (401, 403, 404):
            raise Unavailable(f"{self.name}: HTTP {status}")

    def _rest_s(self, retry_after: str) -> float:
        if retry_after.isdecimal():
            return max(1.0, float(retry_after))
        try:
            until = parsedate_to_datetime(retry_after)
            return max(1.0, (until - self._clock.now()).total_seconds())
        except (ValueError, TypeError):
            return REST_S

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        # Cancel instead of leaving the block: httpx's inner generators end in order only then.
        with trio.CancelScope() as reading:
            async for part in response.aiter_raw():
                body += part
                if len(body) > BODY_BYTES_MAX:
                    reading.cancel()
        if reading.cancelled_caught:
            raise Unreadable(f"{self.name}: a response of more than {BODY_BYTES_MAX} bytes")
        return bytes(body)


def web3_of(endpoint: Endpoint) -> "AsyncWeb3[Any]":
    """Return a web3 for calls of contracts at one endpoint.

    Without web3's middleware: it would send `eth_chainId` before each call. `Tokens.check` reads
    the chain's id itself.
    """
    return AsyncWeb3(Web3Door(endpoint), middleware=())


class Web3Door(AsyncBaseProvider):
    """web3 provider for one endpoint on trio; web3's own HTTP provider needs asyncio."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Send a JSON-RPC request, as web3 expects of a provider. Raises RpcError."""
        result = await self._endpoint.call(method, *params)
        return {"jsonrpc": "2.0", "id": 1, "result": result}
