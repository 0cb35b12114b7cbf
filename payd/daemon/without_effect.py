"""Settings that have no effect, for want of another one. Nothing is opened."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from payd.config import Config, ConfigError, Problem, load_prices
from payd.daemon.preflight import described_plugins
from payd.plugins.interface import Method
from payd.providers.discovery import PluginError, methods_of


def without_effect(config: Config) -> Sequence[Problem]:
    """Each of them, with the setting to change. The daemon starts all the same.

    A page key that may be in a vault counts as present.
    """
    found = [*_of_disabled(config)]
    for plugin in described_plugins(config):
        with suppress(PluginError):
            for method in methods_of(plugin):
                found += _of_sponsor(config, plugin.name, method)
                found += _of_tokens(config, plugin.name, method)
    return found


def _of_disabled(config: Config) -> Iterator[Problem]:
    """A provider with settings that is not enabled, probably by mistake.

    Its `enabled: false` is meant where it stands beside them: in the same file, or the environment.
    """
    for name, provider in config.providers.named.items():
        origin = config.origin(f"providers.{name}.enabled")
        is_meant = origin.startswith("environment") or (
            origin != "default" and not provider.from_environment
        )
        if provider.enabled or not provider.settings or is_meant:
            continue
        settings = provider.from_environment or provider.settings
        of = ", ".join(sorted(provider.origins.get(one, one) for one in settings))
        what = f"{of} without effect, for {name} is not enabled: set {name.upper()}_ENABLED=true"
        key = f"providers.{name}.enabled"
        yield Problem(key=key, where=origin, what=f"{what}, or false if that is meant")


def _of_sponsor(config: Config, provider: str, method: Method) -> Iterator[Problem]:
    """Wallets reach a sponsor of fees at the address of their payment's page."""
    codes = ", ".join(one.code for one in method.crypto_currencies if one.is_sponsored)
    if not codes:
        return
    why = f"{provider} has a sponsor of fees for {codes}, without effect while there are no pages"
    if config.http.public_url is None:
        what = f"{why}: set PAYD_HTTP_PUBLIC_URL to the URL under which customers reach HTTP_PORT"
        yield Problem(key="http.public_url", where="not set", what=what)
    if config.http.page_key is None and config.vault.addr is None:
        what = f"{why}: set PAYD_HTTP_PAGE_KEY_FILE (`openssl rand -hex 32`)"
        yield Problem(key="http.page_key", where="not set", what=what)


def _of_tokens(config: Config, provider: str, method: Method) -> Iterator[Problem]:
    """Tokens whose prices the price list does not have; an unreadable list is another problem.

    Those of the first currency may be a provider's own, with which an operator does not bother.
    """
    try:
        priced = load_prices(config.pricing.file).currencies
    except ConfigError:
        return
    is_used = any(currency in priced for currency in method.currencies)
    for currency in method.currencies[1 if is_used else 0 :]:
        tokens = [one for one in method.crypto_currencies if one.pays(currency)]
        if currency in priced or not tokens:
            continue
        codes = ", ".join(one.code for one in tokens)
        what = f"has no price in {currency}, so that {codes} of {provider} cannot be used: add some"
        yield Problem(key="pricing.file", where=str(config.pricing.file), what=what)
