"""Settings of the Tempo provider, and its payment method."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from payd.plugins import CryptoCurrency, Method, ProviderConfig
from tempo_provider.receivers import TOKEN_PREFIX, why_not_a_receiver

NO_ETH = "Tempo has no ETH: the chain has no native token, and fees are paid in stablecoins"
PATH_USD = "0x20c0000000000000000000000000000000000000"
_ALPHA_USD, _BETA_USD, _THETA_USD = (f"{PATH_USD[:-1]}{n}" for n in (1, 2, 3))
_DECIMALS = 6

MAINNET, TESTNET, LOCALNET, DEVNET = 4217, 42431, 1337, 31318
#: Chain → its name for people, and the page of a transaction in its block explorer.
_NETWORKS = {
    MAINNET: ("Tempo", "https://explore.tempo.xyz/tx/{transaction}"),
    TESTNET: (
        "Tempo testnet (Moderato)",
        "https://explore.moderato.tempo.xyz/tx/{transaction}",
    ),
    LOCALNET: ("Tempo on this machine", ""),
    DEVNET: ("Tempo devnet", ""),
}
#: On mainnet from the chain's token list (tokenlist.tempo.xyz/list/4217), elsewhere the faucet's
#: tokens.
_TOKENS = {
    MAINNET: {
        "USDC": "0x20c000000000000000000000b9537d11c60e8b50",
        "USDT": "0x20c00000000000000000000014f22ca97301eb73",
    },
    **{chain: {"USDC": _ALPHA_USD, "USDT": _BETA_USD} for chain in (TESTNET, LOCALNET, DEVNET)},
}
#: Tokens that are not offered but are real money if a customer sends them.
_ALSO_WATCHED = {
    MAINNET: (PATH_USD,),
    **dict.fromkeys((TESTNET, LOCALNET, DEVNET), (PATH_USD, _THETA_USD)),
}


def _split(value: object) -> object:
    """Split a list from the environment at commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _pairs(value: object) -> object:
    """Parse a mapping from the environment: CODE=0x…,CODE=0x…"""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    return {code.strip(): address.strip() for code, _, address in pairs}


def _is_token(address: str) -> str:
    if not address.startswith(TOKEN_PREFIX):
        raise ValueError(f"not a TIP-20 token: their addresses begin with {TOKEN_PREFIX}")
    return address


def _is_receiver(address: str) -> str:
    if why := why_not_a_receiver(address):
        raise ValueError(f"money sent there would be lost ({why}): set an account that you control")
    return address


Address = Annotated[
    str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$", to_lower=True, strip_whitespace=True)
]
Token = Annotated[Address, AfterValidator(_is_token)]
Code = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9.]{1,11}$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+\S*$")]


class TempoConfig(ProviderConfig):
    """The settings under `providers.tempo`."""

    receiver_address: Annotated[Address, AfterValidator(_is_receiver)] = Field(
        description=(
            "Account that receives the payments; payd does not need its key. An address of "
            "the chain itself is refused."
        )
    )
    rpc_url: Annotated[tuple[Url, ...], BeforeValidator(_split)] = Field(
        min_length=1, description="JSON-RPC endpoints of the chain, in order of preference."
    )
    rpc_quorum: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Number of endpoints that must agree; by default two, or one with a single endpoint."
        ),
    )
    chain_id: int = Field(gt=0, lt=2**63, description="Chain: 4217 is mainnet, 42431 testnet.")
    tokens: Annotated[Mapping[Code, Token], BeforeValidator(_pairs)] = Field(
        default_factory=dict,
        description=(
            "Offered tokens, CODE: address; by default the chain's USDC and USDT. By "
            "address, because anyone may create a token called USDC."
        ),
    )
    watched_tokens: Annotated[tuple[Token, ...] | None, BeforeValidator(_split)] = Field(
        default=None,
        description=(
            "Tokens that are not offered but recognized when they arrive; by default the "
            "chain's other known ones."
        ),
    )
    payment_ttl_minutes: int = Field(
        default=30, ge=5, le=1440, description="Minutes until a payment expires."
    )
    poll_interval_s: float = Field(
        default=2.0,
        ge=0.05,
        le=60,
        description="Seconds between requests for the newest final block.",
    )
    request_timeout_s: float = Field(default=4.0, gt=0, le=60, description="Seconds per request.")
    range_blocks_max: int = Field(
        default=10_000, ge=1, le=100_000, description="Maximum number of blocks per request."
    )
    overlap_blocks: int = Field(
        default=64,
        ge=0,
        le=10_000,
        description="Number of blocks before the cursor that every request reads again.",
    )
    rescan_blocks: int = Field(
        default=50_000,
        ge=0,
        le=10_000_000,
        description="Number of blocks before the cursor that are read again periodically.",
    )
    rescan_interval_s: float = Field(
        default=3600.0, ge=0.1, le=86_400, description="Seconds between these rescans."
    )
    start_block: int | None = Field(
        default=None,
        ge=0,
        description=(
            "Block where the first start begins to read; by default the final block at that time."
        ),
    )
    late_payments: Literal["complete", "hold"] = Field(
        default="complete",
        description="complete: late money completes a payment; hold: an operator decides.",
    )

    @model_validator(mode="before")
    @classmethod
    def _known_tokens(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        try:
            chain_id = int(values.get("chain_id", 0))
        except (TypeError, ValueError):
            return values
        known = {
            "tokens": _TOKENS.get(chain_id, {}),
            "watched_tokens": _ALSO_WATCHED.get(chain_id, ()),
        }
        return known | {key: value for key, value in values.items() if value is not None}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if "ETH" in self.tokens:
            raise ValueError(NO_ETH)
        if not self.tokens:
            raise ValueError(f"payd knows no tokens of chain {self.chain_id}: set `tokens`")
        if len(set(self.tokens.values())) < len(self.tokens):
            raise ValueError("two codes in `tokens` have the same address")
        if self.rpc_quorum is not None and self.rpc_quorum > len(self.rpc_url):
            raise ValueError("`rpc_quorum` exceeds the number of endpoints in `rpc_url`")
        if len(set(self.rpc_url)) < len(self.rpc_url):
            raise ValueError("`rpc_url` names an endpoint twice, which proves nothing")
        return self

    @property
    def quorum(self) -> int:
        """Number of endpoints that must agree."""
        return self.rpc_quorum or min(2, len(self.rpc_url))

    def code_of(self, token: str) -> str:
        """Code of a token; its address for one that is watched and not offered."""
        return next((code for code, address in self.tokens.items() if address == token), token)

    @property
    def watched(self) -> frozenset[str]:
        """Every token whose transfers are read, offered or not."""
        return frozenset(self.tokens.values()) | frozenset(self.watched_tokens or ())


def methods_of(config: TempoConfig) -> tuple[Method, ...]:
    """The method `crypto`, with the configured tokens."""
    return (
        Method(
            key="crypto",
            display_name="Stablecoins on Tempo",
            currencies=("USD",),
            crypto_currencies=tuple(
                CryptoCurrency(
                    code=code,
                    chain_id=config.chain_id,
                    token_address=address,
                    decimals=_DECIMALS,
                    network=_NETWORKS.get(config.chain_id, ("Tempo", ""))[0],
                    transaction_url=_NETWORKS.get(config.chain_id, ("Tempo", ""))[1],
                )
                for code, address in config.tokens.items()
            ),
            refused_currencies={"ETH": NO_ETH},
            default_expiry=timedelta(minutes=config.payment_ttl_minutes),
            late_payments_complete=config.late_payments == "complete",
        ),
    )
