"""The simulated remote side: objects that customers pay, refunds, disputes, a list of events."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import trio

from payd.plugins import (
    Absent,
    Cancel,
    Capabilities,
    Created,
    CreateOperation,
    Dispute,
    DisputeStatus,
    Found,
    Lookup,
    Observation,
    OutcomeUnknown,
    PaymentRef,
    ProviderConfig,
    ProviderEvent,
    ProviderManifest,
    ProviderStatus,
    Redirect,
    RefundCapabilities,
    RefundOperation,
    RefundRef,
    RefundSnapshot,
    RefundState,
    Sends,
    Snapshot,
    WebhookRequest,
)
from payd.plugins.errors import Declined, NotAttempted
from payd.plugins.interface import ObjectPage, Page, RemoteObject

#: How much longer than it promises the remote side knows an operation id again.
MARGIN = timedelta(seconds=20)


@attrs.define
class Thing:
    """A payable object."""

    reference: str
    operation: CreateOperation
    status: ProviderStatus = ProviderStatus.OPEN
    received: int = 0
    refunds: dict[str, RefundSnapshot] = attrs.field(factory=dict)
    dispute: Dispute | None = None
    #: Its status and what it had received, from each time on.
    past: list[tuple[datetime, ProviderStatus, int]] = attrs.field(factory=list)

    @property
    def due(self) -> int:
        return self.operation.amount.minor_units

    def note(self, now: datetime) -> None:
        """Remember how it stands from now on."""
        self.past.append((now, self.status, self.received))

    def snapshot(self, now: datetime, lag: timedelta = timedelta(0)) -> Snapshot:
        """How it stands, or stood some time ago."""
        then = max(now - lag, self.past[0][0])
        _, status, received = next(state for state in reversed(self.past) if state[0] <= then)
        return Snapshot(
            status=status,
            asset=self.operation.amount.currency_code,
            received=received,
            confirmed=received if status is ProviderStatus.PAID else 0,
            as_of=then,
            reference=self.reference,
        )


class Rail:
    """What all daemons reach: one remote side, which keeps its promises."""

    def __init__(
        self, now: Callable[[], datetime], lookup: Lookup, window: timedelta, names_refunds: bool
    ) -> None:
        self.now = now
        self.lookup = lookup
        self.window = window
        self._names_refunds = names_refunds
        self.things: dict[str, Thing] = {}
        self.events: list[ProviderEvent] = []
        self._facts: dict[str, tuple[str, Any]] = {}
        #: Sends an event on its way; the world replaces it.
        self.deliver: Callable[[ProviderEvent], None] = lambda event: None
        #: Called with each new refund; the world ends it later.
        self.on_refund: Callable[[Thing, str], None] = lambda thing, operation_id: None

    def thing_of(self, payment_id: UUID) -> Thing | None:
        """The object of a payment."""
        found = (t for t in self.things.values() if t.operation.payment_id == payment_id)
        return next(found, None)

    def report(self, thing: Thing, fact: Any) -> None:
        """Add an event to the list, and send it."""
        event = ProviderEvent(id=f"evt_{len(self.events) + 1}", type="thing", content={})
        self._facts[event.id] = thing.reference, fact
        self.events.append(event)
        self.deliver(event)

    def pay(self, thing: Thing, is_final: bool) -> bool:
        """The customer pays, where that is still possible."""
        if thing.status not in (ProviderStatus.OPEN, ProviderStatus.PROCESSING):
            return False
        thing.received = thing.due
        thing.status = ProviderStatus.PAID if is_final else ProviderStatus.PROCESSING
        thing.note(self.now())
        self.report(thing, thing.snapshot(self.now()))
        return True

    def bounce(self, thing: Thing) -> None:
        """The bank takes back money that was on its way: nobody can pay any more."""
        thing.received, thing.status = 0, ProviderStatus.DECLINED
        thing.note(self.now())
        self.report(thing, thing.snapshot(self.now()))

    def forgets(self, since: datetime) -> bool:
        """Whether an operation of this time is too old to be known by its id; not to the second."""
        return self.now() - since > self.window + MARGIN

    def add_refund(
        self, thing: Thing, operation_id: str, amount: int, refund_id: UUID | None
    ) -> RefundSnapshot:
        """Begin a refund, for payd or for a person who has an account here."""
        thing.refunds[operation_id] = RefundSnapshot(
            reference=f"re_{thing.reference}_{len(thing.refunds) + 1}",
            state=RefundState.PENDING,
            asset=thing.operation.amount.currency_code,
            amount=amount,
            time=self.now(),
            refund_id=refund_id,
        )
        self.on_refund(thing, operation_id)
        return thing.refunds[operation_id]

    def refund_by_hand(self, thing: Thing, amount: int) -> None:
        """A person refunds here, without payd."""
        self.report(thing, self.add_refund(thing, "by hand", amount, None))

    def finish_refund(self, thing: Thing, operation_id: str, state: RefundState) -> None:
        """A refund comes to its end."""
        thing.refunds[operation_id] = attrs.evolve(thing.refunds[operation_id], state=state)
        report = thing.refunds[operation_id]
        self.report(thing, report if self._names_refunds else attrs.evolve(report, refund_id=None))

    def dispute(self, thing: Thing, status: DisputeStatus) -> None:
        """The customer's bank takes the money back, or decides about it."""
        known, now = thing.dispute, self.now()
        thing.dispute = Dispute(
            id=f"dp_{thing.reference}",
            status=status,
            asset=thing.operation.amount.currency_code,
            amount=thing.due,
            open_time=known.open_time if known else now,
            as_of=now,
        )
        self.report(thing, thing.dispute)

    def fact_of(self, event: ProviderEvent) -> Any:
        """What an event is about."""
        return self._facts[event.id][1]

    def observation(self, event: ProviderEvent) -> Observation:
        """What an event says."""
        reference, fact = self._facts[event.id]
        return Observation(id=event.id, reference=reference, fact=fact)


