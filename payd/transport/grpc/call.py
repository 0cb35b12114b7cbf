"""One unary call in one task: message, use case, answer; it ends once, whatever comes first.

Its answer, its deadline and its caller's leaving may come in any order. The first of them reports
the call and releases its stream. A write whose use case has begun goes on without its caller.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any

import attrs
import structlog
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.exceptions import H2Error

from payd.domain.payment import Origin
from payd.transport.grpc.one_call import Method
from payd.transport.grpc.unary import UnaryStream
from payd.transport.problems import grpc_error, protocol_error

__all__ = ["OnRpc", "UnaryCall"]

#: method, status name, seconds, origin, and the error if there was one.
OnRpc = Callable[[str, str, float, Origin, BaseException | None], None]

_log = structlog.get_logger(__name__)


@attrs.define(eq=False, kw_only=True)
class UnaryCall:
    """A call's state, shared by its task, its deadline and its connection."""

    stream: UnaryStream
    #: Ends the stream at its connection.
    release: Callable[[], Any]
    name: str
    method: Method
    origin: Origin
    #: The call's own context: its log lines carry its request id.
    context: Context
    start: float
    #: When the client stops waiting, on the loop's clock; None without a limit.
    deadline: float | None
    on_rpc: OnRpc
    task: "asyncio.Task[None]" = attrs.field(init=False)
    #: Whether its use case runs.
    is_working: bool = attrs.field(default=False, init=False)
    #: Whether it was answered, or nobody waits for its answer.
    has_ended: bool = attrs.field(default=False, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    def time_left_s(self) -> float | None:
        """Return the time until its deadline; None without one."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    def begin_work(self) -> None:
        """Note that the use case begins; from now on the deadline answers the call."""
        self.is_working = True
        if self.deadline is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self.deadline, self._expire, context=self.context)

    def end_work(self) -> None:
        """Note that the use case has ended, and with it the deadline."""
        self.is_working = False
        if self._timer is not None:
            self._timer.cancel()

    async def answer(self, outcome: Any, timeout_s: float) -> None:
        """Send the use case's answer or error, unless the call has ended."""
        if self.has_ended:
            if isinstance(outcome, BaseException):
                reason = getattr(outcome, "reason", "INTERNAL")
                _log.warning("rpc_failed_alone", reason=reason, exc_info=outcome)
            return
        status, error = Status.OK, None
        try:
            if isinstance(outcome, BaseException):
                status, error = self._refuse(outcome), outcome
            else:
                message = outcome.SerializeToString()
                if not self.stream.answer_nowait(message, self.origin.request_id):
                    async with asyncio.timeout(timeout_s):
                        await self.stream.answer(message, self.origin.request_id)
        except H2Error:
            status = Status.CANCELLED
        except TimeoutError:
            # The client does not read its answer. The stream ends; its effects stay.
            with suppress(H2Error):
                self.stream.reset_nowait()
            status = Status.CANCELLED
        self.end(status, error)

    def leave(self) -> bool:
        """Note that nobody waits for the answer; return whether the task was cancelled.

        Only a write that has begun goes on.
        """
        goes_on = self.has_ended or (self.is_working and self.method.access.is_write)
        if not goes_on:
            self.task.cancel()
        self.end(Status.CANCELLED)
        return not goes_on

    def end(self, status: Status, error: BaseException | None = None) -> None:
        """Report the call and release its stream, once."""
        if self.has_ended:
            return
        self.has_ended = True
        seconds = asyncio.get_running_loop().time() - self.start
        try:
            self.context.copy().run(
                self.on_rpc, self.name, status.name, seconds, self.origin, error
            )
        finally:
            self.release()

    def _expire(self) -> None:
        if self.has_ended:
            return
        error = too_late()
        if not self.method.access.is_write:
            self.task.cancel()
        self.end(self._refuse(error), error)

    def _refuse(self, error: BaseException) -> Status:
        """Write an error; return its status, CANCELLED when the caller has left."""
        known = error if isinstance(error, GRPCError) else grpc_error(error)
        try:
            self.stream.refuse_nowait(known, self.origin.request_id)
        except H2Error:
            return Status.CANCELLED
        return known.status


def too_late() -> GRPCError:
    """The error of a call whose deadline has passed."""
    return protocol_error(Status.DEADLINE_EXCEEDED, "the deadline passed; repeat the call")
