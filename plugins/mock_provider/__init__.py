"""Mock provider: scripted payments without money, for development and tests."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from mock_provider.config import MockConfig, methods_of
from payd.plugins import (
    Cancel,
    Capabilities,
    Lookup,
    Provider,
    ProviderContext,
    ProviderManifest,
    RefundCapabilities,
    Sends,
    hookimpl,
)

__all__ = ["MockConfig", "payd_providers"]


def _open(context: ProviderContext, config: MockConfig) -> AbstractAsyncContextManager[Provider]:
    from mock_provider.provider import open_provider  # where a provider would import its SDK

    return open_provider(context, config)


MANIFEST = ProviderManifest(
    name="mock",
    version="0.1.0",
    sdk=">=1.2,<2",
    config_model=MockConfig,
    methods=methods_of,
    capabilities=Capabilities(
        idempotency_window=timedelta(hours=24),
        lookup=Lookup.INCLUDING_ABSENCE,
        cancel=Cancel.CLOSES,
        concurrency=256,
        refunds=RefundCapabilities(
            sends=Sends.PROVIDER,
            idempotency_window=timedelta(hours=24),
            lookup=Lookup.INCLUDING_ABSENCE,
        ),
    ),
    for_development=True,
    factory=_open,
)


@hookimpl
def payd_providers() -> Iterable[ProviderManifest]:
    """Offer this provider to payd."""
    return (MANIFEST,)
