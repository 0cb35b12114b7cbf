"""Bank transfers: create payment references and match the bank's statements against them.

There is no remote API. The open claims are in a local file; the transfers that customers made are
read from camt.053 statements. No I/O here.
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
    RefundCapabilities,
    Sends,
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
    sdk=">=1.2,<2",
    config_model=SepaConfig,
    methods=methods_of,
    capabilities=Capabilities(
        # Claims are never deleted: the same operation is the same claim for ever.
        idempotency_window=timedelta(days=3650),
        # The claims are in one local file: a claim that is missing there was never created.
        lookup=Lookup.INCLUDING_ABSENCE,
        # A bank transfer cannot be prevented. payd polls instead, and reports money that arrives
        # after a cancel as PAID_AFTER_CLOSE.
        cancel=Cancel.NOT_CLOSABLE,
        # We have no access to the account: a person transfers what payd says.
        refunds=RefundCapabilities(
            sends=Sends.INSTRUCTIONS,
            idempotency_window=timedelta(days=3650),
            lookup=Lookup.INCLUDING_ABSENCE,
        ),
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
