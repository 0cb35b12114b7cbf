"""Tokens that the enabled providers take: for showing base units as amounts of a currency."""

from typing import Any

from payd.cli.render import Tokens


def tokens_of(config: Any) -> Tokens:
    """By address in lower case. A provider that cannot be used is reported, and left out."""
    from payd import telemetry
    from payd.daemon.preflight import enabled_plugins
    from payd.providers.loader import described_methods

    methods = described_methods(enabled_plugins(config), telemetry.get_logger(__name__))
    return {
        token.token_address.lower(): (token.code, token.decimals)
        for entry in methods.registered()
        for token in entry.method.crypto_currencies
    }
