"""All calls of the server: admission, sizes, drain.

A write that has begun continues when its caller leaves or its deadline passes, so that no
provider's answer is lost; `drain` waits for all of them.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import attrs
import structlog
from google.protobuf.message import DecodeError
from grpclib.const import Handler as MethodHandler
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.stream import StreamIterator

from payd.domain.errors import (
    InvalidField,
    Overloaded,
    PaydError,
    RateLimited,
    ShuttingDown,
)
from payd.telemetry.tracing import Tracer
from payd.transport.grpc.call import OnRpc, UnaryCall, too_late
from payd.transport.grpc.callers import Clients, origin_of, refuse_reserved_actor
from payd.transport.grpc.one_call import Call, Method
from payd.transport.grpc.received import RECEIVED, Received
from payd.transport.grpc.roles import Role
from payd.transport.grpc.traces import traced
from payd.transport.grpc.unary import UnaryStream
from payd.transport.problems import grpc_error, protocol_error

#: Client name → seconds until it may call again; 0 admits this call. Never raises.
WaitOf = Callable[[str], Awaitable[float]]

#: Expire just before grpclib's own deadline, so that our trailers are sent.
_DEADLINE_MARGIN_S = 0.02
#: Time of a call without a deadline to compete with others for the same payment.
_BUDGET_S = 10.0


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
        clients: Callable[[], Clients],
        on_rpc: OnRpc,
        wait_of: WaitOf | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._limits = limits
        self._tracer = tracer
        self._wait_of = wait_of
        self.clients = clients
        self._on_rpc = on_rpc
        #: Calls whose use case has begun, including those whose caller has left.
        self._working: set[UnaryCall] = set()
        #: Calls whose use case has ended and whose answer is not written yet.
        self._answering: set[UnaryCall] = set()
        self._draining = False

    def in_flight(self) -> int:
        """Return how many calls are under way, including those whose caller has left."""
        return len(self._working)

    def start(
        self, stream: UnaryStream, release: Callable[[], Any], received: Received, method: Method
    ) -> UnaryCall:
        """Start the task of a call."""
        loop = asyncio.get_running_loop()
        start, timeout_s = loop.time(), received.timeout_s
        context = copy_context()
        context.run(structlog.contextvars.bind_contextvars, request_id=received.request_id)
        name = received.fields[":path"].rpartition("/")[2]
        origin, on_rpc = origin_of(received, self.clients()), self._on_rpc
        if self._tracer is not None:
            origin, on_rpc = traced(self._tracer, name, origin, context, on_rpc)
        call = UnaryCall(
            stream=stream,
            release=release,
            name=name,
            method=method,
            origin=origin,
            context=context,
            start=start,
            deadline=None if timeout_s is None else start + timeout_s - _DEADLINE_MARGIN_S,
            on_rpc=on_rpc,
        )
        call.task = loop.create_task(self._serve(call, received), context=context)
        return call

    def observed(self, name: str) -> OnRpc:
        """Begin a stream: return the observer of its end, which also ends its span."""
        if self._tracer is None:
            return self._on_rpc
        origin = origin_of(RECEIVED.get(), self.clients())
        # A stream calls no provider: nothing is a child of its span.
        _, on_rpc = traced(self._tracer, name, origin, copy_context(), self._on_rpc)
        return on_rpc

    def guarded(self, handler: MethodHandler, *, open_to_all: bool) -> MethodHandler:
        """Wrap a method of another service with our admission, limit and errors."""

        async def handle(stream: Any) -> None:
            bounded: Any = _BoundedStream(stream, handler, self._limits)
            try:
                if not open_to_all:
                    await self._admit_client(RECEIVED.get().common_name, operators_only=False)
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
        while pending := {call.task for call in self._working | self._answering}:
            if (left_s := until - loop.time()) <= 0:
                break
            await asyncio.wait(pending, timeout=left_s)
        return len(pending)

    async def _serve(self, call: UnaryCall, received: Received) -> None:
        """Answer a call. Before its message has arrived, leaving ends it."""
        try:
            only = call.method.access.role is Role.OPERATOR
            await self._admit_client(received.common_name, operators_only=only)
            refuse_reserved_actor(received)
            request = await self._receive(call)
            self._admit_work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await call.answer(error, self._limits.message_timeout_s)
            return
        self._working.add(call)
        try:
            outcome = await self._outcome(call, request)
        finally:
            self._working.discard(call)
        self._answering.add(call)
        try:
            await call.answer(outcome, self._limits.message_timeout_s)
        finally:
            self._answering.discard(call)

    async def _receive(self, call: UnaryCall) -> Any:
        """Return the call's message, waiting for it as long as the client and we allow."""
        message = call.stream.buffer
        if not message.is_complete:
            left_s, patience_s = call.time_left_s(), self._limits.message_timeout_s
            try:
                async with asyncio.timeout(
                    patience_s if left_s is None else min(left_s, patience_s)
                ):
                    await message.wait()
            except TimeoutError:
                is_late = left_s is not None and left_s <= patience_s
                raise (too_late() if is_late else _no_message()) from None
        content = message.content()
        if content is None:
            raise InvalidField("request", "no message was sent")
        return _parsed(call.method.request, content)

    async def _outcome(self, call: UnaryCall, request: Any) -> Any:
        """Return the use case's answer or its error."""
        left_s = call.time_left_s()
        budget_s = _BUDGET_S if left_s is None else max(0.0, left_s - 0.1)
        known = Call(
            origin=call.origin,
            wait_s=min(self._limits.await_answer_s, budget_s),
            budget_s=budget_s,
        )
        call.begin_work()
        try:
            return await call.method.handle(request, known)
        except asyncio.CancelledError:
            if call.has_ended:
                raise
            return ShuttingDown("this daemon is stopping; repeat the call", retry_after_s=1.0)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            return error
        finally:
            call.end_work()

    def _admit_work(self) -> None:
        if self._draining:
            raise ShuttingDown("this daemon is stopping; repeat the call", retry_after_s=1.0)
        if len(self._working) >= self._limits.max_in_flight:
            raise Overloaded("too many calls in flight; repeat the call", retry_after_s=0.5)

    async def _admit_client(self, common_name: str, *, operators_only: bool) -> None:
        self.clients().admit(common_name, operators_only=operators_only)
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
    """Return the next message of another service's call; None at the end.

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
    return _parsed(kind, body)


def _parsed(kind: type[Any], content: bytes) -> Any:
    try:
        return kind.FromString(content)
    except DecodeError:
        raise InvalidField("request", "is not a valid message") from None


def _no_message() -> GRPCError:
    return protocol_error(Status.DEADLINE_EXCEEDED, "the call's message did not arrive in time")
