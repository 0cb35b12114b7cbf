"""Request and response models; the OpenAPI document is generated from them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from payd_client import Item, Money, Payment
from pydantic import BaseModel, ConfigDict, Field

from main_app.checkout import Wish
from main_app.store import RefundWish, Subscription

Name = Annotated[str, Field(pattern=r"^[a-z0-9._-]{1,64}$")]
Url = Annotated[str, Field(pattern=r"^(https?://[!-~]{1,2000})?$")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ItemModel(_Request):
    """A product."""

    chain_profile_id: Name = Field(examples=["ethereum-mainnet"])
    node_type: Name = Field(examples=["full"])
    duration: Name = Field(examples=["30d"])

    def item(self) -> Item:
        """Convert to payd's item."""
        return Item(**self.model_dump())


class QuoteIn(_Request):
    """Items to price."""

    items: list[ItemModel] = Field(min_length=1, max_length=20)
    method: Name = Field(examples=["card"])
    crypto_currency: str = Field(default="", pattern=r"^[A-Z0-9]{0,16}$")


class PaymentIn(_Request):
    """Pay for new subscriptions (`items`) or pending ones (`subscription_ids`)."""

    idempotency_key: str = Field(pattern=r"^[!-~]{1,128}$", examples=["order-4711"])
    method: Name = Field(examples=["card"])
    items: list[ItemModel] = Field(default_factory=list, max_length=20)
    subscription_ids: list[UUID] = Field(default_factory=list, max_length=20)
    crypto_currency: str = Field(default="", pattern=r"^[A-Z0-9]{0,16}$")
    #: Return URL of the customer; the shop's page if empty.
    return_url: Url = ""
    cancel_url: Url = ""
    #: `quote_token` of the quote that the customer accepted.
    quote_token: str = Field(default="", max_length=4096)

    def wish(self, home: str) -> Wish:
        """Convert for the checkout; `home` is the shop's page."""
        return Wish(
            idempotency_key=self.idempotency_key,
            method=self.method,
            items=tuple(item.item() for item in self.items),
            subscription_ids=tuple(dict.fromkeys(self.subscription_ids)),
            crypto_currency=self.crypto_currency,
            return_url=self.return_url or home,
            cancel_url=self.cancel_url or home,
            quote_token=self.quote_token,
        )


class Amount(BaseModel):
    """An amount in minor units of its currency."""

    currency_code: str
    minor_units: int


class QuoteOut(BaseModel):
    """A priced quote."""

    total: Amount
    #: Until when `quote_token` holds the total.
    expire_time: datetime
    quote_token: str


class SubscriptionOut(BaseModel):
    """A subscription of the user."""

    id: UUID
    chain_profile_id: str
    node_type: str
    duration: str
    status: Literal["pending_payment", "active", "canceled", "ended"]
    payment_id: UUID | None
    create_time: datetime
    activate_time: datetime | None
    end_time: datetime | None
    #: What became of the wish for the money.
    refund: Literal["", "requested", "granted", "refused"]


class PaymentOut(BaseModel):
    """A payment of the user."""

    id: UUID
    status: str
    method: str
    amount: Amount
    received: Amount
    refunded: Amount
    late: bool
    failure: str
    attention: list[str]
    #: Where the customer pays, and sees the receipt.
    page_url: str
    #: The newest transfer in a block explorer, for a payment in tokens that has one.
    transaction_url: str
    create_time: datetime
    expire_time: datetime
    subscriptions: list[SubscriptionOut]


class SubscriptionsOut(BaseModel):
    """The newest first."""

    subscriptions: list[SubscriptionOut]


class RefundWishOut(BaseModel):
    """A customer's wish for the money of a payment."""

    payment_id: UUID
    user_id: str
    status: Literal["requested", "granted", "refused"]
    create_time: datetime


class RefundWishesOut(BaseModel):
    """The oldest first."""

    refund_requests: list[RefundWishOut]


class Notification(BaseModel):
    """A notification for the user."""

    kind: str
    message: str
    payment_id: UUID
    create_time: datetime


class NotificationsOut(BaseModel):
    """The newest first."""

    notifications: list[Notification]


class Choice(BaseModel):
    """A product of the catalogue."""

    id: str
    name: str


class CatalogueOut(BaseModel):
    """The catalogue."""

    chains: list[Choice]
    node_types: list[Choice]
    durations: list[Choice]


class Method(BaseModel):
    """A payment method of payd."""

    model_config = ConfigDict(extra="allow")

    method: str


class MethodsOut(BaseModel):
    """The payment methods."""

    methods: list[Method]


class SessionOut(BaseModel):
    """The signed-in user."""

    user_id: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    reason: str


def payment_out(payment: Payment, subscriptions: list[Subscription]) -> PaymentOut:
    """As the user sees it."""
    return PaymentOut(
        id=payment.id,
        status=payment.status.value,
        method=payment.method,
        amount=amount_out(payment.amount),
        received=amount_out(payment.received),
        refunded=amount_out(payment.refunded),
        late=payment.late,
        failure=payment.failure.message if payment.failure else "",
        attention=list(payment.attention),
        page_url=payment.page_url,
        transaction_url=next(
            (one.explorer_url for one in reversed(payment.receipts) if one.explorer_url), ""
        ),
        create_time=payment.create_time,
        expire_time=payment.expire_time,
        subscriptions=[subscription_out(one) for one in subscriptions],
    )


def amount_out(money: Money) -> Amount:
    """Convert an amount."""
    return Amount(currency_code=money.currency_code, minor_units=money.minor_units)


def subscription_out(subscription: Subscription) -> SubscriptionOut:
    """As the user sees it."""
    return SubscriptionOut.model_validate(subscription, from_attributes=True)


def wish_out(wish: RefundWish) -> RefundWishOut:
    """As an employee sees it."""
    return RefundWishOut.model_validate(wish, from_attributes=True)
