"""Runs one plan on virtual time: daemons, customers, the main app, the network, and faults.

One seed gives one history: every random number comes from the seed, and trio's scheduler, too.
"""

import gc
import hashlib
import random as global_random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import attrs
import trio
import trio.testing
from simulation.daemon import Clock, Daemon, Gate, Unreachable
from simulation.plan import Buyer, Plan
from simulation.rail import Rail, RailProvider, Thing, not_done
from support.memory import MemoryPublisher, MemoryStore
from unit.service.world import CALLER, a_request

from payd.domain.errors import PaydError
from payd.domain.money import Money
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundState
from payd.domain.request import RefundRequest
from payd.plugins import DisputeStatus, Lookup, OutcomeUnknown, ProviderEvent, WebhookRequest
from payd.ports import OutboxRow, PublishError

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
#: When the faults end, and when everything must have come to rest.
CALM_S = 7200.0
END_S = CALM_S + 8 * 3600.0
#: Everything rests when nothing has changed for so long: each loop has looked again meanwhile.
REST_S = 900.0
#: After so many calls in one history a loop runs without waiting.
CALLS_MAX = 60_000


@attrs.define
class History:
    """What happened."""

    plan: Plan
    store: MemoryStore
    rail: Rail
    stream: "Stream"
    lines: list[str] = attrs.field(factory=list)
    #: How often interesting things happened.
    sometimes: Counter[str] = attrs.field(factory=Counter)
    #: Idempotency key → the payments and refunds that were returned under it.
    answers: dict[str, list[Payment | Refund]] = attrs.field(factory=dict)
    #: Payment → the versions in its audit trail.
    versions: dict[UUID, list[int]] = attrs.field(factory=dict)
    calls: int = 0
    #: Seconds of virtual time.
    lived_s: float = 0.0
    _digest: Any = attrs.field(factory=hashlib.sha256)

    def trace(self, text: str) -> None:
        """Add a call to the hash of the history."""
        self.calls += 1
        assert self.calls < CALLS_MAX, "a loop runs without waiting"
        self._digest.update(f"{trio.current_time():.6f} {text}\n".encode())

    def note(self, text: str, kind: str = "") -> None:
        """Add a line in words."""
        self.trace(text)
        self.lines.append(f"{trio.current_time():>9.2f} s  {text}")
        if kind:
            self.sometimes[kind] += 1

    def open_work(self) -> list[str]:
        """What is not finished, unless a person has been asked to look at it."""
        return [*self._open_payments(), *self._open_rows()]

    def _open_payments(self) -> Iterator[str]:
        for payment in self.store.all():
            if payment.attention:
                continue
            if payment.status.is_open:
                yield f"{name_of(payment)} is still open"
            for refund in payment.refunds:
                if refund.status.is_open:
                    yield f"a refund of {name_of(payment)} is still {refund.status.value}"

    def _open_rows(self) -> Iterator[str]:
        if rows := [*self.store.inbox.open_rows()]:
            yield f"{len(rows)} reports wait"
        if events := [*self.store.outbox.open_rows()]:
            yield f"{len(events)} events wait"

    @property
    def hash(self) -> str:
        """Differs as soon as any call differs."""
        return str(self._digest.hexdigest())


class Stream(MemoryPublisher):
    """The stream, which may be away or lose its acknowledgement."""

    def __init__(self) -> None:
        super().__init__()
        self.fate: Callable[[], str] = lambda: ""

    async def publish(self, row: OutboxRow) -> bool:
        fault = self.fate()
        if fault == "away":
            raise PublishError("the stream is away")
        is_new = await super().publish(row)
        if fault == "lost":
            raise PublishError("no acknowledgement")
        return is_new


def run(plan: Plan) -> History:
    """The history of a plan."""
    trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio._core._run._r.seed(plan.seed)
    global_random.seed(plan.seed)
    clock = trio.testing.MockClock(autojump_threshold=0)
    # A history lives for a fraction of a second: looking for its garbage meanwhile costs a fifth.
    gc.disable()
    try:
        history: History = trio.run(_World(plan).run, clock=clock)
    finally:
        gc.enable()
    return history


