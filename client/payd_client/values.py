"""Values that the client takes and returns. `messages` turns them into protobuf and back."""

import enum
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID, uuid4

import attrs

from payd_client.parts import (
    Failure,
    Money,
    NextAction,
    is_address,
    is_base_units,
    is_decimals,
)
from payd_client.proto import payment_pb2 as pb
from payd_client.receipts import PaymentReceipt
from payd_client.refunds import AttentionRecord, Dispute, Refund


class Status(enum.Enum):
    """Status of a payment; docs/reference.md has the transitions."""

    CREATING = "CREATING"
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"

    @property
    def is_open(self) -> bool:
        """Whether payd still waits for the provider or the customer."""
        return self in _OPEN

    @property
    def is_closed(self) -> bool:
        """Whether the payment ended unpaid. Late money may still complete it."""
        return self in _CLOSED


_OPEN = frozenset({Status.CREATING, Status.PENDING, Status.PROCESSING, Status.CANCELING})
_CLOSED = frozenset({Status.CANCELED, Status.EXPIRED, Status.FAILED})


class EventType(enum.Enum):
    """Type of an event, which is also its subject in the stream."""

    COMPLETED = "payment.completed"
    FAILED = "payment.failed"
    CANCELED = "payment.canceled"
    REFUNDED = "payment.refunded"
    REFUND_FAILED = "payment.refund_failed"
    DISPUTED = "payment.disputed"
    DISPUTE_CLOSED = "payment.dispute_closed"
    ATTENTION = "payment.attention"


# -- requests ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Caller:
    """Origin of a call, for payd's audit trail."""

    #: Returned with errors and events. Generated when not given.
    request_id: str = attrs.field(factory=lambda: uuid4().hex)
    #: Who caused the call in the main app, such as `alice`.
    actor: str = ""
    #: IP address of the customer.
    ip: str = ""
    #: W3C trace context. payd passes it on to the events.
    traceparent: str = ""

    def metadata(self) -> dict[str, str]:
        """Return the gRPC metadata of a call."""
        named = {
            "x-request-id": self.request_id,
            "x-actor": self.actor,
            "x-forwarded-for": self.ip,
            "traceparent": self.traceparent,
        }
        return {name: value for name, value in named.items() if value}


@attrs.frozen(kw_only=True)
class Item:
    """A product, named as in payd's price list."""

    chain_profile_id: str
    node_type: str
    duration: str


@attrs.frozen(kw_only=True)
class Customer:
    """A user of the main app. `id` is the main app's own id for the user."""

    id: str
    wallet_address: str = ""
    email: str = ""


@attrs.frozen(kw_only=True)
class QuoteRequest:
    """Items to price for a payment method."""

    items: tuple[Item, ...]
    method: str
    #: Symbol such as USDC; only for a method that is paid in tokens.
    crypto_currency: str = ""
    #: Currency of the prices, such as EUR; empty for the first of payd's price list.
    currency_code: str = ""


@attrs.frozen(kw_only=True)
class InitiateRequest:
    """A payment to create. The proto describes each field and its limits."""

    #: The same key always returns the same payment: choose it once for each order and store it.
    idempotency_key: str
    customer: Customer
    items: tuple[Item, ...]
    method: str
    crypto_currency: str = ""
    subscription_ids: tuple[str, ...] = ()
    return_url: str = ""
    cancel_url: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    #: `Quote.quote_token`: until the quote expires, its total is charged, and no other.
    quote_token: str = ""
    #: Without a token: the total that the customer was shown. Another one is refused.
    expected_total: Money | None = None
    #: As in QuoteRequest; empty with a quote_token: the currency of the quote.
    currency_code: str = ""


# -- answers -------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class PricedItem:
    """A product with the price it had when it was quoted."""

    chain_profile_id: str
    node_type: str
    duration: str
    unit_price: Money


