"""Webhooks as a load: signed, sent over kept connections, timed to their event in JetStream."""

import argparse
import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import nats
from payd_client.proto import payment_pb2 as pb

from bench.load import _channel, _percentile

#: So many webhooks of the whole are sent one after the other, for the time to the event.
_PACED_SHARE = 0.25


async def main() -> None:
    """Start payments by card, complete them by webhook, print one JSON document."""
    args = _arguments()
    if args.stripe:
        bodies = await _completions(args)
    else:
        bodies = {str(uuid4()): _body(str(uuid4()), _PLAIN_SESSION) for _ in range(args.count)}
    ids = list(bodies)
    paced, flood = ids[: int(len(ids) * _PACED_SHARE)], ids[int(len(ids) * _PACED_SHARE) :]
    told: dict[str, float] = {}
    client = await nats.connect(args.nats) if args.nats else None
    if client is not None:

        async def hear(message: Any) -> None:
            told[json.loads(message.data)["id"]] = time.perf_counter()

        await client.subscribe("payment.completed", cb=hear)
        await client.flush()
    result: dict[str, Any] = {}
    for name, chosen, callers in (("paced", paced, 1), ("flood", flood, args.concurrency)):
        sent, answers, took = await _send(args, [(i, bodies[i]) for i in chosen], callers)
        await _until_told(told, chosen, client)
        ways = sorted(told[i] - sent[i] for i in chosen if i in told)
        result[name] = {
            "calls": len(chosen),
            "errors": len(chosen) - len(answers),
            "per_second": round(len(answers) / took, 1),
            "p50_ms": _percentile(sorted(answers), 0.50),
            "p99_ms": _percentile(sorted(answers), 0.99),
            "events": len(ways),
            "event_p50_ms": _percentile(ways, 0.50),
            "event_p99_ms": _percentile(ways, 0.99),
        }
    if client is not None:
        await client.close()
    print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("http", help="host:port")
    parser.add_argument("secret")
    parser.add_argument("--stripe", help="the stand-in's URL; without it, bodies of no payment")
    parser.add_argument("--grpc")
    parser.add_argument("--pki", type=Path)
    parser.add_argument("--nats")
    parser.add_argument("--count", type=int, default=1200)
    parser.add_argument("--concurrency", type=int, default=16)
    return parser.parse_args()


async def _completions(args: argparse.Namespace) -> dict[str, bytes]:
    """By payment: the webhook that completes it."""
    async with _channel(args.grpc, args.pki) as channel:
        initiate = channel.unary_unary(
            "/payd.v1.PaymentService/InitiatePayment",
            request_serializer=pb.InitiatePaymentRequest.SerializeToString,
            response_deserializer=pb.InitiatePaymentResponse.FromString,
        )
        left = iter(range(args.count))

        async def caller() -> None:
            for _ in left:
                await initiate(_request(), timeout=30)

        async with asyncio.TaskGroup() as callers:
            for _ in range(16):
                callers.create_task(caller())
    sessions = await asyncio.to_thread(_sessions, args.stripe)
    return {s["client_reference_id"]: _body(f"evt_{n}", s) for n, s in enumerate(sessions)}


def _sessions(stripe: str) -> list[dict[str, Any]]:
    with urlopen(f"{stripe}/_control/sessions") as answer:
        sessions: list[dict[str, Any]] = json.load(answer)["sessions"]
        return sessions


def _request() -> pb.InitiatePaymentRequest:
    return pb.InitiatePaymentRequest(
        idempotency_key=str(uuid4()),
        customer=pb.Customer(id="bench"),
        items=[pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")],
        method="card",
        return_url="https://shop.example/return",
    )


_PLAIN_SESSION = {"id": "cs_test_1", "object": "checkout.session", "padding": "x" * 2500}


def _body(event_id: str, session: dict[str, Any]) -> bytes:
    paid = {**session, "status": "complete", "payment_status": "paid", "payment_intent": None}
    return json.dumps(
        {
            "id": event_id.replace("-", ""),
            "object": "event",
            "type": "checkout.session.completed",
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": paid},
        }
    ).encode()


async def _send(
    args: argparse.Namespace, bodies: Sequence[tuple[str, bytes]], callers: int
) -> tuple[dict[str, float], list[float], float]:
    """When each was sent, how long each 2xx took, and how long all took."""
    host, _, port = args.http.partition(":")
    left = iter(bodies)
    sent: dict[str, float] = {}
    answers: list[float] = []

    async def caller() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for payment_id, body in left:
            start = sent[payment_id] = time.perf_counter()
            writer.write(_http(args.secret, body))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            await reader.readexactly(length)
            if head.startswith(b"HTTP/1.1 200"):
                answers.append(time.perf_counter() - start)
        writer.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    return sent, answers, time.perf_counter() - began


def _http(secret: str, body: bytes) -> bytes:
    stamp = int(time.time())
    signed = f"{stamp}.".encode() + body
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    head = (
        "POST /webhooks/stripe HTTP/1.1\r\nHost: payd\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: t={stamp},v1={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _until_told(told: dict[str, float], wanted: Sequence[str], client: Any) -> None:
    if client is None:
        return
    async with asyncio.timeout(30):
        while not told.keys() >= set(wanted):  # noqa: ASYNC110 - not at once for each event
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main())
