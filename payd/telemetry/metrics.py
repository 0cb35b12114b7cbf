"""All metrics of payd, and the observers that the gRPC and HTTP servers call."""

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from payd.telemetry.lines import get_logger

M = TypeVar("M", Counter, Gauge, Histogram)

#: Most figures of one provider: more would be labels in disguise.
_FIGURES_MAX = 50
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_]")

#: Histogram buckets in seconds, from a cache hit to a provider's deadline.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """All metrics of payd: prefix `payd_`, base units, no ids in labels."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._gauge("build_info", "The running version.", ("version",)).labels(version).set(1)
        self._build_servers()
        self._build_queues()
        self._build_providers()
        self._build_secrets()
        self._build_runtime()

    def _build_servers(self) -> None:
        self.rpcs = self._counter("grpc_requests", "RPCs answered.", ("method", "code"))
        self.rpc_seconds = self._histogram("grpc_request_duration", "RPC time.", ("method",))
        self.rpcs_in_flight = self._gauge("grpc_in_flight", "RPCs in flight.")
        self.http = self._counter("http_requests", "HTTP requests answered.", ("path", "code"))
        self.http_seconds = self._histogram("http_request_duration", "HTTP time.", ("path",))
        self.ready = self._gauge("ready", "Ready to take calls (1) or not.")
        self.dependency = self._gauge(
            "dependency_up", "Dependency is up (1) or not, as in /readyz.", ("dependency",)
        )
        self.connections = self._gauge("grpc_connections", "Open gRPC connections.")
        self.watchers = self._gauge(
            "grpc_watchers", "Payments being watched, once for each caller."
        )
        self.cut = self._counter("grpc_cut", "gRPC connections that payd closed.", ("reason",))
        self.rate_limited = self._counter(
            "rate_limited", "RPCs refused by the rate limit.", ("client",)
        )
        self.rate_shared = self._gauge(
            "rate_limiter_shared",
            "Rate limits are shared through Redis (1) or kept by each daemon (0).",
        )

    def _build_queues(self) -> None:
        self.payments = self._counter(
            "payments", "Payments that entered a status.", ("method", "status")
        )
        self.attention = self._gauge(
            "attention_open", "Payments that a person has to look at.", ("reason",)
        )
        self.attention_age = self._gauge(
            "attention_oldest_seconds", "Since when the oldest of them waits.", ("reason",)
        )
        self.refunds = self._counter("refunds", "Refunds that entered a status.", ("status",))
        self.refunds_open = self._gauge(
            "refunds_open", "Refunds whose outcome is not known yet.", ("status",)
        )
        self.refunds_age = self._gauge(
            "refunds_oldest_open_seconds", "Age of the oldest of them.", ("status",)
        )
        self.outbox_depth = self._gauge("outbox_depth", "Events not yet published.")
        self.outbox_age = self._gauge(
            "outbox_oldest_age_seconds", "Age of the oldest event not yet published."
        )
        self.inbox_depth = self._gauge("inbox_depth", "Reports not yet settled.")
        self.webhooks = self._counter(
            "webhooks", "Webhooks received, by outcome.", ("provider", "outcome")
        )
        self.webhook_events = self._counter(
            "webhook_events", "Events in webhooks, by outcome.", ("provider", "outcome")
        )
        self.evidence = self._counter(
            "evidence", "Stored reports worked on, by outcome.", ("provider", "outcome")
        )
        self.scanned = self._counter(
            "scanned_events", "Events that a scan found before a webhook.", ("provider",)
        )
        self.reconciled_at = self._gauge(
            "reconciliation_time_seconds",
            "Unix time when the last reconciliation ended.",
            ("provider",),
        )
        self.audit_checkpoint_at = self._gauge(
            "audit_checkpoint_time_seconds", "Unix time of the newest signed audit checkpoint."
        )
        self.findings = self._gauge(
            "reconciliation_findings", "Findings of the last reconciliation.", ("provider", "kind")
        )
        self.unmatched = self._gauge("unmatched_receipts", "Receipts that no payment has.")
        self.published = self._counter("published", "Events published.", ("subject", "outcome"))
        self.status_checks = self._counter(
            "recovery_status_checks", "Status checks by recovery.", ("outcome",)
        )

    def _build_providers(self) -> None:
        self.provider_calls = self._counter(
            "provider_calls", "Calls of providers.", ("provider", "operation", "outcome")
        )
        self.provider_seconds = self._histogram(
            "provider_call_duration", "Time of provider calls.", ("provider", "operation")
        )
        self.provider_up = self._gauge("provider_up", "Provider ready (1) or not.", ("provider",))
        self.breaker_open = self._gauge(
            "provider_breaker_open", "Circuit breaker is open (1) or not.", ("provider",)
        )
        self.creates_refused = self._gauge(
            "provider_creates_refused",
            "Payments that the provider refused in a row.",
            ("provider",),
        )
        self.watch_halted = self._gauge(
            "provider_watch_halted", "Watch halted by a contradiction (1) or not.", ("provider",)
        )
        self.watch_leads = self._gauge(
            "provider_watch_leader",
            "This daemon runs the singleton watch (1) or not.",
            ("provider",),
        )

    def _build_secrets(self) -> None:
        self.tls_expiry = self._gauge(
            "tls_expiry_time_seconds",
            "Unix time when the certificate in use expires.",
            ("certificate",),
        )
        self.tls_reloads = self._counter(
            "tls_reloads", "Reloads of changed certificates, by outcome.", ("outcome",)
        )
        self.reloads = self._counter(
            "reloads", "Reloads of configuration and secrets, by outcome.", ("outcome",)
        )
        self.vault_up = self._gauge("vault_up", "The last read of Vault succeeded (1) or not.")
        self.vault_read_at = self._gauge(
            "vault_read_time_seconds", "Unix time when Vault was last read."
        )
        self.vault_token_expiry = self._gauge(
            "vault_token_expiry_time_seconds", "Unix time when the token in use expires."
        )
        self.vault_operations = self._counter(
            "vault_operations", "Requests to Vault.", ("operation", "outcome")
        )
        self.nats_connected = self._gauge("nats_connected", "Connected to NATS (1) or not.")
        self.nats_expiry = self._gauge(
            "nats_identity_expiry_time_seconds",
            "Unix time when the minted identity in use expires.",
        )
        self.nats_renewals = self._counter(
            "nats_identity_renewals", "Renewals of the minted identity.", ("outcome",)
        )

    def _build_runtime(self) -> None:
        self.pool_size = self._gauge("db_pool_size", "Open database connections.")
        self.pool_in_use = self._gauge("db_pool_in_use", "Busy database connections.")
        self.batch_size = Histogram(
            "payd_db_batch_size",
            "Payments written by one statement.",
            ("statement",),
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.restarts = self._counter("task_restarts", "Background task restarts.", ("task",))
        self.failures = self._counter(
            "task_failures", "Items that a background task failed on.", ("task",)
        )
        self.loop_lag = self._gauge(
            "loop_lag_seconds", "Delay of a timer on the event loop.", ("loop",)
        )
        self.loop_exceptions = self._counter(
            "loop_exceptions", "Uncaught exceptions on the asyncio loop."
        )

    def of_provider(self, provider: str) -> "ProviderFigures":
        """Return the registry of a provider's own figures."""
        return ProviderFigures(provider, self.registry)

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        name = f"payd_{name}_total"
        return _remembering(Counter(name, text, tuple(labels), registry=self.registry))

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        return _remembering(Gauge(f"payd_{name}", text, tuple(labels), registry=self.registry))

    def _histogram(self, name: str, text: str, labels: Iterable[str] = ()) -> Histogram:
        name = f"payd_{name}_seconds"
        return _remembering(
            Histogram(name, text, tuple(labels), buckets=_SECONDS, registry=self.registry)
        )


def _remembering(metric: M) -> M:
    """The metric, which remembers its labelled series: looking one up costs more than counting."""
    metric.labels = cache(metric.labels)  # type: ignore[method-assign]
    return metric


class ProviderFigures:
    """A provider's own metrics, payd_<provider>_<figure>, created on first use up to a limit."""

    def __init__(self, provider: str, registry: CollectorRegistry) -> None:
        self._provider = provider
        self._registry = registry
        self._figures: dict[str, Gauge | Counter] = {}

    def set(self, figure: str, value: float) -> None:
        """Set a gauge."""
        gauge = self._figure(figure, Gauge)
        if isinstance(gauge, Gauge):
            gauge.set(value)

    def count(self, figure: str, amount: float = 1) -> None:
        """Increase a counter by `amount`."""
        counter = self._figure(figure, Counter)
        if isinstance(counter, Counter) and amount >= 0:
            counter.inc(amount)

    def _figure(self, figure: str, kind: type[Gauge | Counter]) -> Gauge | Counter | None:
        name = _NOT_IN_A_NAME.sub("_", f"payd_{self._provider}_{figure}".lower())
        if name not in self._figures and len(self._figures) < _FIGURES_MAX:
            try:
                made = kind(
                    name, f"A figure of the provider {self._provider}.", registry=self._registry
                )
            except ValueError:
                # The name is one of payd's own metrics.
                return None
            self._figures[name] = made
        return self._figures.get(name)


def http_observer(metrics: Metrics) -> Callable[[str, int, float], None]:
    """Return an observer of HTTP requests: counts them and measures their duration."""

    def observe(route: str, status: int, seconds: float) -> None:
        metrics.http.labels(route, str(status)).inc()
        metrics.http_seconds.labels(route).observe(seconds)

    return observe


def rpc_observer(metrics: Metrics) -> Callable[..., None]:
    """Return an observer of RPCs: one log line, count and duration for each.

    The payment's id is added to the line from the log context.
    """
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
            "request_id": origin.request_id,
            "actor": origin.actor,
            "certificate": origin.certificate,
            "peer": origin.peer,
        }
        if reason := getattr(error, "reason", None):
            fields["reason"] = reason
        if error is not None and code == "INTERNAL":
            log.error("rpc_finished", **fields, exc_info=error)
        else:
            log.info("rpc_finished", **fields)

    return observe
