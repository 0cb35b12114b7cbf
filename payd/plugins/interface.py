"""Interface of a provider: its manifest, its four coroutines, its reports and its errors.

A provider reports facts. It never names a payd status, has no database session and publishes
nothing. Its coroutines run on trio, may be cancelled at any await, and have a deadline.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from payd.plugins.capabilities import Capabilities
from payd.plugins.context import ProviderContext

#: What one `Sink.put` takes at most: its transaction must not make others wait.
PUT_MAX = 10_000

#: Events of one webhook request at most: one statement stores them, while their sender waits.
EVENTS_MAX = 1000

#: The version of this interface; a manifest's `sdk` range is checked against it.
SDK_VERSION = "1.5"


class ProviderConfig(BaseModel):
    """Base of a provider's own settings: strict, frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@attrs.frozen(kw_only=True)
class CryptoCurrency:
    """A token that a method accepts, at par with the currency of a price.

    Attributes:
        code: Name that callers use, such as USDC.
        chain_id: EIP-155 number of the chain.
        token_address: 0x-hex, 20 bytes.
        decimals: Decimal places of the token's base unit.
        network: Name of the chain, for people; empty: only its number is shown.
        transaction_url: Page of a transaction in a block explorer, with `{transaction}` where its
            hash belongs; empty without one.
        wallet_method: Method of the network's wallets (EIP-1193) that transfers a token with the
            parameters amount, chainId, memo (text), to, token and feePayer, such as
            wallet_transfer; empty without one.
        fee_payer_url: Service that pays the fees of customers' transfers. Their wallets call it, so
            that every customer sees it; empty without one.
        is_sponsored: Whether the provider forwards transactions to such a service (SupportsSponsor)
            instead: wallets then call an address of payd, if it has payment pages.
        currency: The currency that it stands for: it pays prices in this currency only. Empty if
            it pays prices in each of the method's currencies.
    """

    code: str
    chain_id: int
    token_address: str
    decimals: int
    network: str = ""
    transaction_url: str = ""
    wallet_method: str = ""
    fee_payer_url: str = ""
    is_sponsored: bool = False
    currency: str = ""

    def pays(self, currency: str) -> bool:
        """Whether it can pay a price in this currency."""
        return self.currency in ("", currency)


@attrs.frozen(kw_only=True)
class Method:
    """A payment method, under the name that callers use.

    Attributes:
        key: Name that callers use, such as `card`; unique among the enabled providers.
        display_name: Name for people.
        currencies: ISO 4217 codes.
        crypto_currencies: Empty when the method accepts no tokens; else the caller must choose one.
        refused_currencies: Currency or token that callers may ask for → why it is refused.
        amounts: Currency → amounts that can be charged in it; any amount when it has no rule. payd
            refuses a price list at the start, and a quote, that the method could not charge.
        default_expiry: How long a payment stays open.
        late_payments_complete: False: money after closing waits for a person instead of completing
            the payment.
    """

    key: str
    display_name: str
    currencies: tuple[str, ...]
    crypto_currencies: tuple[CryptoCurrency, ...] = ()
    refused_currencies: Mapping[str, str] = attrs.field(factory=dict)
    amounts: Mapping[str, AmountRule] = attrs.field(factory=dict)
    default_expiry: timedelta = timedelta(minutes=30)
    late_payments_complete: bool = True


@attrs.frozen(kw_only=True)
class CreateOperation:
    """Request for the payable object. Computed from the stored payment, so equal at every retry.

    Attributes:
        operation_id: Idempotency key, stable across retries: 51 characters of [a-z0-9:-], never
            more than 64. For a remote side that accepts fewer or other characters, send a hash of
            it.
        payment_id: payd's id of the payment. Let the remote side keep it, as metadata, so that the
            object can be found by it.
        method: Key of the method that the caller chose.
        amount: The price, in minor units of the price list's currency.
        crypto: What is due when the customer pays in a token; None for a currency.
        items: What is sold, each with its price; they add up to `amount`.
        customer_id: The main app's id of the customer.
        create_time: When the payment was created, by payd's clock.
        expire_time: When the payment expires: let the object close at this time if it can.
        return_url: Where the customer goes after paying; may be empty.
        cancel_url: Where the customer goes after giving up; may be empty.
        metadata: The caller's own labels of the payment.
        parameters: Result of SupportsPrepare, made before the operation was first sent; else empty.
        tag: A number below 2⁴⁸ that no other payment has or ever had, for remote sides with little
            room for a name. Only in `prepare`, and only with `Capabilities.tags`; else None. Return
            what depends on it among the parameters.
    """

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
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    tag: int | None = None


