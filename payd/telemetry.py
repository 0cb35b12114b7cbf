"""What is told: log lines, metrics, and nothing secret in either.

Imports nothing of payd. Lines go to stderr, JSON unless that is a terminal, the standard
library's too. A value that was registered as secret, or that is kept under a name that looks
like one, is masked wherever it turns up; a reader of stderr that stalls loses lines, and never
stops the daemon.
"""

import json
import logging
import os
import re
import select
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

import attrs
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

MASK = "**********"

#: Shorter ones would mask half of every line, and are no secrets.
_SECRET_LENGTH_MIN = 4
_SECRET_KEY = re.compile(
    r"passw|secret|authorization|credential|cookie|seed|private_?key|api_?key|signing_?key"
    r"|memo_?key|key_?material|token(?!_address)",
    re.IGNORECASE,
)
#: Ours, and the same for every line of a kind: never masked.
_PLAIN_FIELDS = frozenset({"timestamp", "level", "logger"})

#: Bytes that a pipe which polls as writable takes without blocking.
_CHUNK_BYTES = 4096
#: How long one line may wait for a stalled reader; the lines after it do not wait.
_STALL_MS = 50

#: Of each provider: more would be labels in disguise.
_FIGURES_MAX = 50
_NO_NAME = re.compile(r"[^a-z0-9_]")

#: From a cache hit to a provider's deadline.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def get_logger(name: str) -> Any:
    """A structlog logger: a past-tense event word, then fields."""
    return structlog.get_logger(name)


def register_secret(value: str) -> None:
    """Mask `value` in every line from now on; of several lines (a key file) each one, too."""
    parts = {value, *(line.strip() for line in value.splitlines())}
    for part in parts:
        if len(part) >= _SECRET_LENGTH_MIN:
            looks = (part, quote(part, safe=""), repr(part)[1:-1])
            _state.secrets.update(looks, (json.dumps(look)[1:-1] for look in looks))
    # The longest first: one secret may be part of another.
    _state.traces = tuple(sorted(_state.secrets, key=len, reverse=True))


