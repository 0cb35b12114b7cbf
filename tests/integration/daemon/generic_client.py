"""A client and a consumer that know nothing of payd: grpcio with reflection, and nats-py.

In a process of its own: grpclib's and grpcio's reflection descriptors collide in one.
`python generic_client.py DEV_JSON PKI` pays once and prints what it saw as JSON.
"""

import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import grpc
import nats
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SERVICE = "payd.v1.PaymentService"


def pay(channel: grpc.Channel) -> dict[str, Any]:
    """InitiatePayment, from the descriptors of the server's reflection."""
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = DescriptorPool(database)
    services = list(database.get_services())
    method = pool.FindServiceByName(SERVICE).FindMethodByName("InitiatePayment")
    request, response = map(GetMessageClass, (method.input_type, method.output_type))
    fields = {
        "idempotency_key": str(uuid.uuid4()),
        "customer": {"id": "generic"},
        "items": [{"chain_profile_id": "ethereum-mainnet", "node_type": "full", "duration": "30d"}],
        "method": "mock",
    }
    call = channel.unary_unary(
        f"/{SERVICE}/InitiatePayment",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    answer = call(ParseDict(fields, request()), timeout=10)
    return {"services": services, **MessageToDict(answer, preserving_proto_field_name=True)}


async def receive(url: str, payment_id: str) -> dict[str, Any]:
    """The event of the payment, through the durable consumer of the contract."""
    client = await nats.connect(url)
    try:
        found = await client.jetstream().pull_subscribe("payment.>", durable="main-app-payment")
        while True:
            [message] = await found.fetch(1, timeout=20)
            await message.ack()
            body = json.loads(message.data)
            if body["id"] == payment_id:
                return {
                    "subject": message.subject,
                    "headers": dict(message.headers or {}),
                    "body": body,
                }
    finally:
        await client.close()


def main() -> None:
    """Pay, wait for the event, print both."""
    dev = json.loads(Path(sys.argv[1]).read_text())
    pki = Path(sys.argv[2])
    credentials = grpc.ssl_channel_credentials(
        *((pki / name).read_bytes() for name in ("ca.crt", "client.key", "client.crt"))
    )
    with grpc.secure_channel(dev["grpc"], credentials) as channel:
        paid = pay(channel)
    event = asyncio.run(receive(dev["nats"], paid["payment"]["id"]))
    sys.stdout.write(json.dumps({"paid": paid, "event": event}))


if __name__ == "__main__":
    main()
