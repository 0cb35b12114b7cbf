"""What is built from the configuration, each object once: the shelf that the nursery runs.

Building opens nothing: no socket, no file but prices and certificates. What runs, and when, is
the nursery's.
"""

from payd import __version__
from payd.telemetry import Metrics
from payd.daemon.build.servers import build_grpc, grpc_door, http_limits
from payd.daemon.current import Holder
from payd.daemon.build.adapters import (
    Outside,
    build_outside,
    build_stream,
    build_stream_setup,
    build_vault,
    database_settings,
)
from payd.daemon.build.providers import provider_observer
from payd.daemon.build.use_cases import (
    UseCases,
    build_audit,
    build_use_cases,
    payment_rules,
)

__all__ = [
    "Holder",
    "Outside",
    "UseCases",
    "build_audit",
    "build_grpc",
    "build_outside",
    "build_stream",
    "build_stream_setup",
    "build_use_cases",
    "build_vault",
    "database_settings",
    "grpc_door",
    "http_limits",
    "new_metrics",
    "payment_rules",
    "provider_observer",
]


def new_metrics() -> Metrics:
    """The registry of this process."""
    return Metrics(__version__)
