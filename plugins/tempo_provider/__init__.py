"""Stablecoin payments on the Tempo chain: TIP-20 transfers with a memo, watched to finality."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import click

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
from tempo_provider.config import TempoConfig, methods_of

__all__ = ["TempoConfig", "payd_commands", "payd_providers"]


def _open(context: ProviderContext, config: TempoConfig) -> AbstractAsyncContextManager[Provider]:
    # web3 takes a second to import: import it only when the provider is enabled.
    from tempo_provider.provider import open_provider

    return open_provider(context, config)


MANIFEST = ProviderManifest(
    name="tempo",
    version="0.1.0",
    sdk=">=1.5,<2",
    config_model=TempoConfig,
    methods=methods_of,
    capabilities=Capabilities(
        # create stores nothing remotely and always returns the same result.
        idempotency_window=timedelta(days=365),
        lookup=Lookup.INCLUDING_ABSENCE,
        cancel=Cancel.NOT_CLOSABLE,
        audit=True,
        tags=True,
        # payd has no key: a person transfers what it says, and the watch sees it.
        refunds=RefundCapabilities(
            sends=Sends.INSTRUCTIONS,
            idempotency_window=timedelta(days=365),
            lookup=Lookup.INCLUDING_ABSENCE,
        ),
    ),
    credentials=("tempo_memo_key",),
    imports=("tempo_provider.provider",),
    factory=_open,
)


@hookimpl
def payd_providers() -> Iterable[ProviderManifest]:
    """Offer this provider to payd."""
    return (MANIFEST,)


@hookimpl
def payd_commands(provider: str) -> Iterable[click.Command]:
    """Offer the commands of this provider."""
    if provider != MANIFEST.name:
        return ()
    from tempo_provider.commands import pay, refund
    from tempo_provider.master_command import register_master
    from tempo_provider.status_command import status

    return (pay, refund, register_master, status)
