"""What a remote side can do; the conformance kit compares it with the provider's behaviour."""

import enum
from datetime import timedelta

import attrs


class Lookup(enum.Enum):
    """What `fetch` proves about an operation whose answer was lost."""

    NONE = "NONE"
    #: A found object is proven; finding nothing proves nothing.
    AUTHORITATIVE = "AUTHORITATIVE"
    #: Finding nothing proves that nothing was created.
    INCLUDING_ABSENCE = "INCLUDING_ABSENCE"


class Cancel(enum.Enum):
    """Whether an open payment can be closed at the remote side."""

    CLOSES = "CLOSES"
    #: As on a chain: payd fetches instead, and late money becomes PAID_AFTER_CLOSE.
    NOT_CLOSABLE = "NOT_CLOSABLE"


class Sends(enum.Enum):
    """How the money of a refund goes back."""

    #: The remote side sends it when it is asked.
    PROVIDER = "PROVIDER"
    #: payd holds no key and no account: it can only say what to send, and waits for the transfer.
    INSTRUCTIONS = "INSTRUCTIONS"


@attrs.frozen(kw_only=True)
class RefundCapabilities:
    """What the remote side can refund; the conformance kit compares it with the behaviour."""

    sends: Sends
    #: Whether less than the whole payment can be refunded.
    partial: bool = True
    #: Whether a payment can be refunded more than once.
    several: bool = True
    #: How long after its completion a payment can be refunded; None is for ever.
    window: timedelta | None = None
    #: How long the remote side recognises a repeated refund operation by its id.
    idempotency_window: timedelta
    #: What `fetch_refund` proves about a refund whose answer was lost.
    lookup: Lookup


@attrs.frozen(kw_only=True)
class Capabilities:
    """What the remote side can do; the conformance kit compares it with the behaviour."""

    #: How long the remote side recognises a repeated create operation by its id.
    idempotency_window: timedelta
    lookup: Lookup
    cancel: Cancel
    #: The most operations that payd sends at the same time.
    concurrency: int = 64
    operation_timeout: timedelta = timedelta(seconds=10)
    #: The provider has SupportsAudit: `payd NAME audit` is offered.
    audit: bool = False
    #: What it can refund; the provider then has SupportsRefund. None when it cannot.
    refunds: RefundCapabilities | None = None
