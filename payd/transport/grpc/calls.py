"""One RPC from its first byte to its trailers: admission, message, deadline, error, echo.

A write that was begun goes on when its caller leaves or its deadline passes, so that no
provider's answer is lost; `idle` tells a drain when all of them have ended.
"""

import asyncio
import re
import struct
from collections.abc import Callable
from contextvars import copy_context
from typing import Any
from uuid import uuid4

import attrs
import structlog
from google.protobuf.message import DecodeError
from grpclib.const import Cardinality, Status
from grpclib.const import Handler as MethodHandler
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Stream

from payd.domain.errors import ClientNotAllowed, InvalidField, Overloaded, ShuttingDown
from payd.domain.payment import Origin
from payd.transport.grpc.handlers import Call, Method
from payd.transport.problems import grpc_error

#: method, status name, seconds, origin, and the error if there was one.
OnRpc = Callable[[str, str, float, Origin, BaseException | None], None]

#: Ours comes before the library's own, so that the answer carries our trailers.
_DEADLINE_MARGIN_S = 0.02
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VISIBLE = re.compile(r"[ -~]{1,128}")


@attrs.frozen(kw_only=True)
class Limits:
    """What a client may not exceed."""

    max_in_flight: int
    max_message_bytes: int
    await_answer_s: float


class Calls:
    """Turns the service's methods into grpclib handlers."""

    def __init__(
        self, limits: Limits, allowed: Callable[[], frozenset[str]], on_rpc: OnRpc
    ) -> None:
        self._limits = limits
        self._allowed = allowed
        self._on_rpc = on_rpc
        self._tasks: set[asyncio.Task[Any]] = set()
        self._draining = False

    def in_flight(self) -> int:
        """Calls under way, those included whose caller has left."""
        return len(self._tasks)

    def handler(self, path: str, method: Method) -> MethodHandler:
        """The method as grpclib wants it."""
        name = path.rpartition("/")[2]

        async def handle(stream: Stream[Any, Any]) -> None:
            await self._answer(stream, name, method)

        return MethodHandler(handle, Cardinality.UNARY_UNARY, method.request, method.response)

    def for_allowed_only(self, handler: MethodHandler) -> MethodHandler:
        """Another service's handler, behind the allow-list."""

        async def handle(stream: Stream[Any, Any]) -> None:
            self._admit_client(_common_name(stream))
            await handler.func(stream)

        return handler._replace(func=handle)

    async def drain(self, timeout_s: float) -> None:
        """Refuse what comes from now on, and wait for what is under way."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def _answer(self, stream: Stream[Any, Any], name: str, method: Method) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        origin = _origin(stream)
        echo = {"x-request-id": origin.request_id}
        context = copy_context()
        context.run(structlog.contextvars.bind_contextvars, request_id=origin.request_id)
        task = loop.create_task(self._run(stream, method, origin), context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.wait({task}, timeout=_time_left_s(stream))
        finally:
            if not task.done() and not method.is_write:
                task.cancel()
        if not task.done():
            code, error = Status.DEADLINE_EXCEEDED, None
            await stream.send_trailing_metadata(
                status=code, status_message="the deadline passed; repeat the call", metadata=echo
            )
        elif task.cancelled() or isinstance(task.exception(), StreamTerminatedError):
            return
        elif (error := task.exception()) is None:
            code = Status.OK
            await stream.send_message(task.result())
            await stream.send_trailing_metadata(metadata=echo)
        else:
            known = error if isinstance(error, GRPCError) else grpc_error(error)
            code = known.status
            await stream.send_trailing_metadata(
                status=code,
                status_message=known.message,
                status_details=known.details,
                metadata=echo,
            )
        context.run(self._on_rpc, name, code.name, loop.time() - start, origin, error)

    async def _run(self, stream: Stream[Any, Any], method: Method, origin: Origin) -> Any:
        self._admit_client(_common_name(stream))
        if self._draining:
            raise ShuttingDown("this daemon is stopping; repeat the call", retry_after_s=1.0)
        if len(self._tasks) > self._limits.max_in_flight:
            raise Overloaded("too many calls in flight; repeat the call", retry_after_s=0.5)
        request = await self._receive(stream, method.request)
        left_s = _time_left_s(stream)
        wait_s = self._limits.await_answer_s
        wait_s = wait_s if left_s is None else max(0.0, min(wait_s, left_s - 0.1))
        return await method.handle(request, Call(origin=origin, wait_s=wait_s))

    def _admit_client(self, common_name: str) -> None:
        if common_name not in self._allowed():
            raise grpc_error(
                ClientNotAllowed(
                    "this certificate is not on the allow-list", common_name=common_name
                )
            )

    async def _receive(self, stream: Stream[Any, Any], message: type[Any]) -> Any:
        """grpclib's own has no limit, and ends the call as UNKNOWN for a broken message."""
        head = await stream._stream.recv_data(5)
        if len(head) < 5:
            raise InvalidField("request", "no message was sent")
        compressed, length = struct.unpack(">?I", head)
        if compressed:
            raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not supported")
        if length > self._limits.max_message_bytes:
            limit = self._limits.max_message_bytes
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED, f"the message has {length} bytes, at most {limit} go"
            )
        body = await stream._stream.recv_data(length) if length else b""
        try:
            return message.FromString(body)
        except DecodeError:
            raise InvalidField("request", "is not a valid message") from None


def _origin(stream: Stream[Any, Any]) -> Origin:
    metadata: Any = stream.metadata or {}
    request_id = str(metadata.get("x-request-id", ""))
    actor = str(metadata.get("x-actor", ""))
    traceparent = str(metadata.get("traceparent", ""))
    forwarded = str(metadata.get("x-forwarded-for", "")).split(",")[0].strip()
    peer = stream.peer.addr()
    return Origin(
        actor=actor if _VISIBLE.fullmatch(actor) else _common_name(stream),
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) else uuid4().hex,
        ip=forwarded[:64] if forwarded else str(peer[0]) if peer else "",
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else "",
    )


def _common_name(stream: Stream[Any, Any]) -> str:
    certificate = stream.peer.cert() or {}
    subject: Any = certificate.get("subject", ())
    return next((value for rdn in subject for key, value in rdn if key == "commonName"), "")


def _time_left_s(stream: Stream[Any, Any]) -> float | None:
    if stream.deadline is None:
        return None
    return max(0.0, float(stream.deadline.time_remaining()) - _DEADLINE_MARGIN_S)
