"""Metrics and spans of provider calls."""

from collections.abc import Callable

from payd.adapters.traced import traced_provider
from payd.daemon.builders.adapters import Adapters
from payd.providers.methods import MethodMap
from payd.telemetry import Metrics


def provider_observer(metrics: Metrics) -> Callable[[str, str, str, float], None]:
    """Build a callback that counts and times each call to a provider."""

    def observe(provider: str, operation: str, outcome: str, seconds: float) -> None:
        metrics.provider_calls.labels(provider, operation, outcome).inc()
        metrics.provider_seconds.labels(provider, operation).observe(seconds)

    return observe


def traced_methods(methods: MethodMap, adapters: Adapters) -> MethodMap:
    """The methods with a span for each call of their providers; the callers are on asyncio."""
    if (tracer := adapters.tracer) is None:
        return methods
    return methods.wrapped(lambda provider: traced_provider(provider, tracer))
