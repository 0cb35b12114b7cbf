"""JSON-RPC over httpx on trio: one endpoint, and an error for each failure."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import trio

from payd.plugins import Clock
from tempo_provider.budget import Budget
from tempo_provider.ranges import is_too_large, is_too_often, suggested_length

#: Maximum bytes of a response; a longer one is not read to its end.
BODY_BYTES_MAX = 32 * 1024 * 1024
#: Maximum number of requests in a JSON-RPC batch.
BATCH_MAX = 100
#: Seconds after which an endpoint that took no batch is tried with one again.
BATCH_RETRY_S = 600.0
#: JSON-RPC error codes for a rate limit: EIP-1474's "limit exceeded", and the HTTP status 429.
_RATE_LIMITED = (-32005, 429)
#: "Invalid request" and "parse error" (JSON-RPC 2.0).
_INVALID_REQUEST = (-32600, -32700)
#: Shorter parts of a URL's path are names, such as of a version.
_KEY_LENGTH_MIN = 6

Call = tuple[str, Sequence[Any]]


class RpcError(Exception):
    """A request to an endpoint failed. The message names the endpoint without its secrets."""


class Unavailable(RpcError):
    """The endpoint is unreachable, too slow, overloaded or paused."""


class Paused(Unavailable):
    """The endpoint has limited our requests, and is left alone for now."""


class Unreadable(RpcError):
    """The endpoint sent an invalid or inconsistent response."""


class RangeTooLarge(RpcError):
    """The endpoint refuses so many blocks; fewer would succeed."""

    def __init__(self, message: str, suggestion: int | None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


class Refused(RpcError):
    """The endpoint returned a JSON-RPC error."""


class _NoBatch(Exception):
    """The endpoint takes no list of so many requests."""


class Endpoint:
    """One JSON-RPC server. After a 429 or 402 it is paused for as long as it asks."""

    def __init__(
        self,
        url: str,
        http: httpx.AsyncClient,
        clock: Clock,
        timeout_s: float,
        body_bytes_max: int = BODY_BYTES_MAX,
        budget: Budget | None = None,
    ) -> None:
        self._url = url
        self._http = http
        self._clock = clock
        #: Seconds from the request to the last byte of the response.
        self._timeout_s = timeout_s
        self._body_bytes_max = body_bytes_max
        self.budget = budget or Budget()
        #: HTTP requests so far, and at the end of the last step.
        self._posts = self._posts_before = 0
        self._batch_max = BATCH_MAX
        self._batch_retry_time = 0.0
        parts = urlsplit(url)
        #: Host and port: the rest of a URL may contain a key.
        self.name = parts.netloc.rpartition("@")[2]
        #: Longest first: one may contain another.
        self._secrets = sorted(_secrets_in(url), key=len, reverse=True)

    @property
    def is_resting(self) -> bool:
        """Whether the endpoint is paused after a rate limit."""
        return trio.current_time() < self.budget.rests_until

    @property
    def takes_batches(self) -> bool:
        """Whether many calls cost one request; unknown endpoints count as such."""
        return self._batch_max > 1

    def beside(self) -> "Endpoint":
        """The same server within the same limit; its requests are no cost of the watch."""
        return Endpoint(
            self._url,
            self._http,
            self._clock,
            self._timeout_s,
            self._body_bytes_max,
            budget=self.budget,
        )

    @property
    def has_spare(self) -> bool:
        """Whether the watch can do without one more request of the limit."""
        return self.budget.has_spare(trio.current_time())

    def pause_s(self) -> float:
        """Seconds until the next step of the watch, if it costs as many requests as the last."""
        cost = max(1, self._posts - self._posts_before)
        self._posts_before = self._posts
        now = trio.current_time()
        return max(self.budget.rests_until - now, self.budget.pause_s(cost, now))

    async def call(self, method: str, *params: Any) -> Any:
        """Make one request and return its result. Raises RpcError."""
        (result,) = await self.batch([(method, params)])
        return result

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Make several requests; return results in order. Raises RpcError if any failed."""
        results = await self.attempt(calls)
        for one in results:
            if isinstance(one, RpcError):
                raise one
        return results

    async def attempt(self, calls: Sequence[Call]) -> list[Any]:
        """Make several requests; return results in order, a Refused where one was refused.

        Raises RpcError for anything else that failed.
        """
        if trio.current_time() >= self._batch_retry_time:
            self._batch_max = BATCH_MAX
        results: list[Any] = []
        while len(results) < len(calls):
            part = calls[len(results) : len(results) + self._batch_max]
            try:
                results += await self._batch(part)
            except _NoBatch:
                self._batch_max = max(1, min(len(part), self._batch_max) // 10)
                self._batch_retry_time = trio.current_time() + BATCH_RETRY_S
        return results

    async def _batch(self, calls: Sequence[Call]) -> list[Any]:
        requests = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in enumerate(calls, start=1)
        ]
        # Send a single request without a list: some servers do not support batches.
        is_single = len(requests) == 1
        status, body = await self._post(requests[0] if is_single else requests)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            if status >= 400 and not is_single:
                raise _NoBatch from None
            raise Unreadable(f"{self.name}: not JSON") from None
        if isinstance(answer, dict) and not is_single and _refuses_lists(status, answer):
            raise _NoBatch
        answers = [answer] if is_single or isinstance(answer, dict) else answer
        return self._results(answers, len(requests))

    def _results(self, answers: Any, wanted: int) -> list[Any]:
        if not isinstance(answers, list) or not all(isinstance(one, dict) for one in answers):
            raise Unreadable(f"{self.name}: not a JSON-RPC response")
        refused: dict[Any, Refused] = {}
        for one in answers:
            if one.get("error") is not None:
                refusal, number = self.refusal(one["error"]), one.get("id")
                # An error without the id of a request concerns them all.
                if not isinstance(refusal, Refused) or not isinstance(number, int):
                    raise refusal
                refused[number] = refusal
        self.budget.succeeded()
        by_id = {one["id"]: one for one in answers if isinstance(one.get("id"), int)}
        if set(by_id) != set(range(1, wanted + 1)):
            raise Unreadable(f"{self.name}: response ids do not match the requests")
        return [
            refused[number] if number in refused else by_id[number].get("result")
            for number in range(1, wanted + 1)
        ]

    def refusal(self, error: Any) -> RpcError:
        """The exception for the error of a JSON-RPC response."""
        text = self.text_of(error)
        code, message = _code_and_message(error)
        if is_too_large(message):
            return RangeTooLarge(text, suggested_length(message))
        if code in _RATE_LIMITED or is_too_often(message):
            self.budget.refused({}, trio.current_time(), self._clock.now())
            return Paused(text)
        return Refused(text)

    def text_of(self, error: Any) -> str:
        """What a JSON-RPC error says, without a key that a server repeats from its URL."""
        _, message = _code_and_message(error)
        for secret in self._secrets:
            message = message.replace(secret, "…")
        return f"{self.name}: {message:.300}"

    def without_name(self, error: RpcError) -> str:
        """What the endpoint said, without its name, which is not for customers."""
        text = str(error).removeprefix(f"{self.name}: ")
        for name in (self.name, self.name.partition(":")[0]):
            text = text.replace(name, "…")
        return text

    async def _post(self, document: object) -> tuple[int, bytes]:
        """Send a document; return the HTTP status and the body. Raises RpcError."""
        if self.is_resting:
            raise Paused(f"{self.name}: paused after a rate limit")
        self._posts += 1
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
        return response.status_code, body

    def _check(self, response: httpx.Response) -> None:
        status, now, time = response.status_code, self._clock.now(), trio.current_time()
        self.budget.answered(response.headers, time, now)
        if status in (402, 429):
            rest_s = self.budget.refused(response.headers, time, now)
            raise Paused(f"{self.name}: HTTP {status}, paused for {rest_s:g} s")
        # Some servers send JSON-RPC errors with status 400.
        if status >= 500 or status in (401, 403, 404):
            raise Unavailable(f"{self.name}: HTTP {status}")

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        # Cancel instead of leaving the block: httpx's inner generators end in order only then.
        with trio.CancelScope() as reading:
            async for part in response.aiter_raw():
                body += part
                if len(body) > self._body_bytes_max:
                    reading.cancel()
        if reading.cancelled_caught:
            raise Unreadable(f"{self.name}: a response of more than {self._body_bytes_max} bytes")
        return bytes(body)


def _secrets_in(url: str) -> set[str]:
    """Parts of a URL that may be keys: the user, and what is long in the path and the query."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0].split(":")
    words = re.split("[/&=]", f"{parts.path}&{parts.query}")
    found = {*user, *(word for word in words if len(word) >= _KEY_LENGTH_MIN)}
    return (found | {unquote(one) for one in found}) - {""}


def _code_and_message(error: Any) -> tuple[Any, str]:
    is_whole = isinstance(error, dict)
    return (error.get("code"), str(error.get("message"))) if is_whole else (0, str(error))


def _refuses_lists(status: int, answer: Mapping[str, Any]) -> bool:
    """Whether one answer to a list of requests refuses it because it is a list."""
    code, text = _code_and_message(answer.get("error"))
    if code in _RATE_LIMITED or is_too_often(text):
        return False
    return status >= 400 or code in _INVALID_REQUEST or "batch" in text.lower()
