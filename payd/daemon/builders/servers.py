"""Build the gRPC server, the route for webhooks, and the limits of the HTTP server."""

from payd.adapters import bridge
from payd.config import Config
from payd.daemon.builders.adapters import Adapters
from payd.daemon.builders.use_cases import UseCases
from payd.daemon.current import CurrentConfig
from payd.telemetry import Metrics, rpc_observer
from payd.transport.grpc.calls import Limits
from payd.transport.grpc.handlers import Services
from payd.transport.grpc.limits import ConnectionLimits
from payd.transport.grpc.server import GrpcServer, GrpcSettings
from payd.transport.grpc.tls import (
    Tls,
)
from payd.transport.http.serve import HttpLimits
from payd.transport.http.webhooks import Webhooks

#: Calls at once on one connection, beside its watches: the number that HTTP/2 recommends.
_STREAMS = 100


def build_grpc(
    config: Config,
    tls: Tls,
    services: Services,
    current: CurrentConfig,
    metrics: Metrics,
    adapters: Adapters,
) -> GrpcServer:
    """Build the gRPC server; `start` opens its port."""

    async def wait_of(client: str) -> float:
        wait_s = await adapters.limiter.admit(client)
        if wait_s > 0:
            metrics.rate_limited.labels(client).inc()
        return wait_s

    return GrpcServer(
        grpc_settings(config),
        tls,
        services,
        current.clients,
        rpc_observer(metrics),
        lambda reason: metrics.cut.labels(reason).inc(),
        wait_of if config.grpc.rate_per_client else None,
        adapters.tracer,
    )


def build_webhooks(use_cases: UseCases, metrics: Metrics, adapters: Adapters) -> Webhooks:
    """Build the route for webhooks, which runs on trio."""
    return Webhooks(
        intake=bridge.for_trio(use_cases.intake),
        on_webhook=lambda provider, outcome: metrics.webhooks.labels(provider, outcome).inc(),
        on_events=lambda provider, outcome, number: metrics.webhook_events.labels(
            provider, outcome
        ).inc(number),
        tracer=adapters.tracer,
    )


def grpc_settings(config: Config) -> GrpcSettings:
    """Address and limits of the gRPC listener."""
    grpc = config.grpc
    return GrpcSettings(
        host=grpc.host,
        port=grpc.port,
        shares_port=config.share_ports,
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
            # Watches are streams that stay: they must not keep a client's other calls waiting.
            streams=_STREAMS + grpc.max_watches,
            header_bytes=grpc.max_header_bytes,
        ),
    )


def http_limits(config: Config) -> HttpLimits:
    """Limits of the HTTP server for unauthenticated requests."""
    http = config.http
    return HttpLimits(
        max_connections=http.max_connections,
        max_request_bytes=http.max_body_bytes,
        request_timeout_s=http.request_timeout_s,
    )
