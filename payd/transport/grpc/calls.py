"""One RPC from its first byte to its trailers: admission, message, deadline, error.

A write that has begun continues when its caller leaves or its deadline passes, so that no
provider's answer is lost; `drain` waits for all of them.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any

import attrs
import structlog
from google.protobuf.message import DecodeError
from grpclib.const import Cardinality, Status
from grpclib.const import Handler as MethodHandler
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Stream
from grpclib.stream import StreamIterator
from h2.exceptions import StreamClosedError

from payd.domain.errors import (
    ClientNotAllowed,
    InvalidField,
    Overloaded,
    PaydError,
    RateLimited,
    ShuttingDown,
)
from payd.domain.payment import Origin
from payd.transport.grpc.callers import origin_of, refuse_reserved_actor
from payd.transport.grpc.handlers import Call, Method
from payd.transport.grpc.received import RECEIVED
from payd.transport.problems import grpc_error, protocol_error

#: method, status name, seconds, origin, and the error if there was one.
OnRpc = Callable[[str, str, float, Origin, BaseException | None], None]

#: Client name → seconds until it may call again; 0 admits this call. Never raises.
WaitOf = Callable[[str], Awaitable[float]]

_log = structlog.get_logger(__name__)

#: Expire just before grpclib's own deadline, so that our trailers are sent.
_DEADLINE_MARGIN_S = 0.02


@attrs.frozen(kw_only=True)
class Limits:
    """Limits of calls."""

    max_in_flight: int
    max_message_bytes: int
    await_answer_s: float
    #: Time for a call's message to arrive, and for its answer to be read.
    message_timeout_s: float = 10.0


class Calls:
    """Turns the service's methods into handlers of grpclib."""

    def __init__(
        self,
        limits: Limits,
        allowed: Callable[[], frozenset[str]],
        on_rpc: OnRpc,
        wait_of: WaitOf | None = None,
    ) -> None:
        self._limits = limits
        self._wait_of = wait_of
        self._allowed = allowed
        self._on_rpc = on_rpc
        self._tasks: set[asyncio.Task[Any]] = set()
        #: Calls whose use case was begun and whose answer is not written yet.
        self._answering: set[asyncio.Task[Any]] = set()
        self._draining = False

    def in_flight(self) -> int:
        """Return how many calls are under way, including those whose caller has left."""
        return len(self._tasks)

    def handler(self, path: str, method: Method) -> MethodHandler:
        """Return the method as grpclib maps it."""
        name = path.rpartition("/")[2]

        async def handle(stream: Stream[Any, Any]) -> None:
            await self._answer(stream, name, method)

        return MethodHandler(handle, Cardinality.UNARY_UNARY, method.request, method.response)

    def guarded(self, handler: MethodHandler, *, open_to_all: bool) -> MethodHandler:
        """Wrap a method of another service with our admission, limit and errors."""

        async def handle(stream: Any) -> None:
            bounded: Any = _BoundedStream(stream, handler, self._limits)
            try:
                if not open_to_all:
                    await self._admit_client(RECEIVED.get().common_name)
                await handler.func(bounded)
            except PaydError as error:
                raise grpc_error(error) from None
            except TimeoutError:
                raise _no_message() from None

        return handler._replace(func=handle)

    async def drain(self, timeout_s: float) -> int:
        """Refuse new calls, wait for those under way; return how many are left at the timeout."""
        self._draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while pending := self._tasks | self._answering:
            if (left_s := until - loop.time()) <= 0:
                break
            await asyncio.wait(pending, timeout=left_s)
        return len(pending)

    async def _answer(self, stream: Stream[Any, Any], name: str, method: Method) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        origin = origin_of(stream)
        context = copy_context()
        context.run(structlog.contextvars.bind_contextvars, request_id=origin.request_id)
        code: Status = Status.CANCELLED
        error: BaseException | None = None
        try:
            outcome = await self._outcome(stream, method, origin, context)
            async with asyncio.timeout(self._limits.message_timeout_s):
                if isinstance(outcome, BaseException):
                    error = outcome
                    code = await _send_error(stream, error)
                else:
                    await stream.send_message(outcome)
                    await stream.send_trailing_metadata()
                    code = Status.OK
        except (StreamTerminatedError, StreamClosedError):
            pass  # The caller has left: that is what CANCELLED says.
        except TimeoutError:
            # The client does not read its answer. The stream ends; its effects stay.
            await stream.cancel()
        finally:
            self._answering.discard(_this_task())
            seconds = loop.time() - start
            context.run(self._on_rpc, name, code.name, seconds, origin, error)

    async def _outcome(
        self, stream: Stream[Any, Any], method: Method, origin: Origin, context: Context
    ) -> Any:
        """Return the answer or the error. Before its message has arrived, leaving ends the call."""
        try:
            await self._admit_client(RECEIVED.get().common_name)
            refuse_reserved_actor(stream)
            left_s, patience_s = _time_left_s(stream), self._limits.message_timeout_s
            async with asyncio.timeout(min(patience_s if left_s is None else left_s, patience_s)):
                request = await _receive(method.request, self._limits.max_message_bytes)
            if request is None:
                return InvalidField("request", "no message was sent")
            self._admit_work()
        except TimeoutError:
            return _too_late() if left_s is not None and left_s <= patience_s else _no_message()
        except (PaydError, GRPCError) as error:
            return error
        left_s = _time_left_s(stream)
        wait_s = self._limits.await_answer_s
        wait_s = wait_s if left_s is None else max(0.0, min(wait_s, left_s - 0.1))
        handled = method.handle(request, Call(origin=origin, wait_s=wait_s))
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(handled, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._answering.add(_this_task())
        try:
            await asyncio.wait({task}, timeout=left_s)
        finally:
            if not task.done():
                if not method.is_write:
                    task.cancel()
                task.add_done_callback(_log_end, context=context)
        if not task.done():
            return _too_late()
        if task.cancelled():
            return ShuttingDown("this daemon is stopping; repeat the call", retry_after_s=1.0)
        return task.exception() or task.result()

    def _admit_work(self) -> None:
        if self._draining:
            raise ShuttingDown("this daemon is stopping; repeat the call", retry_after_s=1.0)
        if len(self._tasks) >= self._limits.max_in_flight:
            raise Overloaded("too many calls in flight; repeat the call", retry_after_s=0.5)

    async def _admit_client(self, common_name: str) -> None:
        if common_name not in self._allowed():
            raise ClientNotAllowed(
                "this certificate is not on the allow-list", common_name=common_name
            )
        if self._wait_of is not None and (wait_s := await self._wait_of(common_name)) > 0:
            raise RateLimited("this client calls too often; repeat the call", retry_after_s=wait_s)


class _BoundedStream(StreamIterator[Any]):
    """A stream for another service's method: its messages are limited in size and in time."""

    def __init__(self, stream: Any, handler: MethodHandler, limits: Limits) -> None:
        self._stream = stream
        self._handler = handler
        self._limits = limits

    async def recv_message(self) -> Any:
        """Return the next message; None at the end of a stream of several."""
        async with asyncio.timeout(self._limits.message_timeout_s):
            message = await _receive(self._handler.request_type, self._limits.max_message_bytes)
        if message is None and not self._handler.cardinality.client_streaming:
            raise InvalidField("request", "no message was sent")
        return message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


async def _receive(kind: type[Any], bytes_max: int) -> Any:
    """Return the call's next message; None at the end.

    grpclib's own `recv_message` has no limit, and answers UNKNOWN to an invalid message.
    """
    stream = RECEIVED.get().stream
    try:
        head = await stream.recv_data(5)
        if not head:
            return None
        compressed, length = struct.unpack(">BI", head)
        if compressed:
            raise protocol_error(Status.UNIMPLEMENTED, "compressed messages are not supported")
        if length > bytes_max:
            too_long = InvalidField("request", f"has {length} bytes; {bytes_max} are allowed")
            raise grpc_error(too_long, Status.RESOURCE_EXHAUSTED)
        body = await stream.recv_data(length)
    except AssertionError:
        # grpclib raises it for a stream that ended early.
        raise InvalidField("request", "ended within a message") from None
    if len(body) < length:
        raise InvalidField("request", "ended within a message")
    try:
        return kind.FromString(body)
    except DecodeError:
        raise InvalidField("request", "is not a valid message") from None


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - calls are answered in tasks
    return task


async def _send_error(stream: Stream[Any, Any], error: BaseException) -> Status:
    known = error if isinstance(error, GRPCError) else grpc_error(error)
    await stream.send_trailing_metadata(
        status=known.status,
        status_message=known.message,
        status_details=known.details,
    )
    return known.status


def _no_message() -> GRPCError:
    return protocol_error(Status.DEADLINE_EXCEEDED, "the call's message did not arrive in time")


def _too_late() -> GRPCError:
    return protocol_error(Status.DEADLINE_EXCEEDED, "the deadline passed; repeat the call")


def _log_end(task: asyncio.Task[Any]) -> None:
    """Log the failure of a write whose caller did not wait for its end."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning(
            "rpc_failed_alone", reason=getattr(error, "reason", "INTERNAL"), exc_info=error
        )


def _time_left_s(stream: Stream[Any, Any]) -> float | None:
    if stream.deadline is None:
        return None
    return max(0.0, float(stream.deadline.time_remaining()) - _DEADLINE_MARGIN_S)
