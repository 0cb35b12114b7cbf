"""Bank transfers: a reference to pay under, and the bank's statements to see who did.

There is no remote API. The open claims are ours, in a file; the customer's bank and ours do the
rest; what they did is read from camt.053 statements. No I/O here.
"""

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
    hookimpl,
)
from sepa_provider.config import SepaConfig, methods_of

__all__ = ["MANIFEST", "SepaConfig", "payd_providers"]


def _open(context: ProviderContext, config: SepaConfig) -> AbstractAsyncContextManager[Provider]:
    from sepa_provider.provider import open_provider

    return open_provider(context, config)


MANIFEST = ProviderManifest(
    name="sepa",
    version="0.1.0",
    sdk=">=1.0,<2",
    config_model=SepaConfig,
    methods=methods_of,
    capabilities=Capabilities(
        # Claims are never deleted: the same operation is the same claim for ever.
        idempotency_window=timedelta(days=3650),
        # The claims are in one local file: what is not there was never booked.
        lookup=Lookup.INCLUDING_ABSENCE,
        # Nobody can forbid a customer to transfer money. payd looks instead, and money that comes
        # after a cancel is PAID_AFTER_CLOSE there.
        cancel=Cancel.NOT_CLOSABLE,
        # Each call is a thread and a short transaction; SQLite writes one at a time anyway.
        concurrency=16,
    ),
    imports=("sepa_provider.provider",),
    factory=_open,
)


@hookimpl
def payd_providers() -> Iterable[ProviderManifest]:
    """Offer this provider to payd."""
    return (MANIFEST,)
