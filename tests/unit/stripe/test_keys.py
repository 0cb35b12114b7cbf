"""Which key works where, what closing does, and what importing costs."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from stripe_provider import MANIFEST, StripeConfig, payd_providers
from stripe_provider.config import STRIPE_API, methods_of
from stripe_provider.keys import check_key, unusable
from stripe_provider.provider import StripeProvider, open_provider
from unit.providers.toys import Journal
from unit.stripe.builders import (
    INTENT_ID,
    KEY,
    NOW,
    PAYMENT_ID,
    SDK_WARNING,
    SESSION_ID,
    Word,
    a_session,
    an_intent,
    an_operation,
    answer,
    failure,
    open_fake,
)

from payd.plugins import (
    Created,
    InvalidRequest,
    Misconfigured,
    OutcomeUnknown,
    PaymentRef,
    Provider,
    ProviderContext,
    ProviderStatus,
    Redirect,
    Snapshot,
    SupportsCompare,
    SupportsPrepare,
    SupportsScan,
    SupportsWebhooks,
)

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)
ENVIRONMENTS = ("production", "staging", "development", "test")


class Still:
    """A clock."""

    def now(self) -> Any:
        return NOW


def a_context(environment: str, key: str = KEY) -> ProviderContext:
    secrets: Mapping[str, tuple[str, ...]] = {"stripe_secret_key": (key, "sk_test_older")}
    return ProviderContext(environment=environment, secrets=secrets, clock=Still(), log=Journal())


# -- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("kind", ["sk", "rk"])
@pytest.mark.parametrize("world", ["live", "test"])
def test_live_keys_work_in_production_only_and_test_keys_elsewhere(
    environment: str, kind: str, world: str
) -> None:
    key = f"{kind}_{world}_51Abc_xyz"
    if (world == "live") is (environment == "production"):
        assert check_key(key, environment) is (world == "live")
    else:
        with pytest.raises(Misconfigured, match=environment):
            check_key(key, environment)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(
    "key",
    [
        "",
        "sk",
        "sk_",
        "x",
        "pk_test_secretpart",
        "pk_live_secretpart",
        "whsec_secretpart",
        "SK_TEST_secretpart",
        " sk_test_secretpart",
        "sk-test-secretpart",
        "sk_testing_secretpart",
        "test_sk_secretpart",
    ],
)
def test_what_is_no_secret_key_is_refused_without_telling_it(environment: str, key: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        check_key(key, environment)
    assert "secretpart" not in str(refused.value)


def test_a_key_of_the_other_world_is_refused_without_telling_it() -> None:
    with pytest.raises(Misconfigured) as refused:
        check_key("sk_live_secretpart", "staging")
    assert "secretpart" not in str(refused.value)


@pytest.mark.parametrize(
    ("environment", "key", "secret", "api_base", "named"),
    [
        ("test", "sk_test_x", "whsec_x", "http://127.0.0.1:1", set()),
        ("production", "sk_live_x", "whsec_x", STRIPE_API, set()),
        ("production", "sk_test_x", "whsec_x", STRIPE_API, {"secret_key"}),
        ("production", "rk_live_x", "whsec_x", "http://127.0.0.1:1", {"api_base"}),
        ("test", "whsec_x", "sk_test_x", STRIPE_API, {"secret_key", "webhook_secret"}),
    ],
)
def test_what_does_not_fit_the_environment_is_named_before_the_start(
    environment: str, key: str, secret: str, api_base: str, named: set[str]
) -> None:
    config = StripeConfig(api_base=api_base)
    secrets = {"stripe_secret_key": (key, "old"), "stripe_webhook_secret": (secret, "old")}
    assert {name for name, _ in unusable(config, secrets, environment)} == named


async def test_a_provider_opens_with_the_newest_key_and_offers_all() -> None:
    async with open_provider(a_context("test"), StripeConfig()) as provider:
        for protocol in (
            Provider,
            SupportsPrepare,
            SupportsWebhooks,
            SupportsScan,
            SupportsCompare,
        ):
            assert isinstance(provider, protocol)


@pytest.mark.parametrize(
    ("environment", "key", "config"),
    [
        ("production", KEY, StripeConfig()),
        ("test", "sk_live_x", StripeConfig()),
        ("test", "", StripeConfig()),
        ("production", "sk_live_x", StripeConfig(api_base="http://127.0.0.1:1")),
        ("production", "sk_live_x", StripeConfig(api_base=f"{STRIPE_API}:443")),
    ],
)
async def test_a_provider_of_the_wrong_world_does_not_open(
    environment: str, key: str, config: StripeConfig
) -> None:
    with pytest.raises(Misconfigured):
        async with open_provider(a_context(environment, key), config):
            pass


async def test_a_live_key_opens_in_production() -> None:
    async with open_provider(a_context("production", "rk_live_x"), StripeConfig()) as provider:
        assert isinstance(provider, StripeProvider)


# -- what it does ------------------------------------------------------------------------------


async def test_a_create_sends_what_was_stored_under_the_operations_id() -> None:
    operation = an_operation(parameters={"mode": "stored"})
    session = a_session(url="https://pay")
    async with open_fake(answer(session)) as (api, fake):
        provider = StripeProvider(api, StripeConfig(), Still(), livemode=False)
        created = await provider.create(operation)
    assert created == Created(
        reference=SESSION_ID,
        next_action=Redirect(url="https://pay"),
        expire_time=datetime.fromtimestamp(session["expires_at"], UTC),
    )
    assert fake.sent[0].body == b"mode=stored"
    assert fake.sent[0].headers["idempotency-key"] == operation.operation_id


async def closed(*words: Word, reference: str | None = SESSION_ID) -> Snapshot:
    ref = PaymentRef(
        operation_id="key",
        payment_id=PAYMENT_ID,
        reference=reference,
        asset="USD",
        create_time=NOW,
    )
    async with open_fake(*words) as (api, _):
        return await StripeProvider(api, StripeConfig(), Still(), livemode=False).cancel(ref)


NOT_OPEN = {"type": "invalid_request_error", "message": "Only open sessions can be expired."}
MISSING = {"type": "invalid_request_error", "code": "resource_missing"}


async def test_an_open_session_is_closed() -> None:
    snapshot = await closed(answer(a_session(status="expired")), failure(500))
    assert snapshot.status is ProviderStatus.EXPIRED


@pytest.mark.parametrize(
    ("intent", "status"),
    [
        ("succeeded", ProviderStatus.PAID),
        ("processing", ProviderStatus.PROCESSING),
        ("canceled", ProviderStatus.EXPIRED),
        ("requires_payment_method", ProviderStatus.EXPIRED),
    ],
)
async def test_a_payment_begun_before_the_closing_is_looked_at(
    intent: str, status: ProviderStatus
) -> None:
    named = a_session(status="expired", payment_intent=INTENT_ID)
    whole = named | {"payment_intent": an_intent(intent)}
    assert (await closed(answer(named), answer(whole))).status is status


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (("complete", "paid"), ProviderStatus.PAID),
        (("complete", "unpaid"), ProviderStatus.PROCESSING),
        (("expired", "unpaid"), ProviderStatus.EXPIRED),
        (("open", "unpaid"), ProviderStatus.OPEN),
    ],
)
async def test_a_session_that_cannot_be_closed_reports_its_state(
    states: tuple[str, str], status: ProviderStatus
) -> None:
    session = a_session(status=states[0], payment_status=states[1])
    assert (await closed(failure(400, **NOT_OPEN), answer(session))).status is status


async def test_a_session_that_stripe_does_not_know_is_not_closed() -> None:
    with pytest.raises(OutcomeUnknown):
        await closed(failure(404, **MISSING), failure(404, **MISSING))


async def test_without_a_reference_there_is_nothing_to_close() -> None:
    with pytest.raises(InvalidRequest):
        await closed(answer({}), reference=None)


# -- the plugin --------------------------------------------------------------------------------


def test_importing_the_plugin_does_not_import_the_sdk() -> None:
    code = (
        "import sys, stripe_provider; print([n for n in ('stripe', 'httpx') if n in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"


def test_the_hook_gives_one_manifest() -> None:
    assert list(payd_providers()) == [MANIFEST]
    assert MANIFEST.credentials == ("stripe_secret_key", "stripe_webhook_secret")


@pytest.mark.parametrize("minutes", [31, 60, 1439])
def test_a_customer_has_as_long_as_configured(minutes: int) -> None:
    (method,) = methods_of(StripeConfig(session_ttl_minutes=minutes, currencies=("EUR", "USD")))
    assert method.default_expiry.total_seconds() == minutes * 60
    assert (method.key, method.currencies) == ("card", ("EUR", "USD"))
    assert method.crypto_currencies == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"session_ttl_minutes": 30},
        {"session_ttl_minutes": 1440},
        {"currencies": []},
        {"currencies": ["usd"]},
        {"currencies": "USD,eur"},
        {"requests_per_second": 0},
        {"tolerance_s": 0},
        {"api_base": "ftp://x"},
        {"api_base": "https://x/path"},
        {"secret_key": "sk_test_x"},
    ],
)
def test_a_setting_that_stripe_would_not_take_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        StripeConfig(**wrong)


def test_currencies_from_the_environment_are_split_at_commas() -> None:
    assert StripeConfig.model_validate({"currencies": "USD, EUR,"}).currencies == ("USD", "EUR")
