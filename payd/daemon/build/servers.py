"""The doors: where they listen, what they take, and their certificates."""

from payd.config import Config
from payd.telemetry import Metrics, rpc_observer
from payd.transport.grpc.calls import Limits
from payd.transport.grpc.handlers import Services
from payd.transport.grpc.limits import ConnectionLimits
from payd.transport.grpc.server import Door, GrpcServer
from payd.transport.grpc.tls import (
    Tls,
)
from payd.transport.http.serve import HttpLimits
from payd.daemon.current import Holder
from payd.daemon.build.adapters import Outside


def build_grpc(
    config: Config, tls: Tls, services: Services, holder: Holder, metrics: Metrics, outside: Outside
) -> GrpcServer:
    """The door, not open yet."""

    async def wait_of(client: str) -> float:
        wait_s = await outside.limiter.admit(client)
        if wait_s > 0:
            metrics.rate_limited.labels(client).inc()
        return wait_s

    return GrpcServer(
        grpc_door(config),
        tls,
        services,
        holder.allowed,
        rpc_observer(metrics),
        lambda reason: metrics.cut.labels(reason).inc(),
        wait_of if config.grpc.rate_per_client else None,
    )


def grpc_door(config: Config) -> Door:
    """Where gRPC listens. Raises ConfigError for missing TLS files."""
    grpc = config.grpc
    return Door(
        host=grpc.host,
        port=grpc.port,
        limits=Limits(
            max_in_flight=grpc.max_in_flight,
            max_message_bytes=grpc.max_message_bytes,
            await_answer_s=config.payments.await_answer_timeout_s,
            message_timeout_s=grpc.message_timeout_s,
        ),
        connections=ConnectionLimits(
            total=grpc.max_connections,
            per_client=grpc.max_connections_per_client,
            handshakes=grpc.max_handshakes,
            handshake_timeout_s=grpc.handshake_timeout_s,
            preface_timeout_s=grpc.preface_timeout_s,
            idle_timeout_s=grpc.idle_timeout_s,
            age_s=grpc.max_connection_age_s,
            stalled_timeout_s=grpc.message_timeout_s,
            resets=grpc.max_resets,
            header_bytes=grpc.max_header_bytes,
        ),
    )


def http_limits(config: Config) -> HttpLimits:
    """What the HTTP door spends on strangers."""
    http = config.http
    return HttpLimits(
        max_connections=http.max_connections,
        max_request_bytes=http.max_body_bytes,
        request_timeout_s=http.request_timeout_s,
    )
