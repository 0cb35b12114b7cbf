"""What a caller may do wrong, and what payd cannot do now: one class per reason of the contract."""

from typing import ClassVar


class PaydError(Exception):
    """A reason of the contract. `metadata` carries the variable parts, never a secret."""

    reason: ClassVar[str] = "INTERNAL"
    #: The same call may succeed later, unchanged.
    may_retry: ClassVar[bool] = False
    #: The provider may hold a payable object for this call.
    money_may_have_moved: ClassVar[bool] = False

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, **metadata: str
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.metadata = metadata


class InvalidField(PaydError):
    """One field is wrong: `field` is its path in the request."""

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
    """The method does not take this currency, or needs one and got none."""

    reason = "CURRENCY_NOT_SUPPORTED"


class PaymentNotFound(PaydError):
    """No payment has this id or idempotency key."""

    reason = "PAYMENT_NOT_FOUND"


class IdempotencyKeyReused(PaydError):
    """The key belongs to a payment that was asked for differently."""

    reason = "IDEMPOTENCY_KEY_REUSED"


class PaymentNotCancelable(PaydError):
    """The payment is past the point where it can be closed."""

    reason = "PAYMENT_NOT_CANCELABLE"


class ProviderUnavailable(PaydError):
    """The provider was provably not asked; the same idempotency key may try again."""

    reason = "PROVIDER_UNAVAILABLE"
    may_retry = True


class StoreUnavailable(PaydError):
    """PostgreSQL is away. Whether the write happened is unknown: repeat with the same key."""

    reason = "STORE_UNAVAILABLE"
    may_retry = True
    money_may_have_moved = True


class WebhookUnknown(PaydError):
    """No enabled provider of this name takes webhooks."""

    reason = "WEBHOOK_UNKNOWN"


class WebhookRefused(PaydError):
    """Not authentic, not recent, or not readable; `why` is one of few words."""

    reason = "WEBHOOK_REFUSED"


class ShuttingDown(PaydError):
    """This daemon takes no new calls; another one, or this one soon, will."""

    reason = "SHUTTING_DOWN"
    may_retry = True


class RateLimited(PaydError):
    """The client sends more than it may."""

    reason = "RATE_LIMITED"
    may_retry = True


class Overloaded(PaydError):
    """More calls are in flight than this daemon takes."""

    reason = "OVERLOADED"
    may_retry = True


class ClientNotAllowed(PaydError):
    """The certificate is ours, its name is not on the allow-list."""

    reason = "CLIENT_NOT_ALLOWED"


class ReceiptNotFound(PaydError):
    """The ledger has no receipt of this id."""

    reason = "RECEIPT_NOT_FOUND"


class ReceiptNotAttachable(PaydError):
    """The receipt belongs to another payment, or is not money that this one is due."""

    reason = "RECEIPT_NOT_ATTACHABLE"
