"""What the loader needs of each enabled provider, and the method map for asyncio."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from payd.adapters import islands
from payd.config import Config, take_credentials
from payd.plugins.loader import EnabledPlugin, PluginError, manifest_of
from payd.plugins.port import ProviderPort, Providers, Registered
from payd.telemetry import Metrics, register_secret


class MethodMapForAsyncio:
    """The method → provider map for use cases on asyncio, where every provider is on trio."""

    def __init__(self, providers: Providers) -> None:
        self._registered = [
            attrs.evolve(entry, provider=islands.for_asyncio(entry.provider))
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


def enabled_plugins(config: Config) -> Sequence[EnabledPlugin]:
    """What the loader needs to know of each enabled provider. Raises ConfigError."""
    return [_enabled(config, name) for name in config.providers.enabled()]


def credentials_of(
    config: Config, names: Iterable[str]
) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """The credentials of these providers. Raises ConfigError where one is missing."""
    return {name: _enabled(config, name).secrets for name in names}


def _enabled(config: Config, name: str) -> EnabledPlugin:
    try:
        credentials = manifest_of(name).credentials
    except PluginError:
        # The loader meets the same failure, and reports it.
        credentials = ()
    section, found = take_credentials(config, name, credentials)
    secrets = {key: tuple(secret.reveal() for secret in values) for key, values in found.items()}
    for values in secrets.values():
        for value in values:
            register_secret(value)
    return EnabledPlugin(
        name=name,
        settings=section.settings,
        secrets=secrets,
        allow_in_production=section.allow_in_production,
    )


def provider_observer(metrics: Metrics) -> Callable[[str, str, str, float], None]:
    """Counts each call of a provider."""

    def observe(provider: str, operation: str, outcome: str, seconds: float) -> Any:
        metrics.provider_calls.labels(provider, operation, outcome).inc()
        metrics.provider_seconds.labels(provider, operation).observe(seconds)

    return observe
