"""Webhook load, a process of its own: signed webhooks, timed to 2xx and to their event in NATS.

With `--alone` each is sent only after the event of the one before.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import nats
from payd_client.proto import payment_pb2 as pb

from bench.load import channel, initiate_stub, request
from bench.measured import percentile


async def main() -> None:
    """Start payments, print "ready", and at the next line complete them; print JSON."""
    args = _arguments()
    bodies = await _completions(args) if args.grpc else _unknown(args.count)
    received: dict[str, float] = {}
    news = asyncio.Condition()
    client = await nats.connect(args.nats) if args.grpc else None
    if client is not None:

        async def receive(message: Any) -> None:
            received[json.loads(message.data)["id"]] = time.perf_counter()
            async with news:
                news.notify_all()

        await client.subscribe("payment.completed", cb=receive)
        await client.flush()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

    async def until_received(wanted: Iterable[str]) -> None:
        awaited = set(wanted)
        async with asyncio.timeout(60), news:
            await news.wait_for(lambda: received.keys() >= awaited)

    sent, answers, took = await _send(args, list(bodies.items()), until_received)
    if client is not None:
        await until_received(bodies)
        await client.close()
    ways = sorted(received[one] - sent[one] for one in bodies if one in received)
    print(
        json.dumps(
            {
                "calls": len(bodies),
                "errors": len(bodies) - len(answers),
                "per_second": round(len(answers) / took, 1),
                "p50_ms": percentile(sorted(answers), 0.50),
                "p99_ms": percentile(sorted(answers), 0.99),
                "events": len(ways),
                "event_p50_ms": percentile(ways, 0.50),
                "event_p99_ms": percentile(ways, 0.99),
            }
        )
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("http", help="host:port")
    parser.add_argument("secret")
    parser.add_argument("--provider", default="null", choices=["null", "stripe"])
    parser.add_argument("--stripe", help="URL of Stripe's stand-in")
    parser.add_argument("--grpc", help="where to start payments; without it, bodies of no payment")
    parser.add_argument("--pki", type=Path)
    parser.add_argument("--nats")
    parser.add_argument("--count", type=int, default=1200)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--alone", action="store_true", help="wait for each event")
    return parser.parse_args()


async def _completions(args: argparse.Namespace) -> dict[str, bytes]:
    """Start payments; return the webhook that completes each, by payment id."""
    answers: list[pb.InitiatePaymentResponse] = []
    async with channel(args.grpc, args.pki) as one:
        initiate = initiate_stub(one)
        left = iter(range(args.count))
        method = "card" if args.provider == "stripe" else "null"

        async def caller() -> None:
            for _ in left:
                answer = await initiate(request(method), timeout=30)
                answers.append(answer)

        async with asyncio.TaskGroup() as callers:
            for _ in range(16):
                callers.create_task(caller())
    if args.provider == "null":
        return {one.payment.id: _receipt_body(one.payment) for one in answers}
    ours = {one.payment.id for one in answers}
    sessions = await asyncio.to_thread(_sessions, args.stripe)
    return {
        session["client_reference_id"]: _session_body(session)
        for session in sessions
        if session["client_reference_id"] in ours
    }


def _unknown(count: int) -> dict[str, bytes]:
    return {str(n): receipts_body(f"evt_{uuid4().hex}", str(uuid4()), []) for n in range(count)}


def _sessions(stripe: str) -> list[dict[str, Any]]:
    with urlopen(f"{stripe}/_control/sessions") as answer:
        sessions: list[dict[str, Any]] = json.load(answer)["sessions"]
        return sessions


def _receipt_body(payment: pb.Payment) -> bytes:
    receipt = f"null_{payment.id}", payment.amount.minor_units
    return receipts_body(f"evt_{payment.id}", payment.id, [receipt])


def receipts_body(event_id: str, payment_id: str, receipts: Sequence[tuple[str, int]]) -> bytes:
    """Return the null provider's webhook for these receipts, each an id and an amount."""
    data = {"reference": payment_id, "time": int(time.time()), "receipts": receipts}
    return json.dumps({"id": event_id, "type": "receipts", "data": data}).encode()


def _session_body(session: dict[str, Any]) -> bytes:
    paid = {**session, "status": "complete", "payment_status": "paid", "payment_intent": None}
    return json.dumps(
        {
            "id": f"evt_{uuid4().hex}",
            "object": "event",
            "type": "checkout.session.completed",
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": paid},
        }
    ).encode()


async def _send(
    args: argparse.Namespace,
    bodies: Sequence[tuple[str, bytes]],
    until_received: Callable[[Iterable[str]], Awaitable[None]],
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
            writer.write(http_request(args.provider, args.secret, body))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            await reader.readexactly(length)
            if head.startswith(b"HTTP/1.1 200"):
                answers.append(time.perf_counter() - start)
            if args.alone:
                await until_received([payment_id])
        writer.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(args.concurrency):
            group.create_task(caller())
    return sent, answers, time.perf_counter() - began


def http_request(provider: str, secret: str, body: bytes) -> bytes:
    """Return a whole HTTP request with a signature as Stripe's."""
    stamp = int(time.time())
    signed = f"{stamp}.".encode() + body
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    head = (
        f"POST /webhooks/{provider} HTTP/1.1\r\nHost: payd\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: t={stamp},v1={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    asyncio.run(main())
