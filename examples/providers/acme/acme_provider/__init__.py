"""Payments through Acme: the manifest and the plugin's hooks. No I/O and no slow import here."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from acme_provider.config import AcmeConfig
from payd.plugins import (
    Cancel,
    Capabilities,
    Lookup,
    Method,
    Provider,
    ProviderContext,
    ProviderManifest,
    RefundCapabilities,
    Sends,
    hookimpl,
)

__all__ = ["MANIFEST", "AcmeConfig", "payd_providers"]


def _methods(config: AcmeConfig) -> tuple[Method, ...]:
    return (
        Method(
            key="acme",
            display_name="Acme",
            currencies=config.currencies,
            default_expiry=timedelta(minutes=config.expiry_minutes),
        ),
    )


def _open(context: ProviderContext, config: AcmeConfig) -> AbstractAsyncContextManager[Provider]:
    # Import the provider's module only here: an SDK may take seconds to import.
    from acme_provider.provider import open_provider

    return open_provider(context, config)


MANIFEST = ProviderManifest(
    name="acme",
    version="0.1.0",
    sdk=">=1.2,<2",
    config_model=AcmeConfig,
    methods=_methods,
    capabilities=Capabilities(
        idempotency_window=timedelta(hours=24),
        lookup=Lookup.INCLUDING_ABSENCE,
        cancel=Cancel.CLOSES,
        # Without refunds: remove it, and `refund` and `fetch_refund` of the provider.
        refunds=RefundCapabilities(
            sends=Sends.PROVIDER,
            idempotency_window=timedelta(hours=24),
            lookup=Lookup.INCLUDING_ABSENCE,
        ),
    ),
    credentials=("api_key", "webhook_secret"),
    imports=("acme_provider.provider",),
    factory=_open,
)


@hookimpl
def payd_providers() -> Iterable[ProviderManifest]:
    """Offer this provider to payd."""
    return (MANIFEST,)