@attrs.frozen(kw_only=True)
class PaymentRef:
    """The payment to fetch or to close.

    Attributes:
        operation_id: The idempotency key of `create`.
        payment_id: payd's id of the payment.
        reference: The remote side's id of the object; None while the answer to `create` is not
            known: find it by operation or payment id.
        asset: The asset that is due: a currency code, or a token's 0x-hex address.
        create_time: The object was created at this time or later.
        aliases: Further names of the object, which reports may use.
    """

    operation_id: str
    payment_id: UUID
    reference: str | None
    asset: str
    create_time: datetime
    aliases: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Found:
    """A fetched object: what `create` would have returned, and its state.

    Attributes:
        created: What `create` would return for the object.
        snapshot: Its state and its money.
    """

    created: Created = attrs.field(validator=instance_of(Created))
    snapshot: Snapshot = attrs.field(validator=instance_of(Snapshot))


@runtime_checkable
class Provider(Protocol):
    """The four coroutines of every provider, on trio.

    **Errors.** Each raises only subclasses of ProviderError; the class decides what payd does next.
    Any other exception counts as OutcomeUnknown.

    **Blocking.** They share an event loop with all of payd: wait with `await` only. Call files and
    libraries that block through `trio.to_thread.run_sync`.

    **Cancellation.** Each may be cancelled at any `await`: at `Capabilities.operation_timeout`, and
    when payd stops. Do not swallow it. It proves nothing about the remote side: payd treats it as
    OutcomeUnknown, and fetches or sends again.

    **Concurrency.** Calls for different payments run concurrently, `Capabilities.concurrency` of
    them at most; several daemons may send the same operation at the same time.
    """

    async def create(self, operation: CreateOperation, /) -> Created:
        """Create the payable object, once per operation id: a repetition returns the first answer.

        Raises:
            Declined, InvalidRequest: refused for good; payd fails the payment.
            NotAttempted, RateLimited: nothing was done; payd sends it again.
            OutcomeUnknown: it may have been done; payd fetches first, then sends it again. Of two
                requests in one call: whatever happens after the first was accepted.
            Misconfigured: our credentials are refused; payd keeps the payment and alerts operators.
            IdempotencyConflict: the id was used with other parameters.
        """

    async def fetch(self, ref: PaymentRef, /) -> Found | Absent:
        """Return the object as it is now. Free of side effects.

        With `ref.reference` None it is searched for by operation or payment id, as far as
        `Capabilities.lookup` promises. Absent is an answer; raise when the search failed, because
        payd may send an absent operation again.

        Raises: NotAttempted, RateLimited, OutcomeUnknown, Misconfigured.
        """

    async def cancel(self, ref: PaymentRef, /) -> Snapshot:
        """Close the object if it is open, and return its state: PAID when the customer was first.

        With NOT_CLOSABLE in the manifest, close nothing and return the state at the newest final
        point. Repeating it changes nothing. When the remote side does not close an object that was
        paid in part, it stays OPEN; the amount that arrived is reported in any case.

        Raises: as `fetch`; OutcomeUnknown when there is nothing to close yet.
        """

    async def health(self) -> None:
        """Return when the remote side answers; raise otherwise. Free of side effects.

        Called every 15 s, with 5 s to answer. A search that finds nothing is enough.
        """


