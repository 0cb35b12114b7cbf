"""Configuration → objects: adapters, use cases and servers, each built once.

Building opens no socket and reads only prices and certificates. The supervisor (payd.nursery)
decides what runs and when.
"""

from payd import __version__
from payd.daemon.builders.adapters import (
    Adapters,
    audit_key,
    build_adapters,
    build_stream,
    build_stream_setup,
    build_tracer,
    build_vault,
    database_settings,
    payment_rules,
)
from payd.daemon.builders.console import build_console, open_console
from payd.daemon.builders.pages import build_pages
from payd.daemon.builders.providers import guarded_methods, provider_observer
from payd.daemon.builders.servers import (
    build_grpc,
    build_webhooks,
    grpc_settings,
    http_limits,
)
from payd.daemon.builders.use_cases import UseCases, build_audit, build_use_cases
from payd.daemon.current import CurrentConfig
from payd.telemetry import Metrics

__all__ = [
    "Adapters",
    "CurrentConfig",
    "UseCases",
    "audit_key",
    "build_adapters",
    "build_audit",
    "build_console",
    "build_grpc",
    "build_pages",
    "build_stream",
    "build_stream_setup",
    "build_tracer",
    "build_use_cases",
    "build_vault",
    "build_webhooks",
    "database_settings",
    "grpc_settings",
    "guarded_methods",
    "http_limits",
    "new_metrics",
    "open_console",
    "payment_rules",
    "provider_observer",
]


def new_metrics() -> Metrics:
    """Create the metrics registry of this process."""
    return Metrics(__version__)
