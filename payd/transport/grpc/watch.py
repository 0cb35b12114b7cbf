"""WatchPayment, the only call of our service whose answer is a stream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, cast

import structlog
from grpclib.const import Cardinality, Status
from grpclib.const import Handler as MethodHandler
from grpclib.exceptions import GRPCError
from payd_client.proto import payment_pb2 as pb

from payd.codec.watch_requests import watch_request
from payd.domain.payment import Payment
from payd.domain.request import WatchRequest
from payd.service.watch import Watch
from payd.transport.grpc.callers import origin_of, refuse_reserved_actor
from payd.transport.grpc.calls import Calls
from payd.transport.grpc.received import RECEIVED
from payd.transport.problems import grpc_error

#: Seconds at the stop for the streams to say so; a client that does not read is not waited for.
_END_S = 1.0
_NAME = "WatchPayment"


class WatchCalls:
    """The streams under way, each in grpclib's task."""

    def __init__(
        self,
        watch: Watch,
        message: Callable[[Payment], Awaitable[pb.Payment]],
        calls: Calls,
    ) -> None:
        self._watch = watch
        self._message = message
        self._calls = calls
        self._tasks: set[asyncio.Task[Any]] = set()

    def handler(self) -> MethodHandler:
        """Return the method for grpclib, with our admission, limits and errors."""
        method = MethodHandler(
            self._answer,
            Cardinality.UNARY_STREAM,
            pb.WatchPaymentRequest,
            pb.WatchPaymentResponse,
        )
        return self._calls.guarded(method, open_to_all=False)

    async def end(self) -> None:
        """End every stream with SHUTTING_DOWN, so that clients watch at another daemon."""
        self._watch.changes.end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_END_S)

    async def _answer(self, stream: Any) -> None:
        """Serve one stream, and report how it ended."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._tasks.add(task)
        start, status, error = asyncio.get_running_loop().time(), Status.OK, None
        on_rpc = self._calls.observed(_NAME)
        try:
            refuse_reserved_actor(RECEIVED.get())
            wanted = watch_request(await stream.recv_message())
            structlog.contextvars.bind_contextvars(payment_id=str(wanted.payment_id))
            await self._send_all(stream, self._versions(wanted))
        except asyncio.CancelledError:
            status = Status.DEADLINE_EXCEEDED if _is_late(stream) else Status.CANCELLED
            raise
        except Exception as caught:  # noqa: BLE001 - whatever it is, the caller gets an answer
            error = caught
            known = caught if isinstance(caught, GRPCError) else grpc_error(caught)
            status = known.status
            raise known from None
        finally:
            self._tasks.discard(task)
            seconds = asyncio.get_running_loop().time() - start
            origin = origin_of(RECEIVED.get(), self._calls.clients())
            on_rpc(_NAME, status.name, seconds, origin, error)

    def _versions(self, wanted: WatchRequest) -> AsyncIterator[Payment]:
        return self._watch.watch(wanted)

    async def _send_all(self, stream: Any, versions: AsyncIterator[Payment]) -> None:
        """Send each version; while the client does not read, newer ones replace each other."""
        async with aclosing(cast(Any, versions)):
            async for payment in versions:
                message = await self._message(payment)
                await stream.send_message(pb.WatchPaymentResponse(payment=message))


def _is_late(stream: Any) -> bool:
    with suppress(AttributeError):
        return bool(stream.deadline.time_remaining() <= 0)
    return False
