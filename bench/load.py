"""A load generator of its own process: N callers in a closed loop, for some seconds, as JSON."""

import argparse
import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
from payd_client.proto import payment_pb2 as pb

Call = Callable[[], Awaitable[object]]


async def main() -> None:
    """Warm up, measure, print one JSON document."""
    args = _arguments()
    async with _channel(args.target, args.pki) as channel:
        call = await _caller(channel, args.method, args.scenario)
        warmup, _ = await _loop(call, args.concurrency, args.warmup)
        started = time.perf_counter()
        latencies, errors = await _loop(call, args.concurrency, args.seconds)
        took = time.perf_counter() - started
    latencies.sort()
    print(
        json.dumps(
            {
                "warmup_calls": len(warmup),
                "calls": len(latencies),
                "errors": errors,
                "per_second": round(len(latencies) / took, 1),
                "p50_ms": _percentile(latencies, 0.50),
                "p99_ms": _percentile(latencies, 0.99),
            }
        )
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("pki", type=Path)
    parser.add_argument("method", choices=["InitiatePayment", "GetPayment"])
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warmup", type=float, default=1)
    parser.add_argument("--scenario", default="pending")
    return parser.parse_args()


def _channel(target: str, pki: Path) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(pki / "ca.crt").read_bytes(),
        private_key=(pki / "client.key").read_bytes(),
        certificate_chain=(pki / "client.crt").read_bytes(),
    )
    return grpc.aio.secure_channel(target, credentials)


async def _caller(channel: grpc.aio.Channel, method: str, scenario: str) -> Call:
    initiate = channel.unary_unary(
        "/payd.v1.PaymentService/InitiatePayment",
        request_serializer=pb.InitiatePaymentRequest.SerializeToString,
        response_deserializer=pb.InitiatePaymentResponse.FromString,
    )

    async def new_payment() -> pb.InitiatePaymentResponse:
        response: pb.InitiatePaymentResponse = await initiate(_request(scenario), timeout=30)
        return response

    if method == "InitiatePayment":
        return new_payment
    get = channel.unary_unary(
        "/payd.v1.PaymentService/GetPayment",
        request_serializer=pb.GetPaymentRequest.SerializeToString,
        response_deserializer=pb.GetPaymentResponse.FromString,
    )
    known = pb.GetPaymentRequest(payment_id=(await new_payment()).payment.id)
    return lambda: get(known, timeout=30)


def _request(scenario: str) -> pb.InitiatePaymentRequest:
    return pb.InitiatePaymentRequest(
        idempotency_key=str(uuid.uuid4()),
        customer=pb.Customer(id=f"user-{uuid.uuid4().int % 1000}"),
        items=[
            pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d"),
            pb.Item(chain_profile_id="polygon-mainnet", node_type="full", duration="7d"),
        ],
        method="mock",
        subscription_ids=[str(uuid.uuid4())],
        return_url="https://shop.example/return",
        cancel_url="https://shop.example/cancel",
        metadata={"mock_scenario": scenario},
    )


async def _loop(call: Call, concurrency: int, seconds: float) -> tuple[list[float], int]:
    latencies: list[float] = []
    errors = 0
    until = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal errors
        while (start := time.perf_counter()) < until:
            try:
                await call()
            except grpc.aio.AioRpcError:
                errors += 1
            else:
                latencies.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as callers:
        for _ in range(concurrency):
            callers.create_task(caller())
    return latencies, errors


def _percentile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 2)


if __name__ == "__main__":
    asyncio.run(main())
