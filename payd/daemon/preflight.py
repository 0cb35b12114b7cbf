"""Check a configuration before anything opens: prices, certificates, providers, crash points.

It imports no server and no client library, so that a mistake stops the start within a second.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from payd.adapters.system import CrashAt, SystemClock
from payd.config import (
    Config,
    ConfigError,
    Problem,
    load_prices,
    plain_settings,
    take_credentials,
)
from payd.domain.money import Money
from payd.domain.pricing import PriceList
from payd.plugins.amounts import AmountRule
from payd.plugins.interface import Method
from payd.providers.discovery import EnabledPlugin, PluginError, manifest_of, methods_of
from payd.providers.loader import FailureMode, check_plugins
from payd.telemetry import register_secret
from payd.transport.grpc.tls import (
    CertificateFiles,
    CertificateRefused,
    Tls,
    load_certificates,
)


def preflight(config: Config) -> None:
    """Run every check. Raises ConfigError or PluginError where the daemon could not start."""
    prices = load_prices(config.pricing.file)
    build_tls(config)
    crash_points(config)
    check_tracing(config)
    if config.vault.addr is None:
        plugins = enabled_plugins(config)
        check_plugins(
            plugins,
            environment=config.environment,
            failure_mode=FailureMode(config.providers.failure_mode),
        )
        check_prices(config.pricing.file, prices, offered_methods(plugins))


def offered_methods(plugins: Iterable[EnabledPlugin]) -> Sequence[Method]:
    """Methods of the plugins that can be configured. The loader reports the other plugins."""
    found: list[Method] = []
    for plugin in plugins:
        with suppress(PluginError):
            found += methods_of(plugin)
    return found


def described_plugins(config: Config) -> Sequence[EnabledPlugin]:
    """The enabled providers without credentials, which describing their methods never needs."""
    found: list[EnabledPlugin] = []
    for name in config.providers.enabled():
        with suppress(PluginError):
            settings = plain_settings(config, name, manifest_of(name).credentials)
            found.append(EnabledPlugin(name=name, settings=settings))
    return found


def check_prices(file: Path, prices: PriceList, methods: Iterable[Method]) -> None:
    """Raise ConfigError for prices that no enabled method can charge, with each method's reason.

    A price that some method of its currency can charge is valid; a quote for another method is
    refused. A price in a currency that no enabled method takes is valid, too.
    """
    offered = tuple(methods)
    problems = []
    for currency in prices.currencies:
        rules = {
            method.key: method.amounts.get(currency, AmountRule())
            for method in offered
            if currency in method.currencies
        }
        for product, units in prices.prices.items():
            if currency in units and (why := _uncharged(currency, units[currency], rules)):
                key = ".".join(("prices", *product, *_named(currency, prices)))
                problems.append(Problem(key=key, where=str(file), what=why))
    if problems:
        raise ConfigError(problems)


def _named(currency: str, prices: PriceList) -> Sequence[str]:
    """The last part of a price's key where the list has several currencies."""
    return (currency,) if len(prices.currencies) > 1 else ()


def _uncharged(currency: str, minor_units: int, rules: Mapping[str, AmountRule]) -> str:
    """Why no method can charge this price; empty when one can, or no method takes the currency."""
    price = Money(currency_code=currency, minor_units=minor_units)
    wrong = {key: rule.wrong_with_price(price) for key, rule in rules.items()}
    if None in wrong.values():
        return ""
    return "; ".join(f"method {key!r}: {reason}" for key, reason in wrong.items())


def tls_files(config: Config) -> CertificateFiles:
    """Paths of the gRPC server's certificates. Raises ConfigError for settings that are missing."""
    files = config.grpc.tls_files()
    return CertificateFiles(cert=files.cert, key=files.key, ca=files.ca)


def build_tls(config: Config) -> Tls:
    """Load and check the gRPC server's certificates. Raises ConfigError."""
    try:
        return Tls(load_certificates(tls_files(config), SystemClock().now()))
    except CertificateRefused as error:
        where = config.origin("grpc.tls_cert_file")
        problem = Problem(key="grpc.tls_cert_file", where=where, what=str(error))
        raise ConfigError([problem]) from None


def crash_points(config: Config) -> CrashAt:
    """Where a fault-injection run kills the daemon. Raises ConfigError for an unknown name."""
    try:
        return CrashAt(config.crash_at)
    except ValueError as error:
        where = config.origin("crash_at")
        raise ConfigError([Problem(key="crash_at", where=where, what=str(error))]) from None


def check_tracing(config: Config) -> None:
    """Raise ConfigError when spans are wanted and the extra `otel` is not installed."""
    if config.tracing.endpoint is None:
        return
    try:
        missing = find_spec("opentelemetry.exporter.otlp.proto.http") is None
    except ModuleNotFoundError:
        missing = True
    if missing:
        what = "needs OpenTelemetry: install requirements/otel.lock, which has the extra `otel`"
        where = config.origin("tracing.endpoint")
        raise ConfigError([Problem(key="tracing.endpoint", where=where, what=what)])


def enabled_plugins(config: Config) -> Sequence[EnabledPlugin]:
    """Settings and credentials of each enabled provider, for the loader. Raises ConfigError."""
    return [enabled_plugin(config, name) for name in config.providers.enabled()]


def credentials_of(
    config: Config, names: Iterable[str]
) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Current credentials of these providers. Raises ConfigError where one is missing."""
    return {name: enabled_plugin(config, name).secrets for name in names}


def enabled_plugin(config: Config, name: str) -> EnabledPlugin:
    try:
        credentials = manifest_of(name).credentials
    except PluginError:
        # The loader meets the same failure and reports it.
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
