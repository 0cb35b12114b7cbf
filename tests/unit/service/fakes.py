"""Fakes for tests of use cases: a clock, ids, a crash point and a scripted provider."""

from collections import defaultdict, deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import attrs
import trio
from support.memory import MemoryStore

from payd.domain.decide import Decision
from payd.domain.errors import PaydError, ProviderUnavailable, WebhookRefused
from payd.domain.evidence import (
    Absent,
    Created,
    Declined,
    NotAttempted,
    NotClosable,
    Observation,
    OutcomeUnknown,
    ProviderStatus,
    Snapshot,
    Unanswered,
)
from payd.domain.next_action import CryptoTransfer, NextAction, Redirect
from payd.domain.payment import Origin, Payment
from payd.domain.pricing import PriceList
from payd.domain.refund import Refund, RefundInstructions, RefundSnapshot, RefundState
from payd.plugins.capabilities import Cancel, Capabilities, Lookup, Sends
from payd.plugins.interface import (
    CreateOperation,
    Holding,
    ObjectPage,
    Page,
    PaymentRef,
    ProviderEvent,
    WebhookRequest,
)
from payd.plugins.refunding import RefundOperation, RefundRef
from payd.plugins.sponsoring import SponsorRequest
from payd.ports import Answer, Commit, Name, ProviderPort, RefundReply, Registered
from payd.ports.provider import Untranslatable

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

DECLINED = Answer(evidence=(Declined(code="card_declined", message="No funds."),))
OUTCOME_UNKNOWN = Answer(evidence=(OutcomeUnknown(),))
UNANSWERED = Answer(evidence=(Unanswered(),))


def not_attempted() -> Answer:
    """The fence could not ask. A new error each, for it keeps where it was raised."""
    error = ProviderUnavailable("nothing was sent", retry_after_s=1.0)
    return Answer(evidence=(NotAttempted(),), error=error)


class FakeClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def move(self, **duration: float) -> None:
        """Let time pass: `minutes=5`."""
        self.time += timedelta(**duration)


@attrs.define
class ScriptedChanges:
    """Gives a watcher these versions, then nothing until its time is over."""

    clock: FakeClock
    versions: list[Payment] = attrs.field(factory=list)
    watched_ids: list[UUID] = attrs.field(factory=list)
    watched_from: list[int] = attrs.field(factory=list)
    waits_s: list[float | None] = attrs.field(factory=list)
    is_watched: bool = False

    @contextmanager
    def watch(self, payment_id: UUID, after_version: int) -> Iterator["ScriptedChanges"]:
        self.watched_ids.append(payment_id)
        self.watched_from.append(after_version)
        self.is_watched = True
        yield self
        self.is_watched = False

    async def newer(self, timeout_s: float | None) -> Payment | None:
        self.waits_s.append(timeout_s)
        if self.versions:
            return self.versions.pop(0)
        assert timeout_s is not None, "a watch of an open payment has no end of its own"
        self.clock.move(seconds=timeout_s)
        return None

    def end(self) -> None:
        raise AssertionError("only the server ends all watches")


class CountingIds:
    """1, 2, 3 …, or from another number on."""

    def __init__(self, first: int = 1) -> None:
        self._numbers = count(first)

    def new(self) -> UUID:
        return UUID(int=next(self._numbers))


class TrioTurns:
    """Implements the port Turns."""

    def __init__(self) -> None:
        self._locks: defaultdict[UUID, trio.Lock] = defaultdict(trio.Lock)
        self.rests = 0
        #: What others do while a call rests.
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def of(self, payment_id: UUID) -> AsyncIterator[None]:
        async with self._locks[payment_id]:
            yield

    async def rest(self) -> None:
        self.rests += 1
        await trio.lowlevel.checkpoint()
        if self.meanwhile is not None:
            await self.meanwhile()


class Died(BaseException):
    """The daemon was killed here. No handler of ours may catch it."""


