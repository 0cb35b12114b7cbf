"""Settings of the Stripe provider, and its payment method."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from payd.plugins import Method, ProviderConfig
from stripe_provider.currencies import refusal_of, rule_of

STRIPE_API = "https://api.stripe.com"


def _split(value: object) -> object:
    """Split a list from the environment at commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _chargeable(currency: str) -> str:
    if (refused := refusal_of(currency)) is not None:
        raise ValueError(f"{currency}: {refused}")
    return currency


Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(_chargeable)]


class StripeConfig(ProviderConfig):
    """The settings under `providers.stripe`."""

    currencies: Annotated[tuple[Currency, ...], BeforeValidator(_split)] = Field(
        default=("USD",),
        min_length=1,
        description="ISO 4217 codes that can be paid in; the price list needs prices in them.",
    )
    session_ttl_minutes: int = Field(
        default=60,
        ge=31,
        le=1439,
        description=(
            "Minutes until a session expires. Stripe allows 30 minutes to 24 hours; a "
            "margin of a minute allows for clocks that differ."
        ),
    )
    requests_per_second: float = Field(
        default=25.0,
        gt=0,
        le=10_000,
        description="Maximum requests per second to each endpoint of Stripe's API.",
    )
    request_timeout_s: float = Field(
        default=4.0,
        gt=0,
        le=60,
        description=(
            "Seconds per request; a payment's creation may send two within payd's deadline of 10 s."
        ),
    )
    tolerance_s: int = Field(
        default=300,
        ge=1,
        le=3600,
        description="Maximum difference in seconds between a webhook's time and payd's clock.",
    )
    api_base: str = Field(
        default=STRIPE_API,
        pattern=r"^https?://[^\s/]+$",
        description="Base URL of the API; another one is for tests and refused in production.",
    )


def methods_of(config: StripeConfig) -> tuple[Method, ...]:
    """The method `card`, in the configured currencies."""
    return (
        Method(
            key="card",
            display_name="Card",
            currencies=config.currencies,
            amounts={currency: rule_of(currency) for currency in config.currencies},
            default_expiry=timedelta(minutes=config.session_ttl_minutes),
        ),
    )