@attrs.frozen(kw_only=True)
class QuoteCrypto:
    """The token and the amount that a quote asks for."""

    currency: str
    chain_id: int
    #: 0x-hex.
    token_address: str = attrs.field(validator=is_address)
    decimals: int = attrs.field(validator=is_decimals)
    amount_base_units: int = attrs.field(validator=is_base_units)


@attrs.frozen(kw_only=True)
class Quote:
    """Prices of items. payd stores no quote: the token is the quote."""

    items: tuple[PricedItem, ...]
    total: Money
    method: str
    #: Set for a method that is paid in tokens.
    crypto: QuoteCrypto | None
    #: SHA-256 of the price list.
    pricing_version: str
    #: Until when the token is good.
    expire_time: datetime
    #: For `InitiateRequest`. Empty if payd signs no quotes: then use `expected_total`.
    quote_token: str
    #: The protobuf message of the answer.
    message: pb.Quote = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class CryptoFacts:
    """Exact token amounts of a payment, in base units."""

    currency: str
    #: 0x-hex.
    token_address: str = attrs.field(validator=is_address)
    decimals: int = attrs.field(validator=is_decimals)
    due_base_units: int = attrs.field(validator=is_base_units)
    received_base_units: int = attrs.field(validator=is_base_units)
    #: The part of `received_base_units` that is final on the chain.
    confirmed_base_units: int = attrs.field(validator=is_base_units)
    #: What can still be refunded; None where `Payment.left_to_refund` is.
    left_to_refund_base_units: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(is_base_units)
    )
    #: Address that the customer was asked to pay, also after the payment has closed; None where
    #: payd names none.
    receiver_address: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(is_address)
    )


@attrs.frozen(kw_only=True)
class Payment:
    """A payment as payd returned or published it. The proto describes each field."""

    id: UUID
    status: Status
    method: str
    provider: str
    amount: Money
    customer_id: str
    idempotency_key: str
    items: tuple[PricedItem, ...]
    subscription_ids: tuple[str, ...]
    #: What the customer has to do; None when there is nothing to do.
    next_action: NextAction | None
    provider_reference: str
    #: For tokens rounded down to minor units; `crypto` has the exact amounts.
    received: Money
    #: By refunds that succeeded. It falls again when a refund fails later.
    refunded: Money
    crypto: CryptoFacts | None
    #: Reasons why a person should look at the payment.
    attention: tuple[str, ...]
    failure: Failure | None
    #: Completed by money that arrived after the payment was closed.
    late: bool
    pricing_version: str
    metadata: Mapping[str, str]
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    complete_time: datetime | None
    #: Number of the last change, from 1.
    version: int
    #: Oldest first: payd's own, and those that were made at the provider.
    refunds: tuple[Refund, ...]
    #: With inquiries; oldest first.
    disputes: tuple[Dispute, ...]
    #: Every reason for attention that it ever had; `attention` has the open ones.
    attention_records: tuple[AttentionRecord, ...]
    #: What the provider keeps of the money, where it says so.
    fee: Money | None
    #: Where the customer pays and sees the status; empty in events, and where payd has no pages.
    page_url: str
    #: The newest 100, oldest first; lists of payments and events leave them out.
    receipts: tuple[PaymentReceipt, ...]
    #: Number of all of them; None where they are left out.
    receipts_total: int | None
    #: The final part of `received`; None in events and for a new payment.
    confirmed: Money | None
    #: What no refund and no lost dispute has taken of `confirmed`; None where that is.
    left_to_refund: Money | None
    #: The protobuf message. It also keeps fields that a newer payd has added.
    message: pb.Payment = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Event:
    """A change of a payment, with the whole payment after the change."""

    #: The same in every delivery of the event: store it to handle the event once.
    id: UUID
    type: EventType
    payment: Payment
    previous_status: Status
    #: For payment.canceled: `canceled` or `expired`.
    reason: str
    #: Request id of the call that caused the change; empty for other causes.
    request_id: str
    traceparent: str
    time: datetime
    #: The refund that the event is about.
    refund: Refund | None
    #: The dispute that the event is about.
    dispute: Dispute | None
    #: Number of this delivery, from 1.
    delivery: int