class FakeCrashPoints:
    """Dies at the Nth time that a point is reached; or does there what a test says."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.deaths = 0
        self._plans: deque[tuple[str, int]] = deque()
        self._acts: dict[str, Callable[[], None]] = {}

    def die_at(self, name: str, nth: int = 1) -> None:
        """Once. A second plan begins to count when the first one is carried out."""
        self._plans.append((name, nth))

    def act_at(self, name: str, act: Callable[[], None]) -> None:
        """Once, the next time."""
        self._acts[name] = act

    def reach(self, name: str) -> None:
        self.reached.append(name)
        if act := self._acts.pop(name, None):
            act()
        if not self._plans or self._plans[0][0] != name:
            return
        left = self._plans[0][1] - 1
        self._plans[0] = (name, left)
        if left == 0:
            self._plans.popleft()
            self.deaths += 1
            raise Died(name)


@attrs.define
class RemoteObject:
    """What the provider keeps for one operation."""

    reference: str
    operation: CreateOperation
    create_time: datetime
    status: ProviderStatus = ProviderStatus.OPEN
    received: int = 0
    confirmed: int = 0
    #: When the remote side closes it by itself.
    expire_time: datetime | None = None

    @property
    def due(self) -> int:
        """In the unit of what is due."""
        crypto = self.operation.crypto
        return crypto.due_base_units if crypto else self.operation.amount.minor_units

    def pay(self, amount: int | None = None) -> None:
        """The customer pays, all of it unless told; final at once."""
        self.received = self.confirmed = self.due if amount is None else amount
        self.status = ProviderStatus.PAID

    def pay_pending(self) -> None:
        """The money is on its way."""
        self.received = self.due
        self.status = ProviderStatus.PROCESSING


Request = CreateOperation | PaymentRef
Reply = Answer | Callable[[Request], Awaitable[Answer]]


class FakeProvider:
    """A provider behind its fence, with a remote side that keeps its promises.

    `replies` are given first, in their order; then the remote side answers. A reply may be a
    coroutine function, which sees the request and may change anything before it answers.
    """

    name = "mock"

    def __init__(self, clock: FakeClock, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.remote: list[RemoteObject] = []
        self.calls: list[str] = []
        self.operations: list[CreateOperation] = []
        self.replies: dict[str, list[Reply]] = {"create": [], "fetch": [], "close": []}
        #: How many others may run before a request arrives.
        self.transit = 1
        #: How long after its creation the remote side closes an object by itself.
        self.expires_after: timedelta | None = None
        #: How far the remote side's clock is behind ours.
        self.behind = timedelta(0)
        #: The remote side declines every operation that it does not know.
        self.declines = False
        #: While set, the answer to everything that has no reply of its own.
        self.always: Answer | None = None
        #: What `prepare` was asked for, what it gives, and what it raises instead.
        self.prepared: list[CreateOperation] = []
        self.parameters: dict[str, object] = {}
        self.refuses: PaydError | None = None
        #: While set, the provider does not run: nothing can be prepared, verified or translated.
        self.stopped = False
        #: By the body of the webhook: what `verify` finds in it.
        self.webhooks: dict[bytes, Sequence[ProviderEvent]] = {}
        #: By the event's id: what `translate` gives; without an entry it cannot.
        self.meanings: dict[str, Sequence[Observation]] = {}
        #: What `scan` gives, one after the other; None is no answer.
        self.pages: list[Page | None] = []
        self.cursors: list[str | None] = []
        #: What `objects` gives, one after the other; None is no answer.
        self.object_pages: list[ObjectPage | None] = []
        #: From when to when it was asked for them, and from which cursors on.
        self.listings: list[tuple[datetime, datetime]] = []
        self.object_cursors: list[str | None] = []
        self.can_scan = True
        self.can_list_objects = True
        #: What `holdings` gives, and at which cursors it was asked; None is no answer.
        self.can_audit = True
        self.holds: Sequence[Holding] | None = None
        self.audited: list[str] = []
        #: What `sponsor` gives, and what it was asked; None is no answer.
        self.sponsored: bytes | None = b"{}"
        self.sponsor_requests: list[SponsorRequest] = []
        #: What `refund` and `fetch_refund` give first, one after the other; then the remote side
        #: answers. What they were asked, and what the remote side refunded, by operation id.
        self.refund_replies: list[RefundReply | Callable[[], Awaitable[RefundReply]]] = []
        self.refunds: list[RefundOperation] = []
        self.fetched_refunds: list[RefundRef] = []
        self.remote_refunds: dict[str, RefundSnapshot] = {}
        self._clock = clock

    def prepare(self, operation: CreateOperation) -> Mapping[str, object]:
        self._check_running()
        if self.refuses is not None:
            raise self.refuses
        self.prepared.append(operation)
        return self.parameters

    def verify(self, request: WebhookRequest, now: datetime) -> Sequence[ProviderEvent]:
        self._check_running()
        if request.body not in self.webhooks:
            raise WebhookRefused("not signed", why="signature")
        return self.webhooks[request.body]

    def translate(self, event: ProviderEvent) -> Sequence[Observation]:
        if self.stopped or event.id not in self.meanings:
            raise Untranslatable("never seen before")
        return self.meanings[event.id]

    def _check_running(self) -> None:
        if self.stopped:
            raise ProviderUnavailable("the provider is not running", retry_after_s=1.0)

    async def scan(self, cursor: str | None) -> Page | None:
        self.cursors.append(cursor)
        return self.pages.pop(0)

    async def objects(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> ObjectPage | None:
        self.listings.append((since, until))
        self.object_cursors.append(cursor)
        return self.object_pages.pop(0)

    async def holdings(self, cursor: str) -> Sequence[Holding] | None:
        self.audited.append(cursor)
        return self.holds

    async def sponsor(self, request: SponsorRequest) -> bytes | None:
        self.sponsor_requests.append(request)
        return self.sponsored

    @property
    def can_refund(self) -> bool:
        return self.capabilities.refunds is not None

    async def refund(self, operation: RefundOperation) -> RefundReply:
        self.refunds.append(operation)
        return await self._reply(lambda: self.give_back(operation))

    async def fetch_refund(self, ref: RefundRef) -> RefundReply:
        self.fetched_refunds.append(ref)
        return await self._reply(lambda: self.show_refund(ref))

    async def _reply(self, truth: Callable[[], RefundReply]) -> RefundReply:
        for _ in range(self.transit):
            await trio.lowlevel.checkpoint()
        if self.refund_replies:
            reply = self.refund_replies.pop(0)
            answer = reply if isinstance(reply, RefundReply) else await reply()
        else:
            answer = truth()
        await trio.lowlevel.checkpoint()
        return answer

    async def create(self, operation: CreateOperation) -> Answer:
        self.operations.append(operation)
        return await self._answer("create", operation, lambda: self.make(operation))

    async def fetch(self, ref: PaymentRef) -> Answer:
        return await self._answer("fetch", ref, lambda: self.show(ref))

    async def close(self, ref: PaymentRef) -> Answer:
        return await self._answer("close", ref, lambda: self.shut(ref))

    async def _answer(self, call: str, request: Request, truth: Callable[[], Answer]) -> Answer:
        self.calls.append(call)
        for _ in range(self.transit):
            await trio.lowlevel.checkpoint()
        if self.replies[call]:
            reply = self.replies[call].pop(0)
            answer = reply if isinstance(reply, Answer) else await reply(request)
        else:
            answer = self.always or truth()
        await trio.lowlevel.checkpoint()
        return answer

    # -- the remote side -----------------------------------------------------------------

    def make(self, operation: CreateOperation) -> Answer:
        """The object of this operation; another one when it is too old to be remembered."""
        known = self._of_operation(operation.operation_id)
        window = self.capabilities.idempotency_window
        if known is None or self._clock.now() >= known.create_time + window:
            if self.declines:
                return DECLINED
            known = RemoteObject(
                reference=f"obj_{len(self.remote) + 1}",
                operation=operation,
                create_time=self._clock.now(),
            )
            if self.expires_after is not None:
                known.expire_time = known.create_time + self.expires_after
            self.remote.append(known)
        return Answer(evidence=(created(known),))

    def show(self, ref: PaymentRef) -> Answer:
        """What a lookup finds."""
        lookup = self.capabilities.lookup
        if ref.reference is None and lookup is Lookup.NONE:
            return UNANSWERED
        known = self._of_operation(ref.operation_id)
        if known is None:
            return Answer(evidence=(Absent(proven=lookup is Lookup.INCLUDING_ABSENCE),))
        return Answer(evidence=(created(known), self.snapshot(known)))

    def shut(self, ref: PaymentRef) -> Answer:
        """How it stands, closed where that can be done."""
        known = self._of_operation(ref.operation_id)
        assert known is not None, "a close of what was never created"
        if self.capabilities.cancel is Cancel.NOT_CLOSABLE:
            return Answer(evidence=(NotClosable(snapshot=self.snapshot(known)),))
        if known.status is ProviderStatus.OPEN:
            known.status = ProviderStatus.CANCELED
        return Answer(evidence=(self.snapshot(known),))

    def give_back(self, operation: RefundOperation) -> RefundReply:
        """The refund of this operation, made once; or what a person has to send."""
        capabilities = self.capabilities.refunds
        assert capabilities is not None
        if capabilities.sends is Sends.INSTRUCTIONS:
            return RefundReply(answer=RefundInstructions(next_action=_to_send(operation)))
        known = self.remote_refunds.setdefault(
            operation.operation_id,
            RefundSnapshot(
                reference=f"re_{len(self.remote_refunds) + 1}",
                state=RefundState.PENDING,
                asset=operation.asset,
                amount=operation.amount,
                time=self._clock.now(),
                refund_id=operation.refund_id,
            ),
        )
        return RefundReply(answer=known)

    def show_refund(self, ref: RefundRef) -> RefundReply:
        """What a lookup finds."""
        capabilities = self.capabilities.refunds
        assert capabilities is not None
        known = self.remote_refunds.get(ref.operation_id)
        if known is not None and (ref.reference or capabilities.lookup is not Lookup.NONE):
            return RefundReply(answer=known)
        proven = capabilities.lookup is Lookup.INCLUDING_ABSENCE
        return RefundReply(answer=Absent(proven=proven) if proven else Unanswered())

    def finish_refund(self, state: RefundState = RefundState.SUCCEEDED) -> RefundSnapshot:
        """The last refund comes to an end."""
        operation_id, known = [*self.remote_refunds.items()][-1]
        ended = attrs.evolve(known, state=state)
        self.remote_refunds[operation_id] = ended
        return ended

    def snapshot(self, known: RemoteObject) -> Snapshot:
        """How it stands now."""
        crypto = known.operation.crypto
        return Snapshot(
            status=known.status,
            asset=crypto.token_address if crypto else known.operation.amount.currency_code,
            received=known.received,
            confirmed=known.confirmed,
            as_of=self._clock.now() - self.behind,
        )

    def observe(self, known: RemoteObject, reference: str | None = None) -> Observation:
        """What its watch reports of it."""
        now = self._clock.now()
        return Observation(
            id=f"evt_{known.reference}_{known.status.value}_{now.timestamp():.0f}",
            reference=reference or str(known.operation.payment_id),
            fact=self.snapshot(known),
        )

    @property
    def object(self) -> RemoteObject:
        """The only one."""
        [known] = self.remote
        return known

    @property
    def payable(self) -> Sequence[RemoteObject]:
        """What a customer could still pay."""
        return [known for known in self.remote if known.status is ProviderStatus.OPEN]

    def _of_operation(self, operation_id: str) -> RemoteObject | None:
        mine = [o for o in self.remote if o.operation.operation_id == operation_id]
        return mine[-1] if mine else None


def _to_send(operation: RefundOperation) -> NextAction:
    """What a person has to send: tokens with a memo, or money as a page says."""
    if not operation.asset.startswith("0x"):
        return Redirect(url=f"https://send.example/{operation.destination}")
    return CryptoTransfer(
        currency="USDC",
        chain_id=42431,
        token_address=operation.asset,
        receiver_address=operation.destination,
        amount_base_units=operation.amount,
        decimals=6,
        memo="0x" + operation.refund_id.hex.encode().hex(),
        calldata="",
        payment_uri="",
    )


def created(known: RemoteObject) -> Created:
    """The provider's answer to `create`."""
    return Created(
        reference=known.reference,
        next_action=Redirect(url=f"https://pay.example/{known.reference}"),
        aliases=(f"pi_{known.reference}",),
        expire_time=known.expire_time,
    )