#: Runs an operation of the remote side, with the faults of the network.
Wire = Callable[[str, Callable[[], Any]], Awaitable[Any]]


class RailProvider:
    """The provider of one daemon, which reaches the rail over a network."""

    def __init__(
        self,
        rail: Rail,
        wire: Wire,
        lag: Callable[[], timedelta],
        hides: Callable[[datetime], bool],
    ) -> None:
        self._rail = rail
        self._hides = hides
        self._wire = wire
        self._lag = lag

    async def create(self, operation: CreateOperation, /) -> Created:
        def act() -> Created:
            name = operation.operation_id
            known = self._rail.things.get(name)
            if known is not None and self._rail.forgets(known.past[0][0]):
                known, name = None, f"{name} again"
            if known is None:
                known = Thing(f"obj_{len(self._rail.things) + 1}", operation)
                known.note(self._rail.now())
                self._rail.things[name] = known
            return _created(known)

        result: Created = await self._wire("create", act)
        return result

    async def fetch(self, ref: PaymentRef, /) -> Found | Absent:
        def act() -> Found | Absent:
            known = self._rail.things.get(ref.operation_id)
            if known is not None and ref.reference is None and self._hides(ref.create_time):
                known = None
            if known is None:
                return Absent(proven=self._rail.lookup is Lookup.INCLUDING_ABSENCE)
            snapshot = known.snapshot(self._rail.now(), self._lag())
            return Found(created=_created(known), snapshot=snapshot)

        result: Found | Absent = await self._wire("fetch", act)
        return result

    async def cancel(self, ref: PaymentRef, /) -> Snapshot:
        def act() -> Snapshot:
            known = self._rail.things.get(ref.operation_id)
            if known is None:
                raise OutcomeUnknown("there is nothing to close")
            if known.status is ProviderStatus.OPEN:
                known.status = ProviderStatus.CANCELED
                known.note(self._rail.now())
            return known.snapshot(self._rail.now())

        result: Snapshot = await self._wire("close", act)
        return result

    async def refund(self, operation: RefundOperation, /) -> RefundSnapshot:
        def act() -> RefundSnapshot:
            thing = self._rail.thing_of(operation.payment_id)
            if thing is None or thing.status is not ProviderStatus.PAID:
                raise Declined("nothing_paid", "nothing was paid")
            name = operation.operation_id
            known = thing.refunds.get(name)
            if known is not None and self._rail.forgets(known.time):
                known, name = None, f"{name} again"
            if known is None:
                known = self._rail.add_refund(thing, name, operation.amount, operation.refund_id)
            return known

        result: RefundSnapshot = await self._wire("refund", act)
        return result

    async def fetch_refund(self, ref: RefundRef, /) -> RefundSnapshot | Absent:
        def act() -> RefundSnapshot | Absent:
            thing = self._rail.thing_of(ref.payment_id)
            known = thing.refunds.get(ref.operation_id) if thing else None
            if known is not None and ref.reference is None and self._hides(ref.create_time):
                known = None
            return known or Absent(proven=self._rail.lookup is Lookup.INCLUDING_ABSENCE)

        result: RefundSnapshot | Absent = await self._wire("fetch refund", act)
        return result

    async def health(self) -> None:
        await trio.lowlevel.checkpoint()

    def verify(
        self, request: WebhookRequest, secrets: Mapping[str, tuple[str, ...]], now: datetime, /
    ) -> ProviderEvent:
        return self._rail.events[int(request.body)]

    def translate(self, event: ProviderEvent, /) -> Sequence[Observation]:
        return [self._rail.observation(event)]

    async def scan(self, cursor: str | None, /) -> Page:
        def act() -> Page:
            start = int(cursor or 0)
            events = tuple(self._rail.events[start : start + 50])
            return Page(events=events, cursor=str(start + len(events)), more=len(events) == 50)

        result: Page = await self._wire("scan", act)
        return result

    async def objects(self, since: datetime, until: datetime, cursor: str | None, /) -> ObjectPage:
        def act() -> ObjectPage:
            things = self._rail.things.values()
            listed = [one for one in things if since <= one.past[0][0] < until]
            return ObjectPage(objects=tuple(map(self._listed, listed)), cursor=None)

        result: ObjectPage = await self._wire("list", act)
        return result

    def _listed(self, thing: Thing) -> RemoteObject:
        found = Found(created=_created(thing), snapshot=thing.snapshot(self._rail.now()))
        return RemoteObject(payment_id=thing.operation.payment_id, found=found)


def manifest(rail: Rail, build: Callable[[], Any]) -> ProviderManifest:
    """The manifest of the simulated provider."""
    return ProviderManifest(
        name="rail",
        version="1.0",
        sdk=">=1.0,<2",
        config_model=ProviderConfig,
        methods=lambda config: (),
        capabilities=Capabilities(
            idempotency_window=rail.window,
            lookup=rail.lookup,
            cancel=Cancel.CLOSES,
            refunds=RefundCapabilities(
                sends=Sends.PROVIDER, idempotency_window=rail.window, lookup=rail.lookup
            ),
        ),
        factory=lambda context, config: build(),
    )


def not_done(random_number: float) -> Exception:
    """An error of a request that never arrived; only sometimes it is known that it did not."""
    return NotAttempted("refused") if random_number < 0.5 else OutcomeUnknown("no answer")


def _created(thing: Thing) -> Created:
    return Created(
        reference=thing.reference,
        next_action=Redirect(url=f"https://pay.example/{thing.reference}"),
    )