@runtime_checkable
class SupportsPrepare(Protocol):
    """For a remote side that compares the parameters of a repeated request."""

    def prepare(self, operation: CreateOperation, /) -> Mapping[str, Any]:
        """Return the request's parameters, as JSON. Synchronous, pure, no I/O.

        Called once; stored with the payment before `create` is first called, and passed to every
        `create` as `operation.parameters`, even after configuration or code have changed.
        May raise InvalidRequest.
        """


@attrs.frozen(kw_only=True)
class WebhookRequest:
    """The raw request of POST /webhooks/{provider}.

    Attributes:
        body: The bytes as received; a signature is made over these.
        headers: Names in lower case; values of a repeated header joined by ", ".
    """

    body: bytes
    headers: Mapping[str, str]


@attrs.frozen(kw_only=True)
class ProviderEvent:
    """An authentic report of the remote side.

    Attributes:
        id: Unique within the provider; the same event always has the same id, by whatever channel.
        type: Its kind, as the remote side names it.
        content: What `translate` needs, as JSON without floats: no personal data, nothing that
            differs between two deliveries of one event. Two contents under one id are a conflict.
    """

    id: str = attrs.field(validator=is_name)
    type: str = attrs.field(validator=is_name_or_empty)
    content: Mapping[str, Any] = attrs.field(
        validator=instance_of(Mapping)  # type: ignore[type-abstract]  # isinstance takes it
    )


@runtime_checkable
class SupportsEvents(Protocol):
    """The remote side has events, which webhooks or a scan deliver: the base of both."""

    def translate(self, event: ProviderEvent, /) -> Sequence[Observation]:
        """Return what the event reports about payments; empty when it concerns none of ours.

        Synchronous, pure, no I/O. Called once an event is stored, maybe days later and by a newer
        version of the provider.
        """


@runtime_checkable
class SupportsWebhooks(SupportsEvents, Protocol):
    """The remote side sends webhooks."""

    def verify(
        self, request: WebhookRequest, secrets: Mapping[str, tuple[str, ...]], now: datetime, /
    ) -> ProviderEvent | Sequence[ProviderEvent]:
        """Return what an authentic, recent, readable request reports; else raise WebhookRefused.

        One event, or a sequence of at most EVENTS_MAX events: each with an id of its own, by which
        the scan reports it, too. Empty: there is nothing to store. payd stores all events of a
        request or none. Synchronous, pure, no I/O: called before anything is stored.
        """


@attrs.frozen(kw_only=True)
class Page:
    """One page of a scan.

    Attributes:
        events: The events of this page.
        cursor: Where the next page begins; stored in the transaction that stores the events.
        more: Whether the next page should be read at once.
    """

    events: tuple[ProviderEvent, ...] = attrs.field(
        validator=and_(instance_of(tuple), deep_iterable(instance_of(ProviderEvent)))
    )
    cursor: str = attrs.field(validator=is_short_text)
    more: bool = False


@runtime_checkable
class SupportsScan(SupportsEvents, Protocol):
    """Events that no webhook delivered can be read later."""

    async def scan(self, cursor: str | None, /) -> Page:
        """Return events since the cursor, in any order; known ones are ignored.

        None is the first scan ever. payd scans every `recovery.scan_interval_s` (10 minutes), and
        reads the next page at once while `Page.more`. When it raises, the same cursor is read again
        later: one unreadable entry must not end it.
        """


@attrs.frozen(kw_only=True)
class RemoteObject:
    """One payable object as the remote side lists it.

    Attributes:
        payment_id: The payment that it belongs to; None when it is not payd's.
        found: The object and its state.
    """

    payment_id: UUID | None = attrs.field(validator=optional(instance_of(UUID)))
    found: Found = attrs.field(validator=instance_of(Found))


@attrs.frozen(kw_only=True)
class ObjectPage:
    """One page of the remote side's objects.

    Attributes:
        objects: The objects of this page.
        cursor: Where the next page begins; None at the end.
    """

    objects: tuple[RemoteObject, ...] = attrs.field(
        validator=and_(instance_of(tuple), deep_iterable(instance_of(RemoteObject)))
    )
    cursor: str | None = attrs.field(validator=optional(is_short_text))


