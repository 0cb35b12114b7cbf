"""Requests of callers as values. The codec has already checked each field."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

import attrs

from payd.domain.money import Money, TokenTerms
from payd.domain.payment import Customer, LineItem

_WITHOUT_PRICE = attrs.filters.exclude("quote_token", "expected_total")


@attrs.frozen(kw_only=True)
class Item:
    """A product, by its names in the price list."""

    chain_profile_id: str
    node_type: str
    duration: str


@attrs.frozen(kw_only=True)
class QuoteRequest:
    """A request for the price of some items with a payment method."""

    items: tuple[Item, ...]
    method: str
    #: Empty unless the method takes tokens.
    crypto_currency: str = ""


@attrs.frozen(kw_only=True)
class QuoteAnswer:
    """Answer to a quote request. payd does not store it."""

    items: tuple[LineItem, ...]
    total: Money
    method: str
    crypto: TokenTerms | None
    pricing_version: str
    #: Until when the token holds the price.
    expire_time: datetime
    #: For InitiatePayment; empty when payd has no key to sign it.
    quote_token: str = ""


@attrs.frozen(kw_only=True)
class InitiateRequest(QuoteRequest):
    """A request for a payment: what determines its price, and the rest."""

    idempotency_key: str
    customer: Customer
    subscription_ids: tuple[str, ...] = ()
    return_url: str = ""
    cancel_url: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    #: Token of a quote, whose prices are charged; empty: those of the current list.
    quote_token: str = ""
    #: The only total that the caller accepts; None accepts any.
    expected_total: Money | None = None

    def fingerprint(self) -> bytes:
        """SHA-256 of what is asked for; only equal requests have the same fingerprint.

        How the price was agreed is left out: a repetition may come with a newer quote.
        """
        asked = attrs.asdict(self, filter=_WITHOUT_PRICE)
        meaning = json.dumps(asked, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(meaning.encode()).digest()
