"""What is told: log lines, metrics, and nothing secret in either.

Imports nothing of payd. Lines go to stderr, JSON unless that is a terminal; a value that was
registered as secret is masked wherever it turns up.
"""

import logging
import sys
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

MASK = "**********"

_secrets: set[str] = set()
#: Keys whose values are never shown, whatever they are.
_SECRET_KEYS = ("password", "secret", "authorization", "seed", "private_key", "api_key")

#: From a cache hit to a provider's deadline.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def get_logger(name: str) -> Any:
    """A structlog logger: a past-tense event word, then fields."""
    return structlog.get_logger(name)


def register_secret(value: str) -> None:
    """Mask `value` in every line from now on."""
    if value:
        _secrets.add(value)


def configure_logging(level: str, form: Literal["auto", "json", "console"]) -> None:
    """Set up structlog, and the standard library's logging through it. Repeatable."""
    as_console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    ends: list[Any] = [structlog.dev.ConsoleRenderer()]
    if not as_console:
        ends = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _hide_secret_keys,
                *ends,
                _mask_secrets,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries speak of what payd reports itself, and of each client's hiccup.
    for noisy in ("nats", "grpclib", "hypercorn", "asyncio", "hpack", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    set_level(level)


def set_level(level: str) -> None:
    """Change the least severe level that is written."""
    logging.getLogger().setLevel(level.upper())


def _hide_secret_keys(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key in line:
        if any(part in key.lower() for part in _SECRET_KEYS):
            line[key] = MASK
    return line


def _mask_secrets(_logger: object, _method: str, line: Any) -> str:
    text = str(line)
    for secret in _secrets:
        text = text.replace(secret, MASK)
    return text


class Metrics:
    """Every series of payd: one-word prefix, base units, no ids in labels."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="payd", registry=self.registry)
        self._build(version)
        self.rpcs = self._counter("grpc_requests", "RPCs answered.", ("method", "code"))
        self.rpc_seconds = self._histogram("grpc_request_duration", "RPC time.", ("method",))
        self.rpcs_in_flight = self._gauge("grpc_in_flight", "RPCs under way.")
        self.http = self._counter("http_requests", "HTTP requests answered.", ("path", "code"))
        self.payments = self._counter(
            "payments", "Payments that entered a status.", ("method", "status")
        )
        self.outbox_depth = self._gauge("outbox_depth", "Events not yet published.")
        self.outbox_age = self._gauge(
            "outbox_oldest_age_seconds", "Age of the oldest event not yet published."
        )
        self.inbox_depth = self._gauge("inbox_depth", "Observations not yet settled.")
        self.published = self._counter("published", "Events published.", ("subject", "outcome"))
        self.provider_calls = self._counter(
            "provider_calls", "Calls of providers.", ("provider", "operation", "outcome")
        )
        self.provider_seconds = self._histogram(
            "provider_call_duration", "Time of provider calls.", ("provider", "operation")
        )
        self.provider_up = self._gauge("provider_up", "Provider ready (1) or not.", ("provider",))
        self.pool_size = self._gauge("db_pool_size", "Database connections open.")
        self.pool_in_use = self._gauge("db_pool_in_use", "Database connections busy.")
        self.batch_size = Histogram(
            "payd_db_batch_size",
            "Payments written by one statement.",
            ("statement",),
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.restarts = self._counter("task_restarts", "Background task restarts.", ("task",))
        self.failures = self._counter("task_failures", "Rows that a task failed on.", ("task",))
        self.loop_lag = self._gauge("loop_lag_seconds", "Lateness of a timer.", ("loop",))
        self.loop_exceptions = self._counter(
            "loop_exceptions", "Exceptions that nobody caught on the asyncio loop."
        )
        self.looks = self._counter("recovery_looks", "Looks of recovery.", ("outcome",))
        self.ready = self._gauge("ready", "Whether the daemon can take work.")

    def _build(self, version: str) -> None:
        info = self._gauge("build_info", "The running version.", ("version",))
        info.labels(version).set(1)

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"payd_{name}_total", text, tuple(labels), registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(f"payd_{name}", text, tuple(labels), registry=self.registry)

    def _histogram(self, name: str, text: str, labels: Iterable[str] = ()) -> Histogram:
        return Histogram(
            f"payd_{name}_seconds",
            text,
            tuple(labels),
            buckets=_SECONDS,
            registry=self.registry,
        )


def rpc_observer(metrics: Metrics) -> Callable[..., None]:
    """One canonical line and the RED metrics for each RPC."""
    log = get_logger("payd.rpc")

    def observe(
        method: str, code: str, seconds: float, origin: Any, error: BaseException | None
    ) -> None:
        metrics.rpcs.labels(method, code).inc()
        metrics.rpc_seconds.labels(method).observe(seconds)
        fields = {
            "method": method,
            "code": code,
            "duration_ms": round(seconds * 1000, 2),
            "actor": origin.actor,
            "reason": getattr(error, "reason", None),
        }
        if error is not None and code == "INTERNAL":
            log.error("rpc_finished", **fields, exc_info=error)
        else:
            log.info("rpc_finished", **fields)

    return observe
