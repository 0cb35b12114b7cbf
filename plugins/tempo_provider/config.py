"""Settings of the Tempo provider, and its payment method."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import attrs
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from payd.plugins import CryptoCurrency, Method, ProviderConfig
from tempo_provider.networks import name_of, network_of
from tempo_provider.receivers import TOKEN_PREFIX, why_not_a_receiver
from tempo_provider.virtual import is_virtual

NO_ETH = "Tempo has no ETH: the chain has no native token, and fees are paid in stablecoins"
_DECIMALS = 6
#: Currencies that tokens stand for, at par.
USD, EUR = "USD", "EUR"


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
    if is_virtual(address):
        raise ValueError(
            "it is a virtual address: name the account to which it forwards, and set "
            "TEMPO_MASTER_ID for an address of each payment"
        )
    if why := why_not_a_receiver(address):
        raise ValueError(f"money sent there would be lost ({why}): set an account that you control")
    return address


def _has_port(url: str) -> str:
    """Refuse a port that no client can connect to."""
    if urlsplit(url).port == 0:
        raise ValueError("the port is 0")
    return url


def _is_public(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("wallets call it from the customer's browser: use https")
    if parts.username or parts.password:
        raise ValueError("customers see it: leave out the password")
    return url


Address = Annotated[
    str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$", to_lower=True, strip_whitespace=True)
]
Token = Annotated[Address, AfterValidator(_is_token)]
MasterId = Annotated[
    str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{8}$", to_lower=True, strip_whitespace=True)
]
Code = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9.]{1,11}$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+\S*$"), AfterValidator(_has_port)]
WebSocketUrl = Annotated[
    str, StringConstraints(pattern=r"^wss?://[^\s/]+\S*$"), AfterValidator(_has_port)
]


class TempoConfig(ProviderConfig):
    """The settings under `providers.tempo`."""

    receiver_address: Annotated[Address, AfterValidator(_is_receiver)] = Field(
        description=(
            "Account that receives the payments; payd does not need its key. An address of "
            "the chain itself is refused."
        )
    )
    master_id: MasterId | None = Field(
        default=None,
        description=(
            "Id under which `receiver_address` is registered for virtual addresses (TIP-1022); "
            "every payment then has an address of its own, which any wallet can pay without a "
            "memo. `payd tempo register-master` makes one."
        ),
    )
    network: Literal["mainnet", "testnet", "local"] | None = Field(
        default=None,
        description=(
            "Network whose chain id, public endpoint, explorer and tokens are used where they are "
            "not set."
        ),
    )
    rpc_url: Annotated[tuple[Url, ...], BeforeValidator(_split)] = Field(
        min_length=1,
        description=(
            "JSON-RPC endpoints of the chain, in order of preference; by default the public one "
            "of `network`."
        ),
    )
    rpc_quorum: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Number of endpoints that must agree; by default two, or one with a single endpoint."
        ),
    )
    chain_id: int = Field(
        gt=0,
        lt=2**63,
        description="Chain: 4217 is mainnet, 42431 testnet; by default that of `network`.",
    )
    explorer_url: Url | None = Field(
        default=None,
        description="Address of a block explorer, to which `/tx/` and a transaction are added.",
    )
    fee_payer_url: Annotated[Url, AfterValidator(_is_public)] | None = Field(
        default=None,
        description=(
            "Service that pays the fees of customers' transfers. Their wallets call it, so every "
            "customer sees its address."
        ),
    )
    fee_sponsor_url: Url | None = Field(
        default=None,
        description=(
            "Service that pays the fees of customers' transfers and that payd calls for their "
            "wallets: it forwards only what pays an open payment. No customer sees its address, "
            "which may contain a key. Needs payment pages (`http.public_url`)."
        ),
    )
    tokens: Annotated[Mapping[Code, Token], BeforeValidator(_pairs)] = Field(
        default_factory=dict,
        description=(
            "Tokens that are offered for prices in USD, CODE: address; by default the chain's "
            "USDC and USDT. By address, because anyone may create a token called USDC."
        ),
    )
    eur_tokens: Annotated[Mapping[Code, Token], BeforeValidator(_pairs)] = Field(
        default_factory=dict,
        description="Tokens that are offered for prices in EUR, CODE: address; by default none.",
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
    ws_url: WebSocketUrl | None = Field(
        default=None,
        description=(
            "WebSocket that announces new blocks, which ends the wait for the next poll early. "
            "Nothing else is read from it, so that it may be anybody's."
        ),
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
    def _known_network(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        known = network_of(values.get("network"), values.get("chain_id"))
        defaults = attrs.asdict(known, recurse=False) if known else {}
        given = {key: value for key, value in values.items() if value is not None}
        return {key: value for key, value in defaults.items() if value} | given

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        codes = [*self.tokens, *self.eur_tokens]
        if "ETH" in codes:
            raise ValueError(NO_ETH)
        if not codes:
            raise ValueError(f"payd knows no tokens of chain {self.chain_id}: set `tokens`")
        if len(self.offered) < len(codes):
            raise ValueError("a code is in `tokens` and in `eur_tokens`")
        if len(set(self.offered.values())) < len(codes):
            raise ValueError("two codes in `tokens` have the same address")
        if self.fee_payer_url and self.fee_sponsor_url:
            raise ValueError("set `fee_payer_url` or `fee_sponsor_url`: one of them pays the fee")
        if self.rpc_quorum is not None and self.rpc_quorum > len(self.rpc_url):
            raise ValueError("`rpc_quorum` exceeds the number of endpoints in `rpc_url`")
        if len(set(self.rpc_url)) < len(self.rpc_url):
            raise ValueError("`rpc_url` names an endpoint twice, which proves nothing")
        return self

    @property
    def quorum(self) -> int:
        """Number of endpoints that must agree."""
        return self.rpc_quorum or min(2, len(self.rpc_url))

    @property
    def offered(self) -> Mapping[str, str]:
        """Code → address of every token that is offered."""
        return {**self.tokens, **self.eur_tokens}

    def currency_of(self, token: str) -> str:
        """Currency of the prices for which a token is offered, by its address."""
        return EUR if token in self.eur_tokens.values() else USD

    def transaction_url(self, transaction: str) -> str:
        """Address of a transaction in the explorer; empty without one."""
        return f"{self.explorer_url.rstrip('/')}/tx/{transaction}" if self.explorer_url else ""

    def code_of(self, token: str) -> str:
        """Code of a token; its address for one that is watched and not offered."""
        return next((code for code, address in self.offered.items() if address == token), token)

    @property
    def watched(self) -> frozenset[str]:
        """Every token whose transfers are read, offered or not."""
        return frozenset(self.offered.values()) | frozenset(self.watched_tokens or ())


def methods_of(config: TempoConfig) -> tuple[Method, ...]:
    """The method `crypto`, with the configured tokens."""
    return (
        Method(
            key="crypto",
            display_name="Stablecoins on Tempo",
            currencies=tuple(
                currency
                for currency, tokens in ((USD, config.tokens), (EUR, config.eur_tokens))
                if tokens
            ),
            crypto_currencies=tuple(
                CryptoCurrency(
                    code=code,
                    chain_id=config.chain_id,
                    token_address=address,
                    decimals=_DECIMALS,
                    network=name_of(config.chain_id),
                    transaction_url=config.transaction_url("{transaction}"),
                    wallet_method="wallet_transfer",
                    fee_payer_url=config.fee_payer_url or "",
                    is_sponsored=config.fee_sponsor_url is not None,
                    currency=config.currency_of(address),
                )
                for code, address in config.offered.items()
            ),
            refused_currencies={"ETH": NO_ETH},
            default_expiry=timedelta(minutes=config.payment_ttl_minutes),
            late_payments_complete=config.late_payments == "complete",
        ),
    )
