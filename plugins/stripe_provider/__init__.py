"""Card payments through Stripe Checkout: hosted pages, signed webhooks, event scans."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

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
from stripe_provider.config import StripeConfig, methods_of
from stripe_provider.keys import unusable

__all__ = ["StripeConfig", "payd_providers"]


def _open(context: ProviderContext, config: StripeConfig) -> AbstractAsyncContextManager[Provider]:
    # The SDK takes a quarter of a second to import: import it only when the provider is enabled.
    from stripe_provider.provider import open_provider

    return open_provider(context, config)


MANIFEST = ProviderManifest(
    name="stripe",
    version="0.1.0",
    sdk=">=1.3,<2",
    config_model=StripeConfig,
    methods=methods_of,
    capabilities=Capabilities(
        # Stripe keeps a key for at least 24 hours (docs.stripe.com/api/idempotent_requests).
        idempotency_window=timedelta(hours=23),
        # A list without a session does not prove its absence: it may be created a moment later.
        lookup=Lookup.AUTHORITATIVE,
        cancel=Cancel.CLOSES,
        refunds=RefundCapabilities(
            sends=Sends.PROVIDER,
            idempotency_window=timedelta(hours=23),
            # As with sessions: what is not listed yet may be listed a moment later.
            lookup=Lookup.AUTHORITATIVE,
        ),
    ),
    credentials=("stripe_secret_key", "stripe_webhook_secret"),
    unusable=unusable,
    imports=("stripe_provider.provider",),
    factory=_open,
)


@hookimpl
def payd_providers() -> Iterable[ProviderManifest]:
    """Offer this provider to payd."""
    return (MANIFEST,)
