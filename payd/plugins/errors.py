"""Errors that a provider may raise: the class decides what payd does next."""


class ProviderError(Exception):
    """Base of what a provider may raise. The message is for operators; keep secrets out of it."""


class Declined(ProviderError):
    """Definitive: nothing payable exists, and a repetition will not help.

    Attributes:
        code: The remote side's reason in one word, such as `card_declined`.
        message: The reason for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class NotAttempted(ProviderError):
    """Provably not sent: may be retried."""


class OutcomeUnknown(ProviderError):
    """Sent, and no readable answer: never retried blindly."""


class Misconfigured(ProviderError):
    """The remote side refuses our credentials or settings; nothing was created."""


class InvalidRequest(ProviderError):
    """The remote side refuses a value.

    Attributes:
        field: Its path in the caller's InitiatePaymentRequest: `items`, `customer.email`,
            `crypto_currency`, `return_url`, `cancel_url`, `metadata.KEY`; or in its
            RefundPaymentRequest: `amount`, `reason`, `destination`. It is empty when it is none of
            these.
        message: Why it is refused, for the caller.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


class WebhookRefused(ProviderError):
    """Not authentic, not recent or not readable.

    Attributes:
        reason: Labels a metric: use few values, such as `signature`.
        message: What is wrong, for the log.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class WatchHalted(ProviderError):
    """What is watched contradicts what was reported before, and a person must look.

    The watch is started again every minute, and halts again while the contradiction remains.
    """


class RateLimited(ProviderError):
    """Refused for now, nothing was created.

    Attributes:
        retry_after_s: Seconds until payd sends it again.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"rate limited for {retry_after_s} s")
        self.retry_after_s = retry_after_s


class IdempotencyConflict(ProviderError):
    """The operation id was used with other parameters: a defect, and the object exists."""
