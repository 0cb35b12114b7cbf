"""The console's client: the same methods as over gRPC, in the name of the operator."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from payd_client import Caller, PaydClientError
from payd_client.errors import NotFound
from payd_client.proto import payment_pb2 as pb

from payd.domain.errors import PaymentNotFound, StoreUnavailable
from payd.transport.console.own_calls import OwnCalls
from payd.transport.grpc.one_call import Call, Handle, Method
from payd.transport.grpc.roles import ACCESS

BY = Caller(actor="alice", ip="127.0.0.1", request_id="r-1")
PAYMENT = "01a22d4b-dc56-7a5b-a418-b4ce8365626b"


class Recorded:
    """What each call was reported as."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str, str]] = []

    def __call__(self, method: str, code: str, seconds: float, origin: Any, error: Any) -> None:
        self.calls.append((method, code, origin.actor, getattr(error, "reason", "")))


def calls_of(name: str, handle: Handle, seen: Recorded) -> OwnCalls:
    """A client with one method; everything runs on trio here."""

    async def run(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return await function(*args)

    method = Method(request=object, response=object, handle=handle, access=ACCESS[name])
    return OwnCalls({name: method}, run, seen)


async def test_a_call_names_the_operator_and_the_console() -> None:
    origins = []

    async def handle(request: pb.GetConfigurationRequest, call: Call) -> Any:
        origins.append(call.origin)
        return pb.GetConfigurationResponse()

    seen = Recorded()
    await calls_of("GetConfiguration", handle, seen).configuration(caller=BY)
    [origin] = origins
    assert (origin.actor, origin.certificate) == ("operator:console/alice", "console/alice")
    assert (origin.ip, origin.request_id) == ("127.0.0.1", "r-1")
    assert seen.calls == [("GetConfiguration", "OK", "operator:console/alice", "")]


async def test_an_error_has_the_reason_that_a_call_over_grpc_has() -> None:
    async def handle(request: Any, call: Call) -> Any:
        raise PaymentNotFound("no payment has this id", payment_id=PAYMENT)

    seen = Recorded()
    with pytest.raises(NotFound) as caught:
        await calls_of("GetPayment", handle, seen).get(PAYMENT, caller=BY)
    error = caught.value
    assert (error.code, error.reason, error.request_id) == ("NOT_FOUND", "PAYMENT_NOT_FOUND", "r-1")
    assert error.metadata == {"payment_id": PAYMENT}
    assert [code for _, code, _, _ in seen.calls] == ["NOT_FOUND"]


async def test_a_call_that_may_be_repeated_says_when() -> None:
    async def handle(request: Any, call: Call) -> Any:
        raise StoreUnavailable("PostgreSQL is away", retry_after_s=2.0)

    with pytest.raises(PaydClientError) as caught:
        await calls_of("GetPayment", handle, Recorded()).get(PAYMENT, caller=BY)
    assert (caught.value.reason, caught.value.retry_after_s) == ("STORE_UNAVAILABLE", 2.0)


@pytest.mark.parametrize(("name", "goes_on"), [("CancelPayment", True), ("GetPayment", False)])
async def test_a_change_that_has_begun_goes_on_when_the_browser_leaves(
    name: str, goes_on: bool
) -> None:
    ended = []
    has_begun, may_end = trio.Event(), trio.Event()

    async def handle(request: Any, call: Call) -> Any:
        has_begun.set()
        await may_end.wait()
        ended.append(name)
        raise PaymentNotFound("no payment has this id")

    calls = calls_of(name, handle, Recorded())

    async def use() -> None:
        with pytest.raises(PaydClientError):
            await (calls.cancel if name == "CancelPayment" else calls.get)(PAYMENT, caller=BY)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use)
        await has_begun.wait()
        nursery.cancel_scope.cancel()
        may_end.set()
    assert bool(ended) is goes_on


async def test_a_read_without_an_answer_ends(autojump_clock: trio.testing.MockClock) -> None:
    async def handle(request: Any, call: Call) -> Any:
        await trio.sleep_forever()

    seen = Recorded()
    with pytest.raises(PaydClientError) as caught:
        await calls_of("GetPayment", handle, seen).get(PAYMENT, caller=BY)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert [code for _, code, _, _ in seen.calls] == ["DEADLINE_EXCEEDED"]
