"""Log lines and metrics, with secrets masked.

Imports no other room of payd. Other packages import these names from here, and define the meaning
of their own log events.
"""

from payd.telemetry.lines import (
    MASK,
    configure_logging,
    forget_secret,
    get_logger,
    register_secret,
    set_level,
    without_secrets,
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
    "without_secrets",
]
