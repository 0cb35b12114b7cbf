"""Metrics and spans of provider calls."""

from collections.abc import Callable

from payd.adapters.held import held_provider
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


def guarded_methods(methods: MethodMap, adapters: Adapters) -> MethodMap:
    """The methods for callers on asyncio: held after a restore, and with spans where they go."""
    methods = methods.wrapped(lambda provider: held_provider(provider, adapters.sending))
    if (tracer := adapters.tracer) is None:
        return methods
    return methods.wrapped(lambda provider: traced_provider(provider, tracer))
