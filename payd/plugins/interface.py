"""What a provider is: its manifest, its four coroutines, what it may report and raise.

A provider reports facts. It never names a payd status, gets no database session and
publishes nothing. All its coroutines run on trio, may be cancelled at any await, and are
given a deadline by payd.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

import attrs
import trio
from attrs.validators import and_, deep_iterable, instance_of, optional
from pydantic import BaseModel, ConfigDict

from payd.domain.evidence import Absent, Created, Observation, Outflow, Snapshot
from payd.domain.money import Money, TokenTerms
from payd.domain.payment import LineItem
from payd.domain.text import is_name, is_name_or_empty, is_short_text, is_whole
from payd.plugins.amounts import AmountRule
from payd.plugins.context import ProviderContext

#: What one `Sink.put` takes at most: its transaction must not make others wait.
PUT_MAX = 10_000

#: The version of this interface; a manifest's `sdk` range is checked against it.
SDK_VERSION = "1.1"


class ProviderConfig(BaseModel):
    """Base of a provider's own settings: strict, frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Lookup(enum.Enum):
    """What `fetch` can tell about an operation whose answer was lost."""

    NONE = "NONE"
    #: What it finds is the truth; that it finds nothing proves nothing.
    AUTHORITATIVE = "AUTHORITATIVE"
    #: Finding nothing proves that nothing was created.
    INCLUDING_ABSENCE = "INCLUDING_ABSENCE"


class Cancel(enum.Enum):
    """Whether an open payment can be closed at the provider."""

    CLOSES = "CLOSES"
    #: A chain: payd looks instead, and late money becomes PAID_AFTER_CLOSE.
    NOT_CLOSABLE = "NOT_CLOSABLE"


@attrs.frozen(kw_only=True)
class CryptoCurrency:
    """A token that a method takes, at par with the price list's currency."""

    code: str
    chain_id: int
    #: 0x-hex, 20 bytes.
    token_address: str
    decimals: int


@attrs.frozen(kw_only=True)
class Method:
    """One way to pay, as callers name it."""

    key: str
    display_name: str
    #: ISO 4217 codes.
    currencies: tuple[str, ...]
    #: Empty when the method takes no tokens; else the caller must choose one.
    crypto_currencies: tuple[CryptoCurrency, ...] = ()
    #: What callers may ask for in vain, and why it is not taken.
    refused_currencies: Mapping[str, str] = attrs.field(factory=dict)
    #: Currency → what can be charged in it; any amount where a currency has no rule. payd refuses
    #: a price list at the start, and a quote, that the method could not charge.
    amounts: Mapping[str, AmountRule] = attrs.field(factory=dict)
    default_expiry: timedelta = timedelta(minutes=30)
    #: False holds money after closing for a person instead of completing.
    late_payments_complete: bool = True


@attrs.frozen(kw_only=True)
class Capabilities:
    """What the remote side can do; the conformance kit holds it against behaviour."""

    #: How long the same create operation with the same id is the same request there.
    idempotency_window: timedelta
    lookup: Lookup
    cancel: Cancel
    #: Concurrent operations that payd sends at most.
    concurrency: int = 64
    operation_timeout: timedelta = timedelta(seconds=10)
    #: The provider has SupportsAudit: `payd NAME audit` is offered.
    audit: bool = False


@attrs.frozen(kw_only=True)
class CreateOperation:
    """Make the payable object. A pure function of the stored payment, so equal at every retry."""

    #: Stable across retries: the provider's idempotency key. Today 51 of [a-z0-9:-], never more than
    #: 64; a remote side that takes less, or other characters, is given a hash of it.
    operation_id: str
    payment_id: UUID
    method: str
    amount: Money
    crypto: TokenTerms | None
    items: tuple[LineItem, ...]
    customer_id: str
    create_time: datetime
    expire_time: datetime
    return_url: str
    cancel_url: str
    metadata: Mapping[str, str]
    #: What SupportsPrepare made of this operation before it was first sent; else empty.
    parameters: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class PaymentRef:
    """Which payment to look at or to close."""

    operation_id: str
    payment_id: UUID
    #: None while the answer to `create` is not known: look by operation or payment id.
    reference: str | None
    #: The asset of what is due: a currency code, or a token's 0x-hex address.
    asset: str
    #: The object was created at this time or later.
    create_time: datetime


@attrs.frozen(kw_only=True)
class Found:
    """What a look found: the object as `create` would have answered, and how it stands."""

    created: Created = attrs.field(validator=instance_of(Created))
    snapshot: Snapshot = attrs.field(validator=instance_of(Snapshot))


