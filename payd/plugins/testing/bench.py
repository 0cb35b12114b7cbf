"""Where a check works: the provider as payd would build it, its remote side, time, and what it said."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import attrs
import trio

from payd.domain.money import base_units, currency_exponent
from payd.plugins import (
    Absent,
    AmountRule,
    Created,
    CreateOperation,
    CryptoCurrency,
    Found,
    LineItem,
    Method,
    Money,
    Observation,
    Outflow,
    Page,
    PaymentRef,
    Provider,
    ProviderError,
    ProviderEvent,
    ProviderManifest,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Snapshot,
    SupportsPrepare,
    TokenTerms,
)
from payd.plugins.testing.held import owned
from payd.plugins.testing.registry import Failed
from payd.plugins.testing.remote import Remote
from payd.providers import validation
from payd.providers.validation import check_put

T = TypeVar("T")

#: Longer than any honest call; nothing waits for all of it.
PATIENCE_S = 20.0
#: What passes where time cannot be moved: more than clocks differ by.
_REAL_S = 4.0
#: Seconds between two looks at the cursor of a watch.
_POLL_S = 0.08
#: Looks without a move of the cursor after which a watch has reported everything: after its last move,
#: and where it does not move at all. A busy machine may take seconds for the first move.
_QUIET = 3
_STILL = 40

OpenRemote = Callable[["BenchClock"], AbstractAsyncContextManager[Remote]]


class BenchClock:
    """The time, as the check sets it; or the real one, for a remote side with a clock of its own."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self.is_real = False

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC) if self.is_real else self._now

    def advance(self, by: timedelta) -> None:
        """Time passes at once."""
        self._now += by


