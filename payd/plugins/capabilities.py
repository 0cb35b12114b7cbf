"""What a remote side can do; the conformance kit compares it with the provider's behaviour."""

import enum
from datetime import timedelta

import attrs


class Lookup(enum.Enum):
    """What `fetch` proves about an operation whose answer was lost.

    Attributes:
        NONE: It proves nothing, whatever it finds.
        AUTHORITATIVE: A found object is proven. Finding nothing proves nothing before the payment's
            expiry; after it, that nothing can be paid any more.
        INCLUDING_ABSENCE: Finding nothing proves that nothing was created.
    """

    NONE = "NONE"
    AUTHORITATIVE = "AUTHORITATIVE"
    INCLUDING_ABSENCE = "INCLUDING_ABSENCE"


class Cancel(enum.Enum):
    """Whether an open payment can be closed at the remote side.

    Attributes:
        CLOSES: After `cancel` nothing is payable any more.
        NOT_CLOSABLE: As on a chain: payd fetches instead, and late money becomes PAID_AFTER_CLOSE.
    """

    CLOSES = "CLOSES"
    NOT_CLOSABLE = "NOT_CLOSABLE"


class Sends(enum.Enum):
    """How the money of a refund goes back.

    Attributes:
        PROVIDER: The remote side sends it when it is asked.
        INSTRUCTIONS: payd holds no key and no account: it can only say what to send, and waits for
            the transfer.
    """

    PROVIDER = "PROVIDER"
    INSTRUCTIONS = "INSTRUCTIONS"


@attrs.frozen(kw_only=True)
class RefundCapabilities:
    """What the remote side can refund; the conformance kit compares it with the behaviour.

    Attributes:
        sends: Whether the remote side sends the money, or a person does.
        partial: Whether less than the whole payment can be refunded.
        several: Whether a payment can be refunded more than once.
        window: How long after its completion a payment can be refunded; None is for ever.
        idempotency_window: How long the remote side recognises a repeated refund operation by its
            id.
        lookup: What `fetch_refund` proves about a refund whose answer was lost.
    """

    sends: Sends
    partial: bool = True
    several: bool = True
    window: timedelta | None = None
    idempotency_window: timedelta
    lookup: Lookup


@attrs.frozen(kw_only=True)
class Capabilities:
    """What the remote side can do; the conformance kit compares it with the behaviour.

    Attributes:
        idempotency_window: How long the remote side recognises a repeated create operation by its
            id.
        lookup: What `fetch` without a reference proves.
        cancel: Whether `cancel` closes an open object.
        concurrency: The most operations that payd sends at the same time.
        operation_timeout: Deadline of each call of a coroutine.
        audit: The provider has SupportsAudit: `payd NAME audit` is offered.
        refunds: What it can refund; the provider then has SupportsRefund. None when it cannot.
        tags: `prepare` gets a number of 48 bits for each payment, `CreateOperation.tag`.
    """

    idempotency_window: timedelta
    lookup: Lookup
    cancel: Cancel
    concurrency: int = 64
    operation_timeout: timedelta = timedelta(seconds=10)
    audit: bool = False
    refunds: RefundCapabilities | None = None
    tags: bool = False
