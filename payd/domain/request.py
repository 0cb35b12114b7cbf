"""Requests of callers as values. The codec has already checked each field."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

import attrs

from payd.domain.attention import Attention
from payd.domain.money import Money, TokenTerms
from payd.domain.payment import Customer, LineItem
from payd.domain.refund import RefundStatus


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
    #: ISO 4217 code of the prices; empty: the currency of the quote token, else the list's first.
    currency_code: str = ""


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
        asked = _members(self)
        del asked["quote_token"], asked["expected_total"]
        if not self.currency_code:
            # A neighbouring version that knows no currency_code makes the same fingerprint.
            del asked["currency_code"]
        return _fingerprint(asked)


@attrs.frozen(kw_only=True)
class RefundRequest:
    """A request to send money back."""

    payment_id: UUID
    idempotency_key: str
    #: None asks for all that is left.
    amount: Money | None = None
    #: Why, in the words of the requester.
    reason: str = ""
    #: Where to send it; empty where the provider sends it back the way it came.
    destination: str = ""

    def fingerprint(self) -> bytes:
        """SHA-256 of what is asked for; only equal requests have the same fingerprint."""
        return _fingerprint(_members(self) | {"payment_id": str(self.payment_id)})


@attrs.frozen(kw_only=True)
class RefundFilter:
    """Which refunds to list."""

    #: Refunds of this payment only.
    payment_id: UUID | None = None
    #: In these statuses only; empty is in any.
    statuses: frozenset[RefundStatus] = frozenset()


@attrs.frozen(kw_only=True)
class ResolveRequest:
    """An operator's word that reasons for attention are settled."""

    payment_id: UUID
    #: Empty for all that are open.
    reasons: frozenset[Attention] = frozenset()
    #: What was done about them.
    note: str
    #: Version of the payment that the operator looked at; None for any.
    expected_version: int | None = None


@attrs.frozen(kw_only=True)
class ForgetRequest:
    """An operator's order to erase the personal data of a customer."""

    customer_id: str
    #: Only count what would be erased.
    dry_run: bool = False
    #: Why, for the audit trail; must not be personal itself.
    note: str = ""


@attrs.frozen(kw_only=True)
class SettleRequest:
    """An operator's word on what became of a refund."""

    refund_id: UUID
    #: True if the money has gone back, False if it never will.
    has_succeeded: bool
    #: The provider's id of the refund; empty if the operator found none.
    reference: str = ""
    #: How the operator found out.
    note: str


@attrs.frozen(kw_only=True)
class WatchRequest:
    """A request to follow a payment."""

    payment_id: UUID
    #: The newest version that the caller knows; 0 knows none.
    after_version: int = 0
    #: How long to go on after a final status.
    linger: timedelta = timedelta(0)


def _fingerprint(asked: Mapping[str, object]) -> bytes:
    meaning = json.dumps(asked, sort_keys=True, separators=(",", ":"), default=_members)
    return hashlib.sha256(meaning.encode()).digest()


_NAMES = {
    kind: tuple(field.name for field in attrs.fields(kind))
    for kind in (InitiateRequest, RefundRequest, Item, Customer, Money)
}


def _members(value: Any) -> dict[str, Any]:
    """The members of a value of these classes; `attrs.asdict` takes eight times as long."""
    names = _NAMES[value.__class__]
    return dict(zip(names, attrgetter(*names)(value), strict=True))