@attrs.frozen
class BenchLog:
    """What the provider logged."""

    lines: list[str] = attrs.field(factory=list)

    def info(self, event: str, **fields: Any) -> None:
        """See Logger."""
        self._keep(event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """See Logger."""
        self._keep(event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """See Logger."""
        self._keep(event, fields)

    def _keep(self, event: str, fields: Mapping[str, Any]) -> None:
        self.lines.append(f"{event} {json.dumps(fields, default=repr)}")


@attrs.define
class BenchSink:
    """Where a watch puts what it saw: kept as payd keeps it, all or nothing."""

    stored: list[Observation] = attrs.field(factory=list)
    outflows: list[Outflow] = attrs.field(factory=list)
    at: str | None = None
    #: The next so many calls of `put` fail, as they do while the database is away.
    refusals: int = 0

    def receipts(self, called: set[str]) -> Sequence[Receipt]:
        """Those that name it so, each once."""
        found = {
            receipt.id: receipt
            for observation in self.stored
            if observation.reference in called and isinstance(observation.fact, tuple)
            for receipt in observation.fact
        }
        return list(found.values())

    async def cursor(self) -> str | None:
        """See Sink."""
        await trio.lowlevel.checkpoint()
        return self.at

    async def put(
        self,
        observations: Any,
        /,
        *,
        outflows: Any = (),
        cursor: str | None = None,
    ) -> None:
        """See Sink."""
        await trio.lowlevel.checkpoint()
        check_put(observations, outflows, cursor)
        if self.refusals:
            self.refusals -= 1
            raise OSError("the database is away")
        self.stored.extend(observations)
        self.outflows.extend(outflows)
        self.at = cursor if cursor is not None else self.at


#: What payd checks of an answer that its class does not check by itself.
_CHECKS: Mapping[type, Callable[[Any], bool]] = {
    ProviderEvent: validation.is_event,
    Page: validation.is_page,
}


@attrs.frozen(kw_only=True)
class Way:
    """One way to pay: a method, a currency, and a token where the method takes tokens."""

    method: Method
    currency: str
    token: CryptoCurrency | None

    @property
    def decimals(self) -> int:
        """Of the asset that the customer pays."""
        return self.token.decimals if self.token else currency_exponent(self.currency)

    def takes(self, minor_units: int) -> bool:
        """Whether the method's own rule lets this amount be charged."""
        rule = self.method.amounts.get(self.currency, AmountRule())
        money = Money(currency_code=self.currency, minor_units=minor_units)
        return rule.wrong_with((money,), money) is None


@attrs.frozen(kw_only=True)
class Bench:
    """One provider, built anew for one check."""

    manifest: ProviderManifest
    config: Any
    methods: tuple[Method, ...]
    provider: Provider
    remote: Remote
    clock: BenchClock
    log: BenchLog
    secrets: dict[str, tuple[str, ...]]

    #: The first is that of the watch beside the check, where the remote side needs one.
    sinks: list[BenchSink] = attrs.field(factory=list)
    #: The provider's long steps so far, in seconds each.
    held: list[float] = attrs.field(factory=list)

    # -- what a check asks for -------------------------------------------------------------------

    def ways(self) -> Sequence[Way]:
        """One of each kind of asset that it takes: by method, and by the number of decimals."""
        found: dict[tuple[str, int], Way] = {}
        for method in self.methods:
            for currency in method.currencies:
                for token in method.crypto_currencies or (None,):
                    way = Way(method=method, currency=currency, token=token)
                    found.setdefault((method.key, way.decimals), way)
        return list(found.values())

    def sink(self, *, refusals: int = 0) -> BenchSink:
        """A new one, whose cursor is from now on what the provider reads."""
        self.sinks.append(BenchSink(refusals=refusals))
        return self.sinks[-1]

    def operation(
        self,
        *,
        minor_units: int | None = None,
        metadata: Mapping[str, str] | None = None,
        way: Way | None = None,
        **other: Any,
    ) -> CreateOperation:
        """A create operation as payd makes it; each with a payment of its own."""
        way = way or self.ways()[0]
        method, token = way.method, way.token
        minor_units = self.remote.amounts[0] if minor_units is None else minor_units
        amount = Money(currency_code=way.currency, minor_units=minor_units)
        now = self.clock.now()
        payment_id = uuid4()
        fields: dict[str, Any] = {
            "operation_id": f"payd:{payment_id}:create:v1",
            "payment_id": payment_id,
            "method": method.key,
            "amount": amount,
            "crypto": terms(token, amount) if token else None,
            "items": (
                LineItem(
                    chain_profile_id="ethereum-mainnet",
                    node_type="full",
                    duration="30d",
                    unit_price=amount,
                ),
            ),
            "customer_id": "customer-1",
            "create_time": now,
            "expire_time": now + method.default_expiry,
            "return_url": "https://shop.example/paid",
            "cancel_url": "https://shop.example/back",
            "metadata": self.remote.metadata(None) if metadata is None else metadata,
        }
        operation = CreateOperation(**{**fields, **other})
        if isinstance(self.provider, SupportsPrepare) and "parameters" not in other:
            parameters = json.loads(json.dumps(dict(self.provider.prepare(operation))))
            operation = attrs.evolve(operation, parameters=parameters)
        return operation

    async def create(self, operation: CreateOperation) -> Created:
        """The provider's answer. Raises ProviderError; Failed for what is no answer."""
        return self.expect(Created, await self.in_time(self.provider.create, operation), "create")

    async def fetch(self, ref: PaymentRef) -> Found | Absent:
        """The same."""
        said = await self.in_time(self.provider.fetch, ref)
        if isinstance(said, Absent):
            return said
        return self.expect(Found, said, "fetch")

    async def found(self, ref: PaymentRef) -> Found:
        """What must be there. Raises Failed when it is not."""
        return self.expect(Found, await self.fetch(ref), "fetch of an object that exists")

    async def cancel(self, ref: PaymentRef) -> Snapshot:
        """The same."""
        return self.expect(Snapshot, await self.in_time(self.provider.cancel, ref), "cancel")

    async def raised(self, call: Callable[..., Any], *args: Any) -> BaseException | None:
        """What the call raised; None when it answered."""
        try:
            await self.in_time(call, *args)
        except ProviderError as error:
            return error
        return None

    async def in_time(self, call: Callable[..., Any], *args: Any) -> Any:
        """The answer, within the kit's patience. Raises Failed for what is no ProviderError."""
        try:
            with trio.fail_after(PATIENCE_S), owned(self.held.append):
                return await call(*args)
        except trio.TooSlowError:
            raise Failed(f"{_name(call)} did not return within {PATIENCE_S:g} s") from None
        except ProviderError as error:
            error.add_note(f"in {_name(call)} of {', '.join(map(_shown, args)) or 'nothing'}")
            raise
        except Failed:
            raise
        except Exception as error:
            raise Failed(
                f"{_name(call)} raised {type(error).__name__}: {error}; only a ProviderError may leave it"
            ) from error

    def ref(self, operation: CreateOperation, created: Created | None = None) -> PaymentRef:
        """How payd names it; without `created`, as when the answer was lost."""
        return PaymentRef(
            operation_id=operation.operation_id,
            payment_id=operation.payment_id,
            reference=created.reference if created else None,
            asset=asset(operation),
            create_time=operation.create_time,
        )

    async def opened(self, **fields: Any) -> tuple[CreateOperation, PaymentRef, Created]:
        """An open object."""
        operation = self.operation(**fields)
        created = await self.create(operation)
        return operation, self.ref(operation, created), created

    async def paid(self, **fields: Any) -> tuple[CreateOperation, PaymentRef, Created]:
        """An object that the customer has paid, and that everybody was told of."""
        operation, ref, created = await self.opened(**fields)
        await self.pay(ref, due(operation))
        return operation, ref, created

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """The customer pays so much; returns when all were told."""
        await self.remote.pay(ref, amount)
        await self.settled()

    async def passed(self, by: timedelta) -> None:
        """So much later, by the kit's clock; a few seconds by a real one."""
        if self.clock.is_real:
            await trio.sleep(_REAL_S)
            return
        self.clock.advance(by)
        await self.remote.later(by)

    async def settled(self) -> None:
        """What happened has been told to everybody."""
        if not self.remote.needs_watch:
            await self.remote.rest()
            return
        sink = self.sinks[0]
        before, quiet = sink.at, 0
        enough = _QUIET if sink.at is None else _STILL
        await self.remote.rest()
        with trio.move_on_after(PATIENCE_S):
            while quiet < enough:
                await trio.sleep(_POLL_S)
                if sink.at == before:
                    quiet += 1
                else:
                    before, quiet, enough = sink.at, 0, _QUIET

    async def standing(
        self, operation: CreateOperation, created: Created, snapshot: Snapshot
    ) -> Snapshot:
        """The snapshot, and what the watch has told beside it."""
        await trio.lowlevel.checkpoint()
        if not self.remote.needs_watch:
            return snapshot
        receipts = self.sinks[0].receipts(names(operation, created))
        sums = [
            sum(one.amount for one in receipts if one.state in states)
            for states in (set(ReceiptState), {ReceiptState.CONFIRMED})
        ]
        is_paid = sums[1] >= due(operation)
        return attrs.evolve(
            snapshot,
            status=ProviderStatus.PAID if is_paid else snapshot.status,
            received=max(snapshot.received, sums[0]),
            confirmed=max(snapshot.confirmed, sums[1]),
        )

    async def objects(self, payment_id: UUID) -> int:
        """At the remote side."""
        return await self.remote.objects(payment_id)

    def expect(self, kind: type[T], said: object, what: str) -> T:
        """Raises Failed for anything else, and for what payd's fence would not take either."""
        if type(said) is not kind:
            raise Failed(f"{what} gave a {type(said).__name__}, not a {kind.__name__}")
        if not _CHECKS.get(kind, lambda value: True)(said):
            raise Failed(
                f"{what} gave a {kind.__name__} that payd cannot store: a float, text with NUL,"
                f" or a value of a wrong type in {said!r}"
            )
        return said


def names(operation: CreateOperation, created: Created) -> set[str]:
    """What an observation may call it."""
    return {str(operation.payment_id), created.reference, *created.aliases}


def asset(operation: CreateOperation) -> str:
    """Of what is due."""
    if operation.crypto:
        return operation.crypto.token_address
    return operation.amount.currency_code


def due(operation: CreateOperation) -> int:
    """In the asset's own units."""
    if operation.crypto:
        return operation.crypto.due_base_units
    return operation.amount.minor_units


def terms(token: CryptoCurrency, amount: Money) -> TokenTerms:
    """What is due in the token, at par with the price list's currency."""
    return TokenTerms(
        currency=token.code,
        chain_id=token.chain_id,
        token_address=token.token_address,
        decimals=token.decimals,
        due_base_units=base_units(amount, token.decimals),
    )


def _shown(argument: object) -> str:
    if isinstance(argument, CreateOperation):
        return f"{due(argument)} units of {asset(argument)}"
    return str(getattr(argument, "reference", argument))


def _name(call: Callable[..., Any]) -> str:
    return str(getattr(call, "__name__", call))