@runtime_checkable
class Provider(Protocol):
    """Four coroutines on trio.

    **Errors.** Each raises only what derives from ProviderError; the name that is raised decides what
    payd does next. Anything else that escapes counts as OutcomeUnknown.

    **Blocking.** They share a loop with everything else of payd: whatever waits does so with `await`.
    Files and libraries that block belong into `trio.to_thread.run_sync`.

    **Cancellation.** Each may be cancelled at any `await`: at `Capabilities.operation_timeout`, and
    when payd stops. It must not be swallowed, and says nothing of what the remote side has done: payd
    takes it for OutcomeUnknown, and looks or sends again.

    **At once.** Calls for different payments run beside one another, `Capabilities.concurrency` of
    them at most; several daemons may send the same operation at the same time.
    """

    async def create(self, operation: CreateOperation, /) -> Created:
        """Create the payable object, once per operation id: sent again, the first answer again.

        Raises:
            Declined, InvalidRequest: for good; payd fails the payment.
            NotAttempted, RateLimited: nothing was done; payd sends it again.
            OutcomeUnknown: nobody knows what was done; payd looks first, then sends it again.
            Misconfigured: our credentials are refused; payd keeps the payment, and calls the operator.
            IdempotencyConflict: the id was used with other parameters.
        """

    async def fetch(self, ref: PaymentRef, /) -> Found | Absent:
        """The object as it stands now. Free of effects.

        With `ref.reference` None it is looked for by operation or payment id, as far as
        `Capabilities.lookup` promises. Absent is an answer; a look that failed raises, because payd
        sends again what is absent.

        Raises: NotAttempted, RateLimited, OutcomeUnknown, Misconfigured.
        """

    async def cancel(self, ref: PaymentRef, /) -> Snapshot:
        """Close it if it is open, and say how it stands: PAID when the customer was first.

        Where the manifest says NOT_CLOSABLE it closes nothing, and says how it stands at the
        newest point that is final there. Repeating it changes nothing. Where the remote side does
        not close what was paid in part, it stays OPEN, with what came; a part that came is told in
        any case.

        Raises: as `fetch`; OutcomeUnknown where there is nothing to close yet.
        """

    async def health(self) -> None:
        """Return when the remote side answers; raise otherwise. Free of effects.

        Called every 15 s, with 5 s to answer.
        """


@runtime_checkable
class SupportsPrepare(Protocol):
    """For a remote side that compares the parameters of a repeated request."""

    def prepare(self, operation: CreateOperation, /) -> Mapping[str, Any]:
        """The request's parameters, as JSON. Synchronous, pure, no I/O.

        Called once; stored with the payment before `create` is first called, and given to every
        `create` as `operation.parameters`, whatever has become of configuration or code meanwhile.
        May raise InvalidRequest.
        """


@attrs.frozen(kw_only=True)
class WebhookRequest:
    """What came in at POST /webhooks/{provider}, unread."""

    body: bytes
    #: Names in lower case; values of a repeated header joined by ", ".
    headers: Mapping[str, str]


@attrs.frozen(kw_only=True)
class ProviderEvent:
    """Something that the remote side reported, believed to be its own words."""

    #: Unique within the provider; the same event always has the same id, by whatever channel.
    id: str = attrs.field(validator=is_name)
    #: Its kind, as the remote side names it.
    type: str = attrs.field(validator=is_name_or_empty)
    #: What `translate` needs of it, as JSON without floats: no personal data, nothing that differs
    #: between two deliveries of one event. Two contents under one id are a conflict.
    content: Mapping[str, Any] = attrs.field(
        validator=instance_of(Mapping)  # type: ignore[type-abstract]  # isinstance takes it
    )


@runtime_checkable
class SupportsEvents(Protocol):
    """It has events of its own, which webhooks or a scan bring: the base of both."""

    def translate(self, event: ProviderEvent, /) -> Sequence[Observation]:
        """What the event says about payments; empty when it says nothing, or not about ours.

        Synchronous, pure, no I/O. Called once an event is stored, maybe days later and by a newer
        version of the provider.
        """


@runtime_checkable
class SupportsWebhooks(SupportsEvents, Protocol):
    """The remote side tells us."""

    def verify(
        self, request: WebhookRequest, secrets: Mapping[str, tuple[str, ...]], now: datetime, /
    ) -> ProviderEvent:
        """Whether it is authentic, recent and readable; raises WebhookRefused when it is not.

        Synchronous, pure, no I/O: it is called in the request, before anything is stored.
        """


@attrs.frozen(kw_only=True)
class Page:
    """One step of a scan."""

    events: tuple[ProviderEvent, ...] = attrs.field(
        validator=and_(instance_of(tuple), deep_iterable(instance_of(ProviderEvent)))
    )
    #: Where the next step goes on; stored in the transaction that stores the events.
    cursor: str = attrs.field(validator=is_short_text)
    #: Whether the next step should follow at once.
    more: bool = False


@runtime_checkable
class SupportsScan(SupportsEvents, Protocol):
    """What no webhook has told can be read afterwards."""

    async def scan(self, cursor: str | None, /) -> Page:
        """Events since the cursor, in any order; those known already are ignored.

        None is the first scan ever.
        """


