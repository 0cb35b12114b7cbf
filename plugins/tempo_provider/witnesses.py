"""Quorum reads: a result counts only if enough endpoints return the same.

`quorum` endpoints must agree. One that fails, sends garbage or disagrees is replaced by the next;
when too few agree, the read fails and the watch does not advance.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import attrs
import trio

from payd.plugins import Logger, Metrics
from tempo_provider.cursor import Point
from tempo_provider.rpc import Endpoint, Paused, RangeTooLarge, RpcError, Unavailable, Unreadable
from tempo_provider.slices import Ahead, Slice, read_head

T = TypeVar("T")


class Disagreement(RpcError):
    """Endpoints returned different results, so at least one of them is wrong."""


class Witnesses:
    """The configured endpoints, in the order of preference."""

    def __init__(
        self, endpoints: Sequence[Endpoint], quorum: int, log: Logger, metrics: Metrics
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.quorum = quorum
        self._log = log
        self._metrics = metrics

    async def heads(self) -> list[tuple[Endpoint, Point]]:
        """Read the final block of every endpoint that responds, in their order.

        Raises RpcError when fewer than the quorum do.
        """
        asked = await self._ask(self.endpoints, read_head)
        heads = [(one.endpoint, one.result) for one in asked if isinstance(one.result, Point)]
        if len(heads) < self.quorum:
            raise _too_few(asked, self.quorum)
        return heads

    def final(self, heads: Sequence[tuple[Endpoint, Point]]) -> int:
        """The newest block that is final for as many endpoints as must agree on it."""
        return sorted((head.number for _, head in heads), reverse=True)[self.quorum - 1]

    async def read_ahead(
        self,
        ahead: Callable[[Endpoint], Awaitable[Ahead]],
        only: Callable[[Endpoint], Awaitable[Slice]],
        among: Sequence[Endpoint],
    ) -> tuple[list[tuple[Endpoint, Point]], Slice]:
        """Read a slice and the final blocks, in one request to each endpoint. Raises RpcError.

        As many endpoints of `among` as must agree are asked for both, the others for their final
        block; where too few agree, the others are asked for the slice (`only`), too.
        """
        first = [one for one in among if not one.is_resting][: self.quorum]

        async def read(endpoint: Endpoint) -> Ahead | Point:
            return await (ahead(endpoint) if endpoint in first else read_head(endpoint))

        asked = await self._ask(self.endpoints, read)
        heads = [(one.endpoint, head) for one in asked if (head := _head_of(one)) is not None]
        slices = [_slice_in(one) for one in asked if one.endpoint in first]
        others = [one for one in among if one not in first]
        return heads, await self.agree(only, others, slices)

    async def agree(
        self,
        read: Callable[[Endpoint], Awaitable[T]],
        among: Sequence[Endpoint] | None = None,
        asked: "Sequence[_Asked[T]]" = (),
    ) -> T:
        """Return the result of `quorum` endpoints; ask only as many as needed. Raises RpcError.

        `asked` have been asked already.
        """
        waiting = list(self.endpoints if among is None else among)
        asked = list(asked)
        while True:
            if (agreed := self._agreed(asked)) is not None:
                return agreed[0]
            missing = max(1, self.quorum - len(asked))
            now, waiting = waiting[:missing], waiting[missing:]
            if not now:
                raise self._no_agreement(asked)
            asked += await self._ask(now, read)

    # -- budgets -----------------------------------------------------------------------------

    def interval_s(self) -> float:
        """Seconds between requests that as many endpoints allow as must agree; 0 for any."""
        now = trio.current_time()
        return self._of_quorum([one.budget.interval_s(now) for one in self.endpoints])

    def pause_s(self) -> float:
        """Seconds until the next step of the watch, by what the last one has cost."""
        return self._of_quorum([one.pause_s() for one in self.endpoints])

    def rest_s(self) -> float:
        """Seconds until enough endpoints have ended their pauses after rate limits."""
        now = trio.current_time()
        return self._of_quorum([max(0.0, one.budget.rests_until - now) for one in self.endpoints])

    def _of_quorum(self, seconds: Sequence[float]) -> float:
        return sorted(seconds)[self.quorum - 1]

    # -- asking ------------------------------------------------------------------------------

    async def _ask(
        self, endpoints: Sequence[Endpoint], read: Callable[[Endpoint], Awaitable[T]]
    ) -> "list[_Asked[T]]":
        asked = [_Asked[T](endpoint=endpoint) for endpoint in endpoints]

        async def ask(one: "_Asked[T]") -> None:
            try:
                one.result = await read(one.endpoint)
            except RpcError as error:
                one.result = error
                self._metrics.count("rpc_failures_total")
                self._log.warning("rpc_failed", endpoint=one.endpoint.name, error=str(error))

        async with trio.open_nursery() as nursery:
            for one in asked:
                nursery.start_soon(ask, one)
        return asked

    def _agreed(self, asked: "Sequence[_Asked[T]]") -> tuple[T] | None:
        answers = [one for one in asked if not isinstance(one.result, RpcError | None)]
        for one in answers:
            alike = [other for other in answers if other.result == one.result]
            if len(alike) >= self.quorum:
                for other in answers:
                    if other.result != one.result:
                        self._dissents(other.endpoint)
                result: T = one.result  # type: ignore[assignment]  # errors were left out above
                return (result,)
        return None

    def _dissents(self, endpoint: Endpoint) -> None:
        self._metrics.count("rpc_disagreements_total")
        self._log.warning("rpc_overruled", endpoint=endpoint.name)

    def _no_agreement(self, asked: "Sequence[_Asked[T]]") -> RpcError:
        answers = [one for one in asked if not isinstance(one.result, RpcError | None)]
        if len(answers) < max(2, self.quorum):
            return _too_few(asked, self.quorum)
        self._metrics.count("rpc_disagreements_total")
        names = ", ".join(one.endpoint.name for one in answers)
        return Disagreement(f"{names} disagree; {self.quorum} must agree")


@attrs.define(kw_only=True, eq=False)
class _Asked(Generic[T]):
    endpoint: Endpoint
    result: T | RpcError | None = None


def _head_of(asked: "_Asked[Ahead | Point]") -> Point | None:
    result = asked.result
    if isinstance(result, Ahead):
        return result.head
    return result if isinstance(result, Point) else None


def _slice_in(asked: "_Asked[Ahead | Point]") -> "_Asked[Slice]":
    result = asked.result
    found = result.found if isinstance(result, Ahead) else result
    return _Asked[Slice](
        endpoint=asked.endpoint, result=found if isinstance(found, Slice | RpcError) else None
    )


def _too_few(asked: "Sequence[_Asked[T]]", quorum: int) -> RpcError:
    errors = [one.result for one in asked if isinstance(one.result, RpcError)]
    for error in errors:
        # With a shorter range, one more endpoint would have answered.
        if isinstance(error, RangeTooLarge):
            return error
    why = "; ".join(map(str, errors)) or "too few endpoints have the block"
    text = f"{len(asked) - len(errors)} of {quorum} endpoints answered: {why}"
    if any(isinstance(error, Unreadable) for error in errors):
        return Unreadable(text)
    is_paused = any(isinstance(error, Paused) for error in errors)
    return Paused(text) if is_paused else Unavailable(text)