class _World:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._true = Clock(start=START)
        lookup = Lookup.INCLUDING_ABSENCE if plan.proves_absence else Lookup.AUTHORITATIVE
        rail, stream = Rail(self._true.now, lookup), Stream()
        self._history = History(plan, MemoryStore(self._true), rail, stream)
        self._random = {
            name: Random(f"{plan.seed} {name}")
            for name in ("ports", "provider", "network", "stream", "kills", "app")
        }
        self._daemons: dict[int, Daemon] = {}
        self._nursery: trio.Nursery
        rail.deliver = self._deliver
        rail.on_refund = self._end_refund_later
        self._refunds_fail: set[UUID] = set()
        self._busy = 0
        stream.fate = self._stream_fate

    async def run(self) -> History:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for number in range(self._plan.daemons):
                nursery.start_soon(self._keep_alive, number)
            await trio.sleep(1)
            for buyer in self._plan.buyers:
                self._start(self._shop, buyer)
            await trio.sleep(CALM_S)
            await self._until_rest()
            self._history.lived_s = trio.current_time()
            nursery.cancel_scope.cancel()
        for payment in self._history.store.all():
            rows = await self._history.store.audit_trail(payment.id)
            self._history.versions[payment.id] = [row.version for row in rows]
        return self._history

    def _start(self, act: Callable[..., Awaitable[object]], *args: object) -> None:
        """Start what people or the network do; nothing rests before it has ended."""
        self._nursery.start_soon(self._do, act, args)

    async def _do(self, act: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
        self._busy += 1
        await act(*args)
        self._busy -= 1

    async def _until_rest(self) -> None:
        """Wait until nothing is open and nothing has changed for a while."""
        before: object = None
        while trio.current_time() < END_S:
            await trio.sleep(REST_S)
            payments = self._history.store.all()
            now = [(payment.version, payment.checks) for payment in payments]
            if not self._busy and now == before and not self._history.open_work():
                return
            before = now

    def _has(self, kind: str) -> bool:
        return kind in self._plan.faults and trio.current_time() < CALM_S

    def _meets(self, name: str, kind: str, chance: float) -> bool:
        """Whether a fault happens now. Draws in any case, so that other faults stay the same."""
        happens = self._random[name].random() < chance
        return happens and self._has(kind)

    # -- daemons -----------------------------------------------------------------------------------

    async def _keep_alive(self, number: int) -> None:
        life = 0
        while True:
            life += 1
            name = f"daemon {number + 1}.{life}"
            daemon = self._new_daemon(name, number)
            self._daemons[number] = daemon
            await daemon.live()
            self._history.note(f"{name} is killed", "daemon killed")
            await trio.sleep(self._random["kills"].uniform(1, 60))

    def _new_daemon(self, name: str, number: int) -> Daemon:
        skew = (
            timedelta(minutes=3 * number) if "clocks differ" in self._plan.faults else timedelta()
        )
        return Daemon(
            gate=Gate(self._fate, self._history.trace, name),
            clock=Clock(start=START, skew=skew),
            store=self._history.store,
            publisher=self._history.stream,
            provider=RailProvider(self._history.rail, self._wire),
            lookup=self._history.rail.lookup,
            random=Random(f"{self._plan.seed} {name}"),
        )

    def _fate(self, call: str) -> tuple[str, float]:
        random = self._random["ports"]
        delay_s = random.choice((0.0, 0.0, 0.001, 0.01, 0.3))
        for kind, fault, chance in (
            ("daemon killed", "kill before", 0.002),
            ("daemon killed", "kill after", 0.004),
            ("database away", "before", 0.01),
            ("commit lost its answer", "after", 0.02),
        ):
            likely = chance if "claim" in call else 8 * chance
            if self._meets("ports", kind, likely) and not call.startswith("stream"):
                self._history.note(f"{call}: {fault}", f"{call.split('.')[1]}: {fault}")
                return fault, delay_s
        return "", delay_s

    def _stream_fate(self) -> str:
        for kind, fault, chance in (
            ("stream away", "away", 0.3),
            ("acknowledgement lost", "lost", 0.2),
        ):
            if self._meets("stream", kind, chance):
                self._history.note(f"the stream: {fault}", kind)
                return fault
        return ""

    async def _wire(self, call: str, act: Callable[[], Any]) -> Any:
        random = self._random["provider"]
        await trio.sleep(random.choice((0.01, 0.1, 1.0, 4.0)))
        if self._meets("provider", "provider refuses", 0.2):
            self._history.note(f"provider {call}: refused", f"{call}: refused")
            raise not_done(random.random())
        answer = act()
        if call != "scan":
            self._history.note(f"provider {call}: {_in_words(answer)}")
        if self._meets("provider", "provider answer lost", 0.2):
            self._history.note(f"provider {call}: its answer is lost", f"{call}: answer lost")
            raise OutcomeUnknown("no answer")
        if self._meets("provider", "provider hangs", 0.1):
            self._history.note(f"provider {call}: hangs", f"{call}: hangs")
            await trio.sleep(60)
        await trio.sleep(random.choice((0.01, 0.1, 1.0)))
        return answer

    # -- reports -----------------------------------------------------------------------------------

    def _deliver(self, event: ProviderEvent) -> None:
        network = self._random["network"]
        number = len(self._history.rail.events) - 1
        if self._meets("network", "report lost", 0.3):
            self._history.note(f"report {event.id} is lost", "report lost")
            return
        copies = 1 + 2 * self._meets("network", "report doubled", 0.4)
        for _ in range(copies):
            late_s = 5000.0 if self._meets("network", "report late", 0.3) else 1.0
            self._start(self._send, number, network.uniform(0, late_s))

    async def _send(self, number: int, delay_s: float) -> None:
        """A webhook, sent again until it is accepted or given up."""
        request = WebhookRequest(body=str(number).encode(), headers={})
        for pause_s in (delay_s, 10.0, 60.0, 600.0, 3600.0):
            await trio.sleep(pause_s)
            try:
                accepted = await self._any().call(
                    lambda services: services.intake.accept_webhook("rail", request)
                )
            except (PaydError, Unreachable):
                continue
            self._history.note(f"report evt_{number + 1} is accepted ({accepted.new} new)")
            return

    def _any(self) -> Daemon:
        return self._random["app"].choice([*self._daemons.values()])

    # -- people ------------------------------------------------------------------------------------

    async def _shop(self, buyer: Buyer) -> None:
        await trio.sleep(buyer.start_s)
        key = f"key-{buyer.number}"
        payment = await self._ask(
            key,
            lambda services: services.initiate.initiate(
                a_request(idempotency_key=key), CALLER, 5.0
            ),
        )
        if payment is None:
            return
        if buyer.refunds_fail:
            self._refunds_fail.add(payment.id)
        if buyer.cancel_s is not None:
            self._start(self._cancel, buyer, payment)
        if buyer.pay_s is not None:
            await trio.sleep(buyer.pay_s)
            await self._pay(buyer, payment)

    async def _ask(self, key: str, call: Callable[[Any], Any]) -> Any:
        """A call of the main app, repeated with the same key until it has an answer."""
        for attempt in range(8):
            try:
                answer = await self._any().call(call)
            except (PaydError, Unreachable) as error:
                self._history.note(f"{key}: {type(error).__name__}", f"app: {type(error).__name__}")
                await trio.sleep(2.0**attempt)
                continue
            found = answer[1] if isinstance(answer, tuple) else answer
            self._history.note(f"{key}: {found.status.value}")
            self._history.answers.setdefault(key, []).append(found)
            return found
        return None

    async def _cancel(self, buyer: Buyer, payment: Payment) -> None:
        await trio.sleep(buyer.cancel_s or 0)
        await self._ask(
            f"cancel of key-{buyer.number}",
            lambda services: services.cancel.cancel(payment.id, "changed my mind", CALLER),
        )

    async def _pay(self, buyer: Buyer, payment: Payment) -> None:
        rail = self._history.rail
        thing = rail.thing_of(payment.id)
        if thing is None or not rail.pay(thing, is_final=not buyer.slow_s):
            self._history.note(f"buyer {buyer.number} can not pay any more", "too late to pay")
            return
        self._history.note(f"buyer {buyer.number} pays {thing.reference}", "paid")
        stored = await self._history.store.get(payment.id)
        if stored is not None and stored.provider_reference is None:
            self._history.note("the payment does not know its object yet", "paid before commit")
        if buyer.slow_s:
            await trio.sleep(buyer.slow_s)
            rail.pay(thing, is_final=True)
        await trio.sleep(300)
        if buyer.is_disputed:
            self._start(self._dispute, thing)
        for number, amount in enumerate(buyer.refunds):
            self._start(self._refund, buyer, payment, number, amount)

    async def _dispute(self, thing: Thing) -> None:
        for status in (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.LOST):
            await trio.sleep(600)
            self._history.note(f"dispute of {thing.reference}: {status.value}", "disputed")
            self._history.rail.dispute(thing, status)

    async def _refund(self, buyer: Buyer, payment: Payment, number: int, amount: int) -> None:
        key = f"refund-{buyer.number}-{number}"
        request = RefundRequest(
            payment_id=payment.id,
            idempotency_key=key,
            amount=Money(currency_code="USD", minor_units=amount),
        )
        await self._ask(key, lambda services: services.refund.refund(request, CALLER, 5.0))

    def _end_refund_later(self, thing: Thing, operation_id: str) -> None:
        self._start(self._end_refund, thing, operation_id)

    async def _end_refund(self, thing: Thing, operation_id: str) -> None:
        await trio.sleep(600)
        fails = thing.operation.payment_id in self._refunds_fail
        state = RefundState.FAILED if fails else RefundState.SUCCEEDED
        self._history.rail.finish_refund(thing, operation_id, state)


def name_of(payment: Payment) -> str:
    """A payment in words."""
    return f"{payment.idempotency_key} ({payment.status.value})"


def _in_words(answer: Any) -> str:
    reference = getattr(answer, "reference", None) or type(answer).__name__
    status = getattr(answer, "status", None) or getattr(answer, "state", None)
    return f"{reference} {status.value if status else ''}".strip()
