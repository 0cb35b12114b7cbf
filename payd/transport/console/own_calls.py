"""The console's client: payd's own PaymentClient, answered by this process.

Every call runs the method that a call over gRPC runs, with the same requests, so the console can
do what `payd` can do and nothing else. There is no certificate to keep for it: its calls never
leave the process, and each names the operator who is logged in.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import trio
from payd_client import Caller, PaymentClient
from payd_client.errors import error_of

from payd.domain.actors import CONSOLE, operator_actor
from payd.domain.errors import PaydError
from payd.domain.payment import Origin
from payd.transport.grpc.one_call import Call, Method
from payd.transport.problems import grpc_error

#: Time of a call to compete with others for the same payment, as of a call without a deadline.
_BUDGET_S = 10.0
_WAIT_S = 5.0
_READ_S = 15.0


@attrs.frozen(kw_only=True)
class Visitor(Caller):
    """An operator: `ip` is where the browser is, as far as payd knows."""

    #: Address that connected: the browser's, a proxy's, or this machine's behind ssh.
    peer: str = ""


class OwnCalls(PaymentClient):
    """PaymentClient without a connection. `run` awaits a method on its own loop."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        run: Callable[..., Awaitable[Any]],
        on_rpc: Callable[..., None],
    ) -> None:
        """Take the service's methods by name, and what records each call."""
        self._methods = methods
        self._run = run
        self._on_rpc = on_rpc

    async def _call(
        self, method: str, request: Any, caller: Caller | None, deadline_s: float
    ) -> Any:
        found, origin = self._methods[method], _origin(caller or Caller())
        start = trio.current_time()
        call = Call(origin=origin, wait_s=_WAIT_S, budget_s=_BUDGET_S)
        try:
            # A write that has begun goes on when the browser leaves: see `UnaryCall`.
            with _limit(found.access.is_write):
                answer = await self._run(found.handle, request, call)
        except PaydError as error:
            known = grpc_error(error)
            self._report(method, known.status.name, start, origin, error)
            raise error_of(
                known.status.name, known.message or "", known.details, origin.request_id
            ) from None
        except trio.Cancelled:
            self._report(method, "CANCELLED", start, origin, None)
            raise
        except trio.TooSlowError:
            self._report(method, "DEADLINE_EXCEEDED", start, origin, None)
            message = f"no answer within {_READ_S:g} s"
            raise error_of("DEADLINE_EXCEEDED", message, request_id=origin.request_id) from None
        self._report(method, "OK", start, origin, None)
        return answer

    def _report(
        self, method: str, code: str, start: float, origin: Origin, error: PaydError | None
    ) -> None:
        self._on_rpc(method, code, trio.current_time() - start, origin, error)


def _limit(is_write: bool) -> Any:
    return trio.CancelScope(shield=True) if is_write else trio.fail_after(_READ_S)


def _origin(caller: Caller) -> Origin:
    named = f"{CONSOLE}/{caller.actor}"
    return Origin(
        actor=operator_actor(named),
        request_id=caller.request_id,
        ip=caller.ip,
        # The person, not the listener: two operators of the console are two for an approval.
        certificate=named,
        peer=caller.peer if isinstance(caller, Visitor) else caller.ip,
        traceparent=caller.traceparent,
    )
