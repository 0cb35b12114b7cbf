"""Settings of the provider, under `providers.acme` or in `ACME_…` variables."""

from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints

from payd.plugins import ProviderConfig


def _split(value: object) -> object:
    """Split a list from the environment at commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class AcmeConfig(ProviderConfig):
    """The settings under `providers.acme`."""

    api_base: str = Field(
        default="https://api.acme.example",
        pattern=r"^https?://[^\s/]+$",
        description="Base URL of the API.",
    )
    currencies: Annotated[tuple[Currency, ...], BeforeValidator(_split)] = Field(
        default=("USD", "EUR", "JPY"),
        min_length=1,
        description="ISO 4217 codes that can be paid in.",
    )
    expiry_minutes: int = Field(
        default=30, ge=5, le=1440, description="Minutes until a payment expires."
    )
    request_timeout_s: float = Field(
        default=8.0,
        gt=0,
        le=9,
        description="Seconds per request; payd's own deadline for an operation is 10 s.",
    )
    tolerance_s: int = Field(
        default=300,
        ge=1,
        le=3600,
        description=(
            "Maximum difference in seconds between a webhook's signing time and payd's clock."
        ),
    )
