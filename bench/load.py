"""Load generator, a process of its own: N callers in a closed loop for some seconds; prints JSON.

`initiate` starts a payment, `get` reads a stored one. `whole` starts one, pays it as soon as its
URL is known, and waits for its event in NATS.
"""

import argparse
import asyncio
import itertools
import json
import random
import socket
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import nats
from payd_client.proto import payment_pb2 as pb

from bench.measured import percentile
from bench.stored import stored_id

Call = Callable[[], Awaitable[object]]
CALLS = ("initiate", "get", "whole")
_SERVICE = "/payd.v1.PaymentService/"
_TIMEOUT_S = 30


async def main() -> None:
    """Warm up, measure, print one JSON document."""
    args = _arguments()
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(channel(args.target, args.pki))
            for _ in range(args.connections)
        ]
        initiates = itertools.cycle([_initiate(one, args.method, args.call) for one in channels])
        if args.call == "initiate":
            call = _alternately(initiates)
        elif args.call == "get":
            call = _alternately(itertools.cycle([_get(one, args.stored) for one in channels]))
        else:
            completed = await stack.enter_async_context(_completed(args.nats))
            payer = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            call = _whole(_alternately(initiates), payer, completed)
        warmup, failed = await _loop(call, args.concurrency, args.warmup)
        started = time.perf_counter()
        latencies, errors = await _loop(call, args.concurrency, args.seconds)
        took = time.perf_counter() - started
    latencies.sort()
    print(
        json.dumps(
            {
                "calls": len(warmup) + len(latencies),
                "errors": errors + failed,
                "per_second": round(len(latencies) / took, 1),
                "p50_ms": percentile(latencies, 0.50),
                "p99_ms": percentile(latencies, 0.99),
            }
        )
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("pki", type=Path)
    parser.add_argument("call", choices=CALLS)
    parser.add_argument("--method", default="mock")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warmup", type=float, default=1)
    parser.add_argument("--stored", type=int, default=0, help="payments that `get` may choose from")
    parser.add_argument("--nats", help="URL; for `whole`")
    return parser.parse_args()


def channel(target: str, pki: Path) -> grpc.aio.Channel:
    """Open a channel with a connection of its own."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(pki / "ca.crt").read_bytes(),
        private_key=(pki / "client.key").read_bytes(),
        certificate_chain=(pki / "client.crt").read_bytes(),
    )
    return grpc.aio.secure_channel(
        target, credentials, options=[("grpc.use_local_subchannel_pool", 1)]
    )


def initiate_stub(one: grpc.aio.Channel) -> Any:
    """Return the InitiatePayment method of a channel."""
    return one.unary_unary(
        _SERVICE + "InitiatePayment",
        request_serializer=pb.InitiatePaymentRequest.SerializeToString,
        response_deserializer=pb.InitiatePaymentResponse.FromString,
    )


def _initiate(one: grpc.aio.Channel, method: str, call: str) -> Call:
    initiate = initiate_stub(one)
    scenario = "complete" if call == "whole" else "pending"
    return lambda: initiate(request(method, scenario), timeout=_TIMEOUT_S)


def _get(one: grpc.aio.Channel, stored: int) -> Call:
    get = one.unary_unary(
        _SERVICE + "GetPayment",
        request_serializer=pb.GetPaymentRequest.SerializeToString,
        response_deserializer=pb.GetPaymentResponse.FromString,
    )

    def call() -> Awaitable[object]:
        payment_id = str(stored_id(random.randrange(stored)))
        answer: Awaitable[object] = get(
            pb.GetPaymentRequest(payment_id=payment_id), timeout=_TIMEOUT_S
        )
        return answer

    return call


def _alternately(calls: "itertools.cycle[Call]") -> Call:
    def call() -> Awaitable[object]:
        return next(calls)()

    return call


def request(method: str, scenario: str = "pending") -> pb.InitiatePaymentRequest:
    """Return a request as a shop sends it, for two items."""
    return pb.InitiatePaymentRequest(
        idempotency_key=str(uuid.uuid4()),
        customer=pb.Customer(id=f"user-{uuid.uuid4().int % 1000}"),
        items=[
            pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d"),
            pb.Item(chain_profile_id="polygon-mainnet", node_type="full", duration="7d"),
        ],
        method=method,
        subscription_ids=[str(uuid.uuid4())],
        return_url="https://shop.example/return",
        cancel_url="https://shop.example/cancel",
        metadata={"mock_scenario": scenario},
    )


class Completed:
    """Waits for the event of a payment, which may come before the answer to its call."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._early: set[str] = set()

    def receive(self, payment_id: str) -> None:
        """Note an event."""
        if waiting := self._waiting.pop(payment_id, None):
            waiting.set_result(None)
        else:
            self._early.add(payment_id)

    async def wait(self, payment_id: str) -> None:
        """Return when the event has come; raises TimeoutError."""
        if payment_id in self._early:
            self._early.remove(payment_id)
            return
        future = self._waiting[payment_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await future
        finally:
            self._waiting.pop(payment_id, None)


@asynccontextmanager
async def _completed(url: str) -> AsyncIterator[Completed]:
    completed = Completed()
    client = await nats.connect(url)

    async def receive(message: Any) -> None:
        completed.receive(json.loads(message.data)["id"])

    await client.subscribe("payment.completed", cb=receive)
    await client.flush()
    try:
        yield completed
    finally:
        await client.close()


def _whole(initiate: Call, payer: socket.socket, completed: Completed) -> Call:
    async def whole() -> None:
        answer: Any = await initiate()
        if answer.payment.method == "null":
            payer.sendto(*_paid(answer.payment))
        await completed.wait(answer.payment.id)

    return whole


def _paid(payment: pb.Payment) -> tuple[bytes, tuple[str, int]]:
    """Return the datagram that pays a payment of the null provider, and its address.

    The mock provider pays by itself.
    """
    amount = payment.amount
    port = urlsplit(payment.next_action.redirect.url).port
    assert port
    datagram = f"{payment.id} {amount.currency_code} {amount.minor_units}"
    return datagram.encode(), ("127.0.0.1", port)


async def _loop(call: Call, concurrency: int, seconds: float) -> tuple[list[float], int]:
    latencies: list[float] = []
    errors = 0
    until = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal errors
        while (start := time.perf_counter()) < until:
            try:
                await call()
            except (grpc.aio.AioRpcError, TimeoutError):
                errors += 1
            else:
                latencies.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as callers:
        for _ in range(concurrency):
            callers.create_task(caller())
    return latencies, errors


if __name__ == "__main__":
    asyncio.run(main())
