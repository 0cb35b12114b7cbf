"""Errors of the API: one class for each reason that a caller may receive."""

from typing import ClassVar


class PaydError(Exception):
    """Base of every error that a caller receives.

    `message` is for people. `metadata` has the variable parts for programs, and never a secret;
    `retry_after_s` is how many seconds to wait before the next attempt, where payd knows it.
    """

    reason: ClassVar[str] = "INTERNAL"
    #: Whether the same call, unchanged, may succeed later.
    may_retry: ClassVar[bool] = False
    #: Whether the provider may have created a payable object for this call.
    money_may_have_moved: ClassVar[bool] = False

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, **metadata: str
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.metadata = metadata


class InvalidField(PaydError):
    """One field of the request is invalid; `field` is its path, `description` says why."""

    reason = "INVALID_FIELD"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message, field=field)
        self.field = field
        self.description = message


class UnknownMethod(PaydError):
    """No enabled provider takes this method."""

    reason = "UNKNOWN_METHOD"


class UnknownProduct(PaydError):
    """The price list does not have this item."""

    reason = "UNKNOWN_PRODUCT"


class CurrencyNotSupported(PaydError):
    """The method does not take this currency, or the request names none where one is needed."""

    reason = "CURRENCY_NOT_SUPPORTED"


class QuoteInvalid(PaydError):
    """The quote token was not signed by this payd, or was changed."""

    reason = "QUOTE_INVALID"


class QuoteMismatch(PaydError):
    """The quote token is for other items or another method than the request."""

    reason = "QUOTE_MISMATCH"


class QuoteExpired(PaydError):
    """The quote token is past its expiry; ask for a new quote."""

    reason = "QUOTE_EXPIRED"


class PriceChanged(PaydError):
    """The total is not the one that the request expects; `metadata` has both."""

    reason = "PRICE_CHANGED"


class InvalidPageToken(PaydError):
    """The page token is not one of payd, or is for another request."""

    reason = "INVALID_PAGE_TOKEN"


class InvalidFilter(PaydError):
    """The filter contradicts itself, or would read too many payments; `filter` names the field."""

    reason = "INVALID_FILTER"


class PaymentNotFound(PaydError):
    """No payment has this id or idempotency key."""

    reason = "PAYMENT_NOT_FOUND"


class IdempotencyKeyReused(PaydError):
    """The idempotency key was used before, in a request with other contents."""

    reason = "IDEMPOTENCY_KEY_REUSED"


class PaymentNotCancelable(PaydError):
    """The payment is already paid, being paid, or closed otherwise."""

    reason = "PAYMENT_NOT_CANCELABLE"


class ProviderUnavailable(PaydError):
    """Nothing was sent to the provider; retry with the same idempotency key."""

    reason = "PROVIDER_UNAVAILABLE"
    may_retry = True


class StoreUnavailable(PaydError):
    """PostgreSQL is unreachable or too slow.

    The write may have happened: retry with the same idempotency key.
    """

    reason = "STORE_UNAVAILABLE"
    may_retry = True
    money_may_have_moved = True


class StreamUnavailable(PaydError):
    """NATS is unreachable, or did not answer in time; retry."""

    reason = "STREAM_UNAVAILABLE"
    may_retry = True


class WebhookUnknown(PaydError):
    """No enabled provider of this name takes webhooks."""

    reason = "WEBHOOK_UNKNOWN"


class WebhookRefused(PaydError):
    """The webhook is not authentic, too old or unreadable; `why` in `metadata` is a short code."""

    reason = "WEBHOOK_REFUSED"


class ShuttingDown(PaydError):
    """This daemon is stopping and takes no new calls; retry, which reaches another daemon."""

    reason = "SHUTTING_DOWN"
    may_retry = True


class RateLimited(PaydError):
    """The client exceeds its rate limit; retry after `retry_after_s` seconds."""

    reason = "RATE_LIMITED"
    may_retry = True


class Overloaded(PaydError):
    """Too many calls are in flight on this daemon; retry later."""

    reason = "OVERLOADED"
    may_retry = True


class ClientNotAllowed(PaydError):
    """The client certificate is valid, but its common name is not among those that may call."""

    reason = "CLIENT_NOT_ALLOWED"


class ReceiptNotFound(PaydError):
    """The provider has no receipt with this id in the ledger."""

    reason = "RECEIPT_NOT_FOUND"


class ReceiptNotAttachable(PaydError):
    """The receipt belongs to another payment, is not final, or is in another asset."""

    reason = "RECEIPT_NOT_ATTACHABLE"


class EventNotFound(PaydError):
    """No published event has this id, or it is no longer kept."""

    reason = "EVENT_NOT_FOUND"


class NotRefundable(PaydError):
    """The status of the payment or refund forbids it, or the provider cannot do it."""

    reason = "NOT_REFUNDABLE"


class RefundExceedsPaid(PaydError):
    """More than is left: `left_minor_units`, for tokens also `left_base_units` in `metadata`."""

    reason = "REFUND_EXCEEDS_PAID"


class PaymentDisputed(PaydError):
    """A dispute of the payment is open or lost: the bank has the money, or decides on it."""

    reason = "PAYMENT_DISPUTED"


class RefundDestinationRequired(PaydError):
    """payd cannot send money on this rail: the caller has to say where it is to go."""

    reason = "REFUND_DESTINATION_REQUIRED"


class RefundNotFound(PaydError):
    """No refund has this id or idempotency key."""

    reason = "REFUND_NOT_FOUND"


class ApproverIsRequester(PaydError):
    """The refund was requested with the same certificate or by the same user."""

    reason = "APPROVER_IS_REQUESTER"


class NothingToResolve(PaydError):
    """None of the reasons is open; `open` in `metadata` lists those that are."""

    reason = "NOTHING_TO_RESOLVE"


class VersionChanged(PaydError):
    """The payment has changed since it was read; `version` in `metadata` is the newest one."""

    reason = "VERSION_CHANGED"


class CustomerNotFound(PaydError):
    """No customer has this id."""

    reason = "CUSTOMER_NOT_FOUND"


class CustomerHasOpenPayments(PaydError):
    """A payment, refund or dispute of the customer is open; `open` in `metadata` is how many."""

    reason = "CUSTOMER_HAS_OPEN_PAYMENTS"


class NoteRequired(PaydError):
    """A person has to say why."""

    reason = "NOTE_REQUIRED"