def configure_logging(level: str, form: Literal["auto", "json", "console"]) -> None:
    """Set up structlog, and the standard library's logging through it. Repeatable."""
    as_console = form == "console" or (form == "auto" and sys.stderr.isatty())
    _state.render = _console_renderer() if as_console else _as_json
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _finish],
        logger_factory=_Line,
        wrapper_class=_BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.getLogger().handlers[:] = [_FromStandardLibrary()]
    logging.captureWarnings(True)
    # Libraries speak of what payd reports itself, and of each client's hiccup.
    for noisy in ("nats", "grpclib", "hypercorn", "asyncio", "hpack", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    sys.excepthook = _tell_uncaught
    set_level(level)


def set_level(level: str) -> None:
    """Change the least severe level that is written."""
    logging.getLogger().setLevel(level.upper())
    _state.threshold = logging.getLogger().level


# -- a line's way ------------------------------------------------------------------------------


class _BoundLogger(structlog.BoundLoggerBase):
    """Asks for the level first: a line that is not written costs nothing, and SIGHUP changes it."""

    def debug(self, event: str, **fields: Any) -> None:
        if _state.threshold <= logging.DEBUG:
            self._proxy_to_logger("debug", event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        if _state.threshold <= logging.INFO:
            self._proxy_to_logger("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        if _state.threshold <= logging.WARNING:
            self._proxy_to_logger("warning", event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self._proxy_to_logger("error", event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        self._proxy_to_logger("error", event, **{"exc_info": True, **fields})

    def critical(self, event: str, **fields: Any) -> None:
        self._proxy_to_logger("critical", event, **fields)


class _Line:
    """What a bound logger ends in: its name, and the way out."""

    def __init__(self, name: str = "payd") -> None:
        self.name = name

    def debug(self, text: str) -> None:
        _stderr.write(text)

    info = warning = error = critical = debug


class _FromStandardLibrary(logging.Handler):
    """Lines of grpclib, hypercorn, nats, asyncpg and their like, in the shape of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except (TypeError, ValueError):
            event = str(record.msg)
        fields: dict[str, Any] = {"event": event, "exc_info": record.exc_info}
        fields = {**structlog.contextvars.get_contextvars(), **fields}
        _stderr.write(_finish(_Line(record.name), record.levelname.lower(), fields))


def _finish(logger: Any, level: str, fields: Any) -> str:
    """The line, ready to write."""
    ours = {
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "level": level,
        "logger": logger.name,
        "event": fields.pop("event", ""),
    }
    told = {key: _hidden(key, value) for key, value in fields.items()}
    # Ours come first, and no field of the same name replaces them.
    line = dict(structlog.processors.format_exc_info(logger, level, ours | told | ours))
    text = _state.render(line)
    if any(trace in text for trace in _state.traces):
        text = _state.render({key: _masked(key, value) for key, value in line.items()})
    return text + "\n"


def _as_json(line: dict[str, Any]) -> str:
    try:
        return json.dumps(line, default=repr)
    except (TypeError, ValueError):
        # A key that is no string, or a circle.
        return json.dumps({key: repr(value) for key, value in line.items()})


def _console_renderer() -> Callable[[dict[str, Any]], str]:
    # Plain, because the pretty one shows local variables.
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return lambda line: renderer(None, "", dict(line))


@attrs.define
class _State:
    """What can be changed while we run."""

    threshold: int = logging.INFO
    render: Callable[[dict[str, Any]], str] = _as_json
    secrets: set[str] = attrs.Factory(set)
    #: How the secrets look, in a value or inside a finished line.
    traces: tuple[str, ...] = ()


_state = _State()


# -- nothing secret ----------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _looks_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _hidden(key: object, value: Any) -> Any:
    """`value` without what is kept under a name that looks secret, however deep."""
    if value is not None and isinstance(key, str) and _looks_secret(key):
        return MASK
    if isinstance(value, Mapping):
        return {inner: _hidden(inner, inside) for inner, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(None, inside) for inside in value] if key != "exc_info" else value
    return value


def _masked(key: object, value: Any) -> Any:
    """`value` without any known secret; what is not a string is masked as it would be shown."""
    if key in _PLAIN_FIELDS or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {_without_secrets(str(k)): _masked(None, inside) for k, inside in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(None, inside) for inside in value]
    if isinstance(value, str):
        return _without_secrets(value)
    shown = repr(value)
    masked = _without_secrets(shown)
    return value if masked == shown else masked


def _without_secrets(text: str) -> str:
    for trace in _state.traces:
        text = text.replace(trace, MASK)
    return text


def _tell_uncaught(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    """The interpreter's own report would show what is secret."""
    if issubclass(kind, KeyboardInterrupt):
        return
    get_logger("payd").critical("process_failed", exc_info=(kind, error, where))


class _Stderr:
    """Whole lines, from any thread. What its reader does not take in time is dropped, and counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dropped = 0
        #: The last line stopped in its middle.
        self._cut = False

    def write(self, text: str) -> None:
        """Returns within some 50 ms, whatever becomes of the line."""
        with self._lock:
            try:
                self._write(text)
            except (OSError, ValueError):
                # Closed: there is nobody to tell.
                self._dropped += 1

    def _write(self, text: str) -> None:
        handle = _stderr_handle()
        if handle is None:
            sys.stderr.write(text)
            return
        wait_ms = 0 if self._dropped else _STALL_MS
        poll = select.poll()
        poll.register(handle, select.POLLOUT)
        if self._dropped and poll.poll(0):
            told = {"level": "warning", "event": "log_lines_dropped", "count": self._dropped}
            text = "\n" * self._cut + json.dumps(told) + "\n" + text
        data = text.encode(errors="backslashreplace")
        sent = 0
        while sent < len(data):
            if not poll.poll(wait_ms):
                self._dropped += 1
                self._cut = self._cut or sent > 0
                return
            sent += os.write(handle, data[sent : sent + _CHUNK_BYTES])
        self._dropped = 0
        self._cut = False


def _stderr_handle() -> int | None:
    """None where a test or a program around us has put something else in its place."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None


_stderr = _Stderr()


# -- metrics -----------------------------------------------------------------------------------


class Metrics:
    """Every series of payd: one-word prefix, base units, no ids in labels."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._gauge("build_info", "The running version.", ("version",)).labels(version).set(1)
        self._build_doors()
        self._build_queues()
        self._build_providers()
        self._build_inside()

    def _build_doors(self) -> None:
        self.rpcs = self._counter("grpc_requests", "RPCs answered.", ("method", "code"))
        self.rpc_seconds = self._histogram("grpc_request_duration", "RPC time.", ("method",))
        self.rpcs_in_flight = self._gauge("grpc_in_flight", "RPCs under way.")
        self.http = self._counter("http_requests", "HTTP requests answered.", ("path", "code"))
        self.http_seconds = self._histogram("http_request_duration", "HTTP time.", ("path",))
        self.ready = self._gauge("ready", "Whether the daemon can take work.")

    def _build_queues(self) -> None:
        self.payments = self._counter(
            "payments", "Payments that entered a status.", ("method", "status")
        )
        self.outbox_depth = self._gauge("outbox_depth", "Events not yet published.")
        self.outbox_age = self._gauge(
            "outbox_oldest_age_seconds", "Age of the oldest event not yet published."
        )
        self.inbox_depth = self._gauge("inbox_depth", "Reports not yet settled.")
        self.webhooks = self._counter(
            "webhooks", "Webhooks received, by what became of them.", ("provider", "outcome")
        )
        self.evidence = self._counter(
            "evidence", "Stored reports worked on, by what became of them.", ("provider", "outcome")
        )
        self.scanned = self._counter(
            "scanned_events", "Events that no webhook had told.", ("provider",)
        )
        self.reconciled_at = self._gauge(
            "reconciliation_time_seconds", "When the last comparison ended.", ("provider",)
        )
        self.findings = self._gauge(
            "reconciliation_findings", "What the last comparison found.", ("provider", "kind")
        )
        self.unmatched = self._gauge("unmatched_receipts", "Receipts that no payment has.")
        self.published = self._counter("published", "Events published.", ("subject", "outcome"))
        self.looks = self._counter("recovery_looks", "Looks of recovery.", ("outcome",))

    def _build_providers(self) -> None:
        self.provider_calls = self._counter(
            "provider_calls", "Calls of providers.", ("provider", "operation", "outcome")
        )
        self.provider_seconds = self._histogram(
            "provider_call_duration", "Time of provider calls.", ("provider", "operation")
        )
        self.provider_up = self._gauge("provider_up", "Provider ready (1) or not.", ("provider",))
        self.breaker_open = self._gauge(
            "provider_breaker_open", "Provider left alone (1) or not.", ("provider",)
        )
        self.watch_halted = self._gauge(
            "provider_watch_halted", "Its watch met a contradiction (1) or not.", ("provider",)
        )
        self.watch_leads = self._gauge(
            "provider_watch_leader", "This daemon runs its only watch (1) or not.", ("provider",)
        )

    def _build_inside(self) -> None:
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

    def of_provider(self, provider: str) -> "ProviderFigures":
        """Where a provider's own figures go."""
        return ProviderFigures(provider, self.registry)

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


class ProviderFigures:
    """A provider's own figures, payd_<provider>_<figure>: a bounded number, made when first told."""

    def __init__(self, provider: str, registry: CollectorRegistry) -> None:
        self._provider = provider
        self._registry = registry
        self._figures: dict[str, Gauge | Counter] = {}

    def set(self, figure: str, value: float) -> None:
        """How something stands now."""
        gauge = self._figure(figure, Gauge)
        if isinstance(gauge, Gauge):
            gauge.set(value)

    def count(self, figure: str, amount: float = 1) -> None:
        """How often something happened."""
        counter = self._figure(figure, Counter)
        if isinstance(counter, Counter) and amount >= 0:
            counter.inc(amount)

    def _figure(self, figure: str, kind: type[Gauge | Counter]) -> Gauge | Counter | None:
        name = _NO_NAME.sub("_", f"payd_{self._provider}_{figure}".lower())
        if name not in self._figures and len(self._figures) < _FIGURES_MAX:
            try:
                made = kind(
                    name, f"A figure of the provider {self._provider}.", registry=self._registry
                )
            except ValueError:
                # It is one of payd's own.
                return None
            self._figures[name] = made
        return self._figures.get(name)


def http_observer(metrics: Metrics) -> Callable[[str, int, float], None]:
    """The RED metrics for each HTTP request: its route, status and seconds."""

    def observe(route: str, status: int, seconds: float) -> None:
        metrics.http.labels(route, str(status)).inc()
        metrics.http_seconds.labels(route).observe(seconds)

    return observe


def rpc_observer(metrics: Metrics) -> Callable[..., None]:
    """One canonical line and the RED metrics for each RPC; request and payment come from context."""
    log = get_logger("payd.rpc")
    # Finding a labelled series by its names costs more than counting does.
    count = lru_cache(maxsize=None)(metrics.rpcs.labels)
    duration = lru_cache(maxsize=None)(metrics.rpc_seconds.labels)

    def observe(
        method: str, code: str, seconds: float, origin: Any, error: BaseException | None
    ) -> None:
        count(method, code).inc()
        duration(method).observe(seconds)
        fields = {
            "method": method,
            "code": code,
            "duration_ms": round(seconds * 1000, 2),
            "request_id": origin.request_id,
            "actor": origin.actor,
        }
        if reason := getattr(error, "reason", None):
            fields["reason"] = reason
        if error is not None and code == "INTERNAL":
            log.error("rpc_finished", **fields, exc_info=error)
        else:
            log.info("rpc_finished", **fields)

    return observe
