"""What a caller asks for, already checked field by field; see `payd.codec.requests` for what is refused."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

import attrs

from payd.domain.money import Money, TokenTerms
from payd.domain.payment import Customer, LineItem


@attrs.frozen(kw_only=True)
class Item:
    """A product, named as in the price list."""

    chain_profile_id: str
    node_type: str
    duration: str


@attrs.frozen(kw_only=True)
class QuoteRequest:
    """Items to price for a method."""

    items: tuple[Item, ...]
    method: str
    #: Empty unless the method takes tokens.
    crypto_currency: str = ""


@attrs.frozen(kw_only=True)
class QuoteAnswer:
    """A quote: prices only, nothing is kept."""

    items: tuple[LineItem, ...]
    total: Money
    method: str
    crypto: TokenTerms | None
    pricing_version: str
    expire_time: datetime


@attrs.frozen(kw_only=True)
class InitiateRequest:
    """A payment to be."""

    idempotency_key: str
    customer: Customer
    items: tuple[Item, ...]
    method: str
    crypto_currency: str = ""
    subscription_ids: tuple[str, ...] = ()
    return_url: str = ""
    cancel_url: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def quote_request(self) -> QuoteRequest:
        """The part that has a price."""
        return QuoteRequest(
            items=self.items, method=self.method, crypto_currency=self.crypto_currency
        )

    def fingerprint(self) -> bytes:
        """SHA-256 over the request's meaning: equal requests, and only those, have equal ones."""
        meaning = json.dumps(attrs.asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(meaning.encode()).digest()
