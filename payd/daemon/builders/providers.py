"""Metrics of provider calls."""

from collections.abc import Callable

from payd.telemetry import Metrics


def provider_observer(metrics: Metrics) -> Callable[[str, str, str, float], None]:
    """Build a callback that counts and times each call to a provider."""

    def observe(provider: str, operation: str, outcome: str, seconds: float) -> None:
        metrics.provider_calls.labels(provider, operation, outcome).inc()
        metrics.provider_seconds.labels(provider, operation).observe(seconds)

    return observe