@runtime_checkable
class SupportsCompare(Protocol):
    """All objects can be listed, so that payd finds objects without a payment, and the reverse."""

    async def objects(self, since: datetime, until: datetime, cursor: str | None, /) -> ObjectPage:
        """Return objects created in [since, until), in any order; cursor None is the first page."""


class Sink(Protocol):
    """Where a watch stores what it saw."""

    async def cursor(self) -> str | None:
        """Return the cursor of the last `put`; None before the first."""

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

        Known reports are ignored. A singleton watch that no longer leads is cancelled here, and
        nothing of this call is stored.
        """


@runtime_checkable
class SupportsWatch(Protocol):
    """A long task in the provider's own nursery; restarted with back-off when it ends.

    With an attribute `singleton = True` it runs in one daemon at a time: payd keeps a lease for it,
    and starts it in another daemon when this one ends.
    """

    async def watch(self, sink: Sink, *, task_status: trio.TaskStatus[None]) -> None:
        """Report what happens at the remote side until cancelled; raises WatchHalted."""


@attrs.frozen(kw_only=True)
class Holding:
    """The balance of one asset in our account, at a final point.

    Attributes:
        asset: ISO 4217 code, or the token's 0x-hex address.
        opening: Balance before the first receipt or outflow that a watch reported.
        balance: Balance at the point, in minor units or base units.
        at: The point, for people: a block's number and hash.
    """

    asset: str = attrs.field(validator=is_name_or_empty)
    opening: int = attrs.field(validator=is_whole)
    balance: int = attrs.field(validator=is_whole)
    at: str = attrs.field(validator=is_short_text)


@runtime_checkable
class SupportsAudit(Protocol):
    """The remote side can report our balances, so that payd's books can be checked."""

    async def holdings(self, cursor: str, /) -> Sequence[Holding]:
        """Return the balance of every asset that the watch reports, at the point of this cursor."""


Unusable = Callable[[Any, Mapping[str, Sequence[str]], str], Iterable[tuple[str, str]]]


def _all_usable(
    _config: object, _secrets: Mapping[str, Sequence[str]], _environment: str
) -> Iterable[tuple[str, str]]:
    return ()


Factory = Callable[[ProviderContext, Any], AbstractAsyncContextManager[Provider]]


@attrs.frozen(kw_only=True)
class ProviderManifest:
    """Description of a provider. Building it does no I/O and imports no SDK.

    Attributes:
        name: Lower-case name: of its settings, its webhooks and its metrics.
        version: Version of the wheel.
        sdk: Interface versions that it supports: ">=1.0,<2".
        config_model: Model of its settings.
        methods: Returns its methods, which may depend on its configuration.
        capabilities: What the remote side can do.
        credentials: Logical names of its secrets; each is the setting `NAME_<credential>` of payd.
        for_development: Refused in production unless its configuration sets `allow_in_production`.
        imports: Modules that take long to import, such as those of an SDK. payd imports them before
            it builds a provider, while nothing waits for the event loop.
        unusable: Returns which settings and credentials cannot be used in this environment: pairs
            of a setting's name, empty for all, and why. Synchronous, pure, no I/O. payd calls it
            before the start and in `payd config check`, when the settings alone are valid.
            Credentials have one value or more, newest first.
        unproven: Check of the conformance kit → why the provider's scripted remote side cannot
            prove it. A check that is unproven without a reason fails, as does a reason that is out
            of date.
        factory: Returns an async context manager around the provider, from context and settings.
    """

    name: str
    version: str
    sdk: str
    config_model: type[ProviderConfig]
    methods: Callable[[Any], tuple[Method, ...]]
    capabilities: Capabilities
    credentials: tuple[str, ...] = ()
    for_development: bool = False
    imports: tuple[str, ...] = ()
    unusable: Unusable = _all_usable
    unproven: Mapping[str, str] = attrs.field(factory=dict)
    factory: Factory
