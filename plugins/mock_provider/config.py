"""Settings of the mock: its methods and its behaviour."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints

from payd.plugins import CryptoCurrency, Method, ProviderConfig


def _split(value: object) -> object:
    """Split a list from the environment at commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
MethodKey = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]

#: A day: longer than any test waits.
DELAY_MAX_MS = 86_400_000


class MockConfig(ProviderConfig):
    """The settings under `providers.mock`."""

    methods: Annotated[tuple[MethodKey, ...], BeforeValidator(_split)] = Field(
        default=("mock",),
        min_length=1,
        description="Keys of its payment methods; crypto also offers USDC and USDT.",
    )
    currencies: Annotated[tuple[Currency, ...], BeforeValidator(_split)] = Field(
        default=("USD", "EUR", "BRL", "JPY"),
        min_length=1,
        description="ISO 4217 codes that each of its methods takes.",
    )
    delay_ms: int = Field(
        default=200,
        ge=0,
        le=DELAY_MAX_MS,
        description="Milliseconds from the creation to the scripted result.",
    )
    failure_rate: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description=(
            "Fraction of payments without a scenario that fail: half are declined, a "
            "quarter each time out before and after creation."
        ),
    )
    seed: int = Field(default=0, description="Seed for choosing the payments that fail.")
    state_file: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        default=None,
        description=(
            "SQLite file of the sessions; without one they are in memory and end with the process."
        ),
    )
    base_url: str = Field(
        default="https://mock.invalid",
        pattern=r"^https?://[^\s]+$",
        description="Start of the URL of a payment's page, which does not exist.",
    )


#: Invented token addresses that exist on no chain.
CRYPTO_CHAIN_ID = 424_242
_TOKENS = (
    CryptoCurrency(
        code="USDC",
        chain_id=CRYPTO_CHAIN_ID,
        token_address="0x" + "c0" * 20,
        decimals=6,
        network="no chain at all",
    ),
    CryptoCurrency(
        code="USDT",
        chain_id=CRYPTO_CHAIN_ID,
        token_address="0x" + "d0" * 20,
        decimals=6,
        network="no chain at all",
    ),
)


def methods_of(config: MockConfig) -> tuple[Method, ...]:
    """One method per configured key; only `crypto` takes tokens."""
    return tuple(
        Method(
            key=key,
            display_name=f"{key.replace('_', ' ').capitalize()} (test, takes no money)",
            currencies=tuple(dict.fromkeys(config.currencies)),
            crypto_currencies=_TOKENS if key == "crypto" else (),
            default_expiry=timedelta(minutes=30),
        )
        for key in dict.fromkeys(config.methods)
    )
