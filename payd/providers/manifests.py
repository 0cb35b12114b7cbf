"""What is wrong with a manifest, or with the methods that it offers: told before anything is built."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from payd.plugins.amounts import AmountRule
from payd.plugins.interface import (
    SDK_VERSION,
    Cancel,
    Capabilities,
    CryptoCurrency,
    Lookup,
    Method,
    ProviderConfig,
    ProviderManifest,
)

__all__ = ["misfit", "wrong_in_manifest", "wrong_in_methods"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_METHOD = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_CURRENCY = re.compile(r"[A-Z]{3}")
_NO_TIME = timedelta(0)


def misfit(manifest: ProviderManifest) -> str | None:
    """Why this interface is not what it was written for; None where it fits."""
    try:
        fits = SpecifierSet(manifest.sdk).contains(SDK_VERSION)
    except (InvalidSpecifier, TypeError, AttributeError):
        return f"its sdk range {manifest.sdk!r} is none"
    return None if fits else f"needs plugin interface {manifest.sdk}, this payd has {SDK_VERSION}"


def wrong_in_manifest(manifest: Any) -> str | None:
    """The first thing that cannot be, in words; None for a sound one."""
    if not _matches(_NAME, manifest.name):
        return f"the name {manifest.name!r} is not [a-z][a-z0-9_]*"
    try:
        Version(manifest.version)
    except (InvalidVersion, TypeError):
        return f"its version {manifest.version!r} is none"
    model = manifest.config_model
    if not (isinstance(model, type) and issubclass(model, ProviderConfig)):
        return "its config_model is no ProviderConfig"
    if not (callable(manifest.methods) and callable(manifest.factory)):
        return "its methods or its factory cannot be called"
    credentials = manifest.credentials
    if not (isinstance(credentials, tuple) and all(_matches(_NAME, one) for one in credentials)):
        return "its credentials are no tuple of names"
    imports = manifest.imports
    if not (isinstance(imports, tuple) and all(_matches(_MODULE, one) for one in imports)):
        return "its imports are not a tuple of module names"
    return _wrong_in_capabilities(manifest.capabilities)


def _wrong_in_capabilities(able: Any) -> str | None:
    if not isinstance(able, Capabilities):
        return "its capabilities are none"
    words: tuple[object, object] = (able.lookup, able.cancel)
    if not (isinstance(words[0], Lookup) and isinstance(words[1], Cancel)):
        return "its capabilities have no Lookup, or no Cancel"
    if type(able.concurrency) is not int or able.concurrency < 1:
        return "its capabilities allow no call"
    flags: tuple[object, ...] = (able.audit,)
    if not all(isinstance(flag, bool) for flag in flags):
        return "its capabilities have an audit that is not true or false"
    times: tuple[object, ...] = (able.operation_timeout, able.idempotency_window)
    if not all(isinstance(time, timedelta) for time in times):
        return "its capabilities have a time that is no timedelta"
    if able.operation_timeout <= _NO_TIME or able.idempotency_window < _NO_TIME:
        return "its capabilities leave no time for a call"
    return None


def wrong_in_methods(methods: Sequence[object]) -> str | None:
    """The same of what `methods` gives."""
    if not methods or not all(isinstance(method, Method) for method in methods):
        return "offers no method"
    offered = [method for method in methods if isinstance(method, Method)]
    if len({method.key for method in offered}) < len(offered):
        return "offers a method twice"
    return next((wrong for one in offered if (wrong := _wrong_in_method(one))), None)


def _wrong_in_method(method: Method) -> str | None:
    if not _matches(_METHOD, method.key):
        return f"its method {method.key!r} is not [a-z][a-z0-9_-]*"
    if not (isinstance(method.display_name, str) and method.display_name):
        return f"its method {method.key} has no display name"
    currencies, tokens = method.currencies, method.crypto_currencies
    if not (isinstance(currencies, tuple) and currencies):
        return f"its method {method.key} has no tuple of currencies"
    if not all(_matches(_CURRENCY, code) for code in currencies):
        return f"its method {method.key} has a currency that is no ISO 4217 code"
    if not (isinstance(tokens, tuple) and all(isinstance(one, CryptoCurrency) for one in tokens)):
        return f"its method {method.key} has no tuple of crypto currencies"
    amounts: object = method.amounts
    if not isinstance(amounts, Mapping) or not all(
        code in currencies and isinstance(rule, AmountRule) for code, rule in amounts.items()
    ):
        return f"its method {method.key} has amounts that are no AmountRule of its currencies"
    if not isinstance(method.default_expiry, timedelta) or method.default_expiry <= _NO_TIME:
        return f"its method {method.key} expires before it begins"
    return None


def _matches(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None