class InterleavedStore(MemoryStore):
    """Lets others run before every statement, as a network does."""

    async def insert(self, payment: Payment, origin: Origin) -> Payment:
        await trio.lowlevel.checkpoint()
        return await super().insert(payment, origin)

    async def get(self, payment_id: UUID, receipt_ids: Collection[str] = ()) -> Payment | None:
        await trio.lowlevel.checkpoint()
        return await super().get(payment_id, receipt_ids)

    async def get_refund(self, refund_id: UUID) -> tuple[Payment, Refund] | None:
        await trio.lowlevel.checkpoint()
        return await super().get_refund(refund_id)

    async def get_refund_by_key(self, idempotency_key: str) -> tuple[Payment, Refund] | None:
        await trio.lowlevel.checkpoint()
        return await super().get_refund_by_key(idempotency_key)

    async def find_all(self, names: Mapping[Name, Collection[str]]) -> Mapping[Name, Payment]:
        await trio.lowlevel.checkpoint()
        return await super().find_all(names)

    async def commit_all(self, commits: Sequence[Commit]) -> Sequence[bool]:
        await trio.lowlevel.checkpoint()
        return await super().commit_all(commits)

    async def commit(
        self, before: Payment, decision: Decision, origin: Origin, inbox_ids: Sequence[int] = ()
    ) -> bool:
        await trio.lowlevel.checkpoint()
        return await super().commit(before, decision, origin, inbox_ids)


class FakeProviders:
    """The method → provider map."""

    def __init__(self, *registered: Registered) -> None:
        self._registered = registered
        #: After a restart with another configuration.
        self.disabled = False

    def by_method(self, method: str) -> Registered | None:
        return next((r for r in self.registered() if r.method.key == method), None)

    def by_name(self, provider: str) -> ProviderPort | None:
        named = (r.provider for r in self.registered() if r.provider.name == provider)
        return next(named, None)

    def registered(self) -> Sequence[Registered]:
        return () if self.disabled else self._registered


class FixedPrices:
    """A price list that a test may replace."""

    def __init__(self, prices: PriceList) -> None:
        self.prices = prices

    def current(self) -> PriceList:
        return self.prices