@attrs.frozen(kw_only=True)
class RemoteObject:
    """One payable object as the remote side lists it."""

    #: The payment that it says it belongs to; None when it is none of payd's.
    payment_id: UUID | None = attrs.field(validator=optional(instance_of(UUID)))
    found: Found = attrs.field(validator=instance_of(Found))


@attrs.frozen(kw_only=True)
class ObjectPage:
    """One step through the remote side's objects."""

    objects: tuple[RemoteObject, ...] = attrs.field(
        validator=and_(instance_of(tuple), deep_iterable(instance_of(RemoteObject)))
    )
    #: Where the next step goes on; None at the end.
    cursor: str | None = attrs.field(validator=optional(is_short_text))


@runtime_checkable
class SupportsCompare(Protocol):
    """All objects can be listed, so that payd finds those without a payment, and the other way."""

    async def objects(self, since: datetime, until: datetime, cursor: str | None, /) -> ObjectPage:
        """The objects created in [since, until), in any order; None is the first step."""


class Sink(Protocol):
    """Where a watch puts what it saw."""

    async def cursor(self) -> str | None:
        """What the last `put` gave as cursor; None before the first."""

    async def put(
        self,
        observations: Sequence[Observation],
        /,
        *,
        outflows: Sequence[Outflow] = (),
        cursor: str | None = None,
    ) -> None:
        """Store all of it and the cursor durably, in one transaction, or raise.

        At most PUT_MAX observations and outflows at once; raises ValueError for more, and
        TypeError for anything else than these, or for a cursor that cannot be stored.

        What is known already is ignored. A singleton watch that no longer leads is cancelled here,
        and nothing of what it brought is stored.
        """


@runtime_checkable
class SupportsWatch(Protocol):
    """A long task in the provider's own nursery; restarted with back-off when it ends.

    With an attribute `singleton = True` it runs in one daemon at a time: payd holds a lease for it,
    and starts it in another daemon when this one ends.
    """

    async def watch(self, sink: Sink, *, task_status: trio.TaskStatus[None]) -> None:
        """Report what happens at the remote side until cancelled; raises WatchHalted."""


@attrs.frozen(kw_only=True)
class Holding:
    """What our account holds of one asset at a final point."""

    asset: str = attrs.field(validator=is_name_or_empty)
    #: What it held before the first receipt or outflow that a watch reported.
    opening: int = attrs.field(validator=is_whole)
    balance: int = attrs.field(validator=is_whole)
    #: The point, for people: a block's number and hash.
    at: str = attrs.field(validator=is_short_text)


@runtime_checkable
class SupportsAudit(Protocol):
    """The remote side can say what our account holds, so that payd's books can be checked."""

    async def holdings(self, cursor: str, /) -> Sequence[Holding]:
        """Every asset that the watch reports, at the very point that its cursor names."""


Factory = Callable[[ProviderContext, Any], AbstractAsyncContextManager[Provider]]


@attrs.frozen(kw_only=True)
class ProviderManifest:
    """What a plugin offers. Building it does no I/O and imports no SDK."""

    name: str
    version: str
    #: The range of interface versions that it was written for: ">=1.0,<2".
    sdk: str
    config_model: type[ProviderConfig]
    #: Its methods, which may depend on its configuration.
    methods: Callable[[Any], tuple[Method, ...]]
    capabilities: Capabilities
    #: Logical names; each is the setting `NAME_<credential>` of payd.
    credentials: tuple[str, ...] = ()
    #: Refused in production unless its configuration says `allow_in_production`.
    for_development: bool = False
    #: Modules that take long to import, such as those that need an SDK. payd imports them before
    #: it builds a provider, while nothing waits for the loop.
    imports: tuple[str, ...] = ()
    factory: Factory


class ProviderError(Exception):
    """Base of what a provider may raise. The message is for operators: no secret in it."""


class Declined(ProviderError):
    """Definitive: nothing payable exists, and asking again will not help."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class NotAttempted(ProviderError):
    """Provably not sent: may be retried."""


class OutcomeUnknown(ProviderError):
    """Sent, and no readable answer: never retried blindly."""


class Misconfigured(ProviderError):
    """The remote side refuses our credentials or set-up; nothing was created."""


class InvalidRequest(ProviderError):
    """The remote side refuses a value.

    `field` is its path in the caller's InitiatePaymentRequest: `items`, `customer.email`,
    `crypto_currency`, `return_url`, `cancel_url`, `metadata.KEY`; empty where it is none of these.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


class WebhookRefused(ProviderError):
    """Not authentic, not recent or not readable. `reason` is one of few words, for a metric."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class WatchHalted(ProviderError):
    """What is watched contradicts what was reported before: a person must look.

    The watch is not lost: it is started again now and then, and halts again while it holds.
    """


class RateLimited(ProviderError):
    """Refused for now, nothing was created."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"rate limited for {retry_after_s} s")
        self.retry_after_s = retry_after_s


class IdempotencyConflict(ProviderError):
    """The operation id was used with other parameters: a defect, and the object exists."""
