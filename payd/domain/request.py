"""Requests of callers as values. The codec has already checked each field."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

import attrs

from payd.domain.money import Money, TokenTerms
from payd.domain.payment import Customer, LineItem


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
    expire_time: datetime


@attrs.frozen(kw_only=True)
class InitiateRequest(QuoteRequest):
    """A request for a payment: what determines its price, and the rest."""

    idempotency_key: str
    customer: Customer
    subscription_ids: tuple[str, ...] = ()
    return_url: str = ""
    cancel_url: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict)

    def fingerprint(self) -> bytes:
        """SHA-256 of the request's contents; only equal requests have the same fingerprint."""
        meaning = json.dumps(attrs.asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(meaning.encode()).digest()
