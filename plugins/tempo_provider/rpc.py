"""JSON-RPC over httpx on trio: one endpoint, what may go wrong with it named, and web3's door to it."""

import json
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio
from web3.providers.async_base import AsyncBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from payd.plugins import Clock
from tempo_provider.ranges import is_too_large, is_too_often, suggested_length

#: An answer longer than this is not read to its end.
BODY_BYTES_MAX = 32 * 1024 * 1024
#: Requests in one JSON-RPC batch.
BATCH_MAX = 100
#: How long an endpoint rests that refused us without saying for how long.
REST_S = 10.0
REST_MAX_S = 300.0
#: JSON-RPC codes that say 429: EIP-1474's "limit exceeded", and the HTTP status itself.
_RATE_LIMITED = (-32005, 429)

Call = tuple[str, Sequence[Any]]


class RpcError(Exception):
    """An endpoint did not answer what was asked. The message names it, without its secrets."""


class Unavailable(RpcError):
    """Away, too slow, overloaded, or resting."""


class Unreadable(RpcError):
    """It answered, and not in a way that can be believed."""


class RangeTooLarge(RpcError):
    """It would answer for fewer blocks."""

    def __init__(self, message: str, suggestion: int | None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


class Refused(RpcError):
    """A JSON-RPC error: it understood, and will not or cannot."""


class Endpoint:
    """One JSON-RPC server. Left alone for as long as it asks with 429 or 402."""

    def __init__(self, url: str, http: httpx.AsyncClient, clock: Clock, timeout_s: float) -> None:
        self._url = url
        self._http = http
        self._clock = clock
        #: From the request to the last byte of its answer.
        self._timeout_s = timeout_s
        self._rests_until = 0.0
        parts = urlsplit(url)
        #: Host and port: the rest of a URL may hold a key.
        self.name = parts.netloc.rpartition("@")[2]

    @property
    def is_resting(self) -> bool:
        """Whether it asked to be left alone, and still should be."""
        return trio.current_time() < self._rests_until

    async def call(self, method: str, *params: Any) -> Any:
        """The result of one request; raises RpcError."""
        (result,) = await self.batch([(method, params)])
        return result

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The results in the order of the calls; raises RpcError when any of them failed."""
        results: list[Any] = []
        for start in range(0, len(calls), BATCH_MAX):
            results += await self._batch(calls[start : start + BATCH_MAX])
        return results

    async def _batch(self, calls: Sequence[Call]) -> list[Any]:
        requests = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in enumerate(calls, start=1)
        ]
        # Alone without a list: not every server takes lists.
        is_single = len(requests) == 1
        answer = await self._post(requests[0] if is_single else requests)
        answers = [answer] if is_single or isinstance(answer, dict) else answer
        return self._results(answers, len(requests))

    def _results(self, answers: Any, wanted: int) -> list[Any]:
        if not isinstance(answers, list) or not all(isinstance(one, dict) for one in answers):
            raise Unreadable(f"{self.name}: not a JSON-RPC answer")
        for one in answers:
            if one.get("error") is not None:
                raise self._refusal(one["error"])
        by_id = {one["id"]: one for one in answers if isinstance(one.get("id"), int)}
        if set(by_id) != set(range(1, wanted + 1)):
            raise Unreadable(f"{self.name}: answers to other questions")
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
            raise Unavailable(f"{self.name}: resting, as it asked")
        try:
            with trio.fail_after(self._timeout_s):
                async with self._http.stream("POST", self._url, json=document) as response:
                    self._check(response)
                    body = await self._read(response)
        except httpx.HTTPError as error:
            # The text of some of them has the URL in it.
            raise Unavailable(f"{self.name}: {type(error).__name__}") from None
        except trio.TooSlowError:
            raise Unavailable(f"{self.name}: no answer in {self._timeout_s:g} s") from None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise Unreadable(f"{self.name}: not JSON") from None

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (402, 429):
            rest_s = min(REST_MAX_S, self._rest_s(response.headers.get("retry-after", "")))
            self._rests_until = trio.current_time() + rest_s
            raise Unavailable(f"{self.name}: HTTP {status}, left alone for {rest_s:g} s")
        # Some servers say JSON-RPC errors with 400.
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
        # Cancelled, not left: only so do the generators inside of httpx end in order.
        with trio.CancelScope() as reading:
            async for part in response.aiter_raw():
                body += part
                if len(body) > BODY_BYTES_MAX:
                    reading.cancel()
        if reading.cancelled_caught:
            raise Unreadable(f"{self.name}: an answer of more than {BODY_BYTES_MAX} bytes")
        return bytes(body)


class Web3Door(AsyncBaseProvider):
    """web3's way to one endpoint; its own HTTP provider needs asyncio."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Send a JSON-RPC request, as web3 expects of a provider. Raises RpcError."""
        result = await self._endpoint.call(method, *params)
        return {"jsonrpc": "2.0", "id": 1, "result": result}
