"""Checks of a manifest and of its methods, made before anything is built."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from payd.plugins.amounts import AmountRule
from payd.plugins.capabilities import Cancel, Capabilities, Lookup, RefundCapabilities, Sends
from payd.plugins.interface import (
    SDK_VERSION,
    CryptoCurrency,
    Method,
    Provider,
    ProviderConfig,
    ProviderManifest,
)
from payd.plugins.refunding import SupportsRefund

__all__ = ["misfit", "misfit_of_provider", "wrong_in_manifest", "wrong_in_methods"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_METHOD = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_CURRENCY = re.compile(r"[A-Z]{3}")
_NO_TIME = timedelta(0)


def misfit(manifest: ProviderManifest) -> str | None:
    """Return why this interface does not fit its `sdk` range; None when it fits."""
    try:
        fits = SpecifierSet(manifest.sdk).contains(SDK_VERSION)
    except (InvalidSpecifier, TypeError, AttributeError):
        return f"its sdk range {manifest.sdk!r} is invalid"
    return None if fits else f"needs plugin interface {manifest.sdk}, this payd has {SDK_VERSION}"


def misfit_of_provider(manifest: ProviderManifest, provider: Provider) -> str | None:
    """Return why a built provider contradicts its manifest; None when it fits."""
    declares, can = manifest.capabilities.refunds is not None, isinstance(provider, SupportsRefund)
    if declares and not can:
        return "its manifest declares refunds, and it has no refund and fetch_refund"
    if can and not declares:
        return "it can refund, and its manifest does not declare how"
    return None


def wrong_in_manifest(manifest: Any) -> str | None:
    """Return the first mistake in a manifest; None when it has none."""
    if not _matches(_NAME, manifest.name):
        return f"the name {manifest.name!r} is not [a-z][a-z0-9_]*"
    try:
        Version(manifest.version)
    except (InvalidVersion, TypeError):
        return f"its version {manifest.version!r} is invalid"
    model = manifest.config_model
    if not (isinstance(model, type) and issubclass(model, ProviderConfig)):
        return "its config_model is not a subclass of ProviderConfig"
    if not (callable(manifest.methods) and callable(manifest.factory)):
        return "its methods or its factory cannot be called"
    credentials = manifest.credentials
    if not (isinstance(credentials, tuple) and all(_matches(_NAME, one) for one in credentials)):
        return "its credentials are not a tuple of names"
    imports = manifest.imports
    if not (isinstance(imports, tuple) and all(_matches(_MODULE, one) for one in imports)):
        return "its imports are not a tuple of module names"
    unproven: object = manifest.unproven
    if not isinstance(unproven, Mapping) or not all(
        isinstance(text, str) and text for pair in unproven.items() for text in pair
    ):
        return "its unproven is not a mapping of the kit's checks to reasons"
    return _wrong_in_capabilities(manifest.capabilities)


def _wrong_in_capabilities(able: Any) -> str | None:
    if not isinstance(able, Capabilities):
        return "its capabilities are not of class Capabilities"
    words: tuple[object, object] = (able.lookup, able.cancel)
    if not (isinstance(words[0], Lookup) and isinstance(words[1], Cancel)):
        return "its capabilities have an invalid lookup or cancel"
    if type(able.concurrency) is not int or able.concurrency < 1:
        return "the concurrency of its capabilities is not a positive integer"
    flags: tuple[object, ...] = (able.audit,)
    if not all(isinstance(flag, bool) for flag in flags):
        return "the audit of its capabilities is not True or False"
    times: tuple[object, ...] = (able.operation_timeout, able.idempotency_window)
    if not all(isinstance(time, timedelta) for time in times):
        return "a time of its capabilities is not a timedelta"
    if able.operation_timeout <= _NO_TIME or able.idempotency_window < _NO_TIME:
        return "its capabilities leave no time for a call"
    return None if able.refunds is None else _wrong_in_refunds(able.refunds)


def _wrong_in_refunds(able: Any) -> str | None:
    if not isinstance(able, RefundCapabilities):
        return "the refunds of its capabilities are not of class RefundCapabilities"
    words: tuple[object, object] = (able.sends, able.lookup)
    if not (isinstance(words[0], Sends) and isinstance(words[1], Lookup)):
        return "its refunds have an invalid sends or lookup"
    flags: tuple[object, ...] = (able.partial, able.several)
    if not all(isinstance(flag, bool) for flag in flags):
        return "partial or several of its refunds is not True or False"
    window = timedelta.max if able.window is None else able.window
    times: tuple[object, ...] = (able.idempotency_window, window)
    if not all(isinstance(time, timedelta) for time in times):
        return "a time of its refunds is not a timedelta"
    if able.idempotency_window < _NO_TIME or window <= _NO_TIME:
        return "its refunds leave no time for a refund"
    return None


def wrong_in_methods(methods: Sequence[object]) -> str | None:
    """Return the first mistake in its methods; None when they have none."""
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
        return f"its method {method.key} has no currencies, or they are not a tuple"
    if not all(_matches(_CURRENCY, code) for code in currencies):
        return f"its method {method.key} has a currency that is not an ISO 4217 code"
    if not (isinstance(tokens, tuple) and all(isinstance(one, CryptoCurrency) for one in tokens)):
        return (
            f"its method {method.key} has crypto_currencies that are not a tuple of CryptoCurrency"
        )
    if any(one.currency not in ("", *currencies) for one in tokens):
        return f"its method {method.key} has a token for a currency that it does not take"
    amounts: object = method.amounts
    if not isinstance(amounts, Mapping) or not all(
        code in currencies and isinstance(rule, AmountRule) for code, rule in amounts.items()
    ):
        return f"its method {method.key} has amounts that are not rules for its currencies"
    if not isinstance(method.default_expiry, timedelta) or method.default_expiry <= _NO_TIME:
        return f"its method {method.key} expires before it begins"
    return None


def _matches(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None
