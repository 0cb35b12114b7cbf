"""What is told: log lines, metrics, and nothing secret in either.

Imports nothing of payd. Other rooms import these names from here; what a line or a series means
belongs to who writes it.
"""

from payd.telemetry.lines import (
    MASK,
    configure_logging,
    forget_secret,
    get_logger,
    register_secret,
    set_level,
)
from payd.telemetry.metrics import Metrics, ProviderFigures, http_observer, rpc_observer
from payd.telemetry.secret import REDACTED, Secret

__all__ = [
    "MASK",
    "REDACTED",
    "Metrics",
    "ProviderFigures",
    "Secret",
    "configure_logging",
    "forget_secret",
    "get_logger",
    "http_observer",
    "register_secret",
    "rpc_observer",
    "set_level",
]
