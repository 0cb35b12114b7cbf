"""A program that knows nothing of payd's code: reflection, a call, and an error's details.

Runs in a process of its own, because the descriptors of two gRPC libraries collide in one.
"""

import json
import sys
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SERVICE = "payd.v1.PaymentService"


def main(target: str, pki: Path) -> dict[str, object]:
    """What it learned."""
    credentials = grpc.ssl_channel_credentials(
        *((pki / name).read_bytes() for name in ("ca.crt", "client.key", "client.crt"))
    )
    with grpc.secure_channel(target, credentials) as channel:
        reflection = ProtoReflectionDescriptorDatabase(channel)
        services = list(reflection.get_services())
        methods = DescriptorPool(reflection).FindServiceByName(SERVICE).methods_by_name

        def call(name: str, **fields: Any) -> Any:
            method = methods[name]
            rpc = channel.unary_unary(
                f"/{SERVICE}/{name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            return rpc(GetMessageClass(method.input_type)(**fields), timeout=20)

        item = {"chain_profile_id": "ethereum-mainnet", "node_type": "full", "duration": "30d"}
        quote = call("GetQuote", method="card", items=[item]).quote
        try:
            call("GetPayment", payment_id="nonsense")
        except grpc.RpcError as error:
            details = dict(error.trailing_metadata())["grpc-status-details-bin"]
            code = error.code().name
    [info] = (
        error_details_pb2.ErrorInfo.FromString(detail.value)
        for detail in status_pb2.Status.FromString(details).details
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)
    )
    return {
        "services": services,
        "methods": sorted(methods),
        "total": quote.total.minor_units,
        "code": code,
        "reason": info.reason,
        "metadata": dict(info.metadata),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))  # noqa: T201 - the test reads it
