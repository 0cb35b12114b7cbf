"""An invalid manifest is reported with its plugin's name and the reason before anything starts."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
from acme_provider import MANIFEST as ACME
from mock_provider import MANIFEST as MOCK
from sepa_provider import MANIFEST as SEPA
from stripe_provider import MANIFEST as STRIPE
from tempo_provider import MANIFEST as TEMPO
from unit.providers.toys import REFUNDS

from payd.plugins import CryptoCurrency, Method
from payd.providers.manifests import misfit, wrong_in_manifest, wrong_in_methods

CARD = Method(key="card", display_name="Card", currencies=("USD",))
TOKEN = CryptoCurrency(code="USDC", chain_id=1, token_address="0x" + "0" * 40, decimals=6)


def broken(**wrong: Any) -> Method:
    """A method with fields that its types forbid."""
    return attrs.evolve(CARD, **wrong)


@pytest.mark.parametrize("manifest", [ACME, MOCK, SEPA, STRIPE, TEMPO], ids=lambda one: one.name)
def test_ours_are_sound(manifest: Any) -> None:
    assert misfit(manifest) is None
    assert wrong_in_manifest(manifest) is None


@pytest.mark.parametrize(
    ("sdk", "why"),
    [
        (">=2", "needs plugin interface >=2"),
        ("newest", "is invalid"),
        (None, "is invalid"),
        (1, "is invalid"),
    ],
)
def test_a_range_that_does_not_hold_this_interface_does_not_fit(sdk: Any, why: str) -> None:
    assert why in str(misfit(attrs.evolve(ACME, sdk=sdk)))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "My-Bank"}, "the name"),
        ({"name": None}, "the name"),
        ({"version": "first"}, "its version 'first' is invalid"),
        ({"version": 1.0}, "its version 1.0 is invalid"),
        ({"config_model": dict}, "not a subclass of ProviderConfig"),
        ({"config_model": None}, "not a subclass of ProviderConfig"),
        ({"methods": (CARD,)}, "cannot be called"),
        ({"factory": None}, "cannot be called"),
        ({"credentials": "api_key"}, "not a tuple of names"),
        ({"credentials": None}, "not a tuple of names"),
        ({"credentials": ("api key",)}, "not a tuple of names"),
        ({"imports": "acme_provider.provider"}, "not a tuple of module names"),
        ({"imports": ("acme provider",)}, "not a tuple of module names"),
        ({"capabilities": None}, "not of class Capabilities"),
    ],
)
def test_an_invalid_manifest_is_refused_with_the_reason(changes: Any, why: str) -> None:
    assert why in str(wrong_in_manifest(attrs.evolve(ACME, **changes)))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lookup": "NONE"}, "invalid lookup"),
        ({"cancel": None}, "or cancel"),
        ({"concurrency": 0}, "not a positive integer"),
        ({"concurrency": "64"}, "not a positive integer"),
        ({"audit": "yes"}, "not True or False"),
        ({"operation_timeout": 10}, "not a timedelta"),
        ({"idempotency_window": None}, "not a timedelta"),
        ({"operation_timeout": timedelta(0)}, "no time"),
        ({"idempotency_window": timedelta(-1)}, "no time"),
    ],
)
def test_impossible_capabilities_are_refused_with_the_reason(changes: Any, why: str) -> None:
    able = attrs.evolve(ACME.capabilities, **changes)
    assert why in str(wrong_in_manifest(attrs.evolve(ACME, capabilities=able)))


@pytest.mark.parametrize("window", [None, timedelta(days=180)])
def test_refunds_that_can_be_declared(window: timedelta | None) -> None:
    refunds = attrs.evolve(REFUNDS, window=window)
    able = attrs.evolve(ACME.capabilities, refunds=refunds)
    assert wrong_in_manifest(attrs.evolve(ACME, capabilities=able)) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sends": "PROVIDER"}, "invalid sends"),
        ({"lookup": None}, "or lookup"),
        ({"partial": 1}, "not True or False"),
        ({"several": None}, "not True or False"),
        ({"window": 180}, "not a timedelta"),
        ({"window": 0}, "not a timedelta"),
        ({"idempotency_window": None}, "not a timedelta"),
        ({"window": timedelta(0)}, "no time for a refund"),
        ({"idempotency_window": timedelta(-1)}, "no time for a refund"),
    ],
)
def test_impossible_refunds_are_refused_with_the_reason(changes: Any, why: str) -> None:
    able = attrs.evolve(ACME.capabilities, refunds=attrs.evolve(REFUNDS, **changes))
    assert why in str(wrong_in_manifest(attrs.evolve(ACME, capabilities=able)))


def test_refunds_of_no_kind_are_refused() -> None:
    wrong: dict[str, Any] = {"refunds": True}
    able = attrs.evolve(ACME.capabilities, **wrong)
    assert "RefundCapabilities" in str(wrong_in_manifest(attrs.evolve(ACME, capabilities=able)))


@pytest.mark.parametrize(
    "methods", [(CARD,), (CARD, attrs.evolve(CARD, key="card-2", crypto_currencies=(TOKEN,)))]
)
def test_methods_that_can_be_offered(methods: Any) -> None:
    assert wrong_in_methods(methods) is None


@pytest.mark.parametrize(
    ("methods", "why"),
    [
        ((), "offers no method"),
        (("card",), "offers no method"),
        ((CARD, CARD), "offers a method twice"),
        ((attrs.evolve(CARD, key="Card"),), "'Card' is not"),
        ((attrs.evolve(CARD, display_name=""),), "no display name"),
        ((broken(currencies="USD"),), "no currencies"),
        ((attrs.evolve(CARD, currencies=()),), "no currencies"),
        ((attrs.evolve(CARD, currencies=("usd",)),), "not an ISO 4217 code"),
        ((broken(crypto_currencies=[TOKEN]),), "not a tuple of CryptoCurrency"),
        ((broken(crypto_currencies=("USDC",)),), "not a tuple of CryptoCurrency"),
        (
            (attrs.evolve(CARD, crypto_currencies=(attrs.evolve(TOKEN, currency="JPY"),)),),
            "a token for a currency that it does not take",
        ),
        ((attrs.evolve(CARD, default_expiry=timedelta(0)),), "expires before it begins"),
        ((broken(default_expiry=1800),), "expires before it begins"),
    ],
)
def test_a_method_that_cannot_be_offered_is_refused_with_the_reason(methods: Any, why: str) -> None:
    assert why in str(wrong_in_methods(methods))
