"""Tell Stripe's keys apart: test from live, and the API's key from the webhooks' secret."""

from collections.abc import Iterator, Mapping, Sequence

from payd.plugins import Misconfigured
from stripe_provider.config import STRIPE_API, StripeConfig


def check_key(secret_key: str, environment: str) -> bool:
    """Whether the key is a live key. Raises Misconfigured if that does not fit the environment."""
    kind = "_".join(secret_key.split("_")[:2])
    if kind not in ("sk_test", "rk_test", "sk_live", "rk_live"):
        raise Misconfigured(
            "stripe_secret_key must begin with sk_test_, rk_test_, sk_live_ or rk_live_"
        )
    is_live = kind.endswith("live")
    if is_live != (environment == "production"):
        wanted = "a live" if environment == "production" else "a test"
        raise Misconfigured(f"stripe_secret_key: {environment} needs {wanted} key")
    return is_live


def unusable(
    config: StripeConfig, secrets: Mapping[str, Sequence[str]], environment: str
) -> Iterator[tuple[str, str]]:
    """Yield which settings and credentials do not fit the environment, and why."""
    try:
        check_key(secrets["stripe_secret_key"][0], environment)
    except Misconfigured as error:
        yield "secret_key", str(error)
    if not secrets["stripe_webhook_secret"][0].startswith("whsec_"):
        yield "webhook_secret", "must begin with whsec_: it is the endpoint's signing secret"
    if environment == "production" and config.api_base != STRIPE_API:
        yield "api_base", "is for tests: remove it in production"
