"""What the loader needs of each enabled provider, and the method map for asyncio."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from payd.adapters import bridge
from payd.ports.provider import ProviderPort, Providers, Registered
from payd.telemetry import Metrics


class MethodMapForAsyncio:
    """The method → provider map for use cases on asyncio, where every provider is on trio."""

    def __init__(self, providers: Providers) -> None:
        self._registered = [
            attrs.evolve(entry, provider=bridge.for_asyncio(entry.provider))
            for entry in providers.registered()
        ]
        self._by_method = {entry.method.key: entry for entry in self._registered}
        self._by_name = {entry.provider.name: entry.provider for entry in self._registered}

    def by_method(self, method: str) -> Registered | None:
        """See Providers."""
        return self._by_method.get(method)

    def by_name(self, provider: str) -> ProviderPort | None:
        """See Providers."""
        return self._by_name.get(provider)

    def registered(self) -> Sequence[Registered]:
        """See Providers."""
        return self._registered


def provider_observer(metrics: Metrics) -> Callable[[str, str, str, float], None]:
    """Counts each call of a provider."""

    def observe(provider: str, operation: str, outcome: str, seconds: float) -> Any:
        metrics.provider_calls.labels(provider, operation, outcome).inc()
        metrics.provider_seconds.labels(provider, operation).observe(seconds)

    return observe
