"""Tokens of the enabled providers, to show base units as amounts of a currency."""

from typing import Any

from payd.cli.render import Tokens


def tokens_of(config: Any) -> Tokens:
    """Collect the tokens by address in lower case. A broken provider is logged and skipped."""
    from payd import telemetry
    from payd.daemon.preflight import enabled_plugins
    from payd.providers.loader import described_methods

    methods = described_methods(enabled_plugins(config), telemetry.get_logger(__name__))
    return {
        token.token_address.lower(): (token.code, token.decimals)
        for entry in methods.registered()
        for token in entry.method.crypto_currencies
    }
