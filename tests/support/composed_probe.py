"""Check a running composition as an operator would.

`python composed_probe.py FOLDER PKI DOMAIN`.

Prints one JSON document. Runs where the composition's ports are (see composed.py).
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import nats
from grpclib.health.v1 import health_pb2
from payd_client.proto import payment_pb2 as pb

from support.daemon import Client, a_quote_request, a_request

PATIENCE_S = 600.0


def through_caddy(folder: Path, domain: str) -> dict[str, Any]:
    """Send requests to port 443, with the certificate of Caddy's own CA."""
    ca = folder / "volumes" / "caddy-data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    until = time.monotonic() + PATIENCE_S
    while not ca.exists():
        assert time.monotonic() < until, (folder / "caddy.log").read_text()
        time.sleep(0.1)
    named: dict[str, Any] = {"headers": {"Host": domain}, "extensions": {"sni_hostname": domain}}
    with httpx.Client(verify=str(ca), base_url="https://127.0.0.1", timeout=20) as client:
        while True:
            try:
                methods = client.get("/api/v1/payment-methods", **named)
                break
            except httpx.TransportError:
                assert time.monotonic() < until, (folder / "caddy.log").read_text()
                time.sleep(0.1)
        return {
            "methods": [method["method"] for method in methods.json()["methods"]],
            "webhook": client.post("/webhooks/nobody", content=b"{}", **named).status_code,
            "readyz": client.get("/readyz", **named).status_code,
        }


def over_grpc(pki: Path) -> dict[str, Any]:
    """Check health, ask for a quote, and run a payment from start to end."""
    credentials = grpc.ssl_channel_credentials(
        *((pki / name).read_bytes() for name in ("ca.crt", "client.key", "client.crt"))
    )
    with grpc.secure_channel("localhost:50051", credentials) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        health = check(health_pb2.HealthCheckRequest(), timeout=20).status
    with Client("localhost:50051", pki, "client") as client:
        quote = client.call("GetQuote", a_quote_request()).quote
        payment = client.wait_for(
            client.call("InitiatePayment", a_request()).payment.id, "COMPLETED"
        )
    return {
        "health": health_pb2.HealthCheckResponse.ServingStatus.Name(health),
        "quotes hold": bool(quote.quote_token),
        "payment": payment.id,
        "status": pb.PaymentStatus.Name(payment.status),
    }


async def first_event() -> dict[str, str]:
    """Read the subject and payment of the stream's first message."""
    client = await nats.connect("nats://127.0.0.1:4222")
    try:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                message = await client.jetstream().get_msg("PAYMENTS", 1)
                break
            except nats.js.errors.NotFoundError:
                assert time.monotonic() < until, "no event was published"
                await asyncio.sleep(0.1)
        return {"subject": str(message.subject), "payment": json.loads(message.data or b"")["id"]}
    finally:
        await client.close()


if __name__ == "__main__":
    place = Path(sys.argv[1])
    found = {
        "readyz": httpx.get("http://127.0.0.1:8085/readyz").json(),
        "caddy": through_caddy(place, sys.argv[3]),
        "grpc": over_grpc(Path(sys.argv[2])),
        "event": asyncio.run(first_event()),
    }
    print(json.dumps(found))  # noqa: T201 - the answer
