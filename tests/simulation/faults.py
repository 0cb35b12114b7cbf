"""The faults of a history, drawn from its seed, and which path of the code each one strikes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any

import attrs
import trio
from simulation.chain import BLOCK_S, Chain, Transfer
from simulation.gate import PATH, Gate
from simulation.history import History
from simulation.plan import CALM_S
from simulation.rail import not_done

from payd.plugins import Dispute, OutcomeUnknown, ReceiptState, RefundSnapshot
from payd.plugins.errors import RateLimited

LOOPS = (
    "evidence worker",
    "outbox publisher",
    "recovery",
    "refund recovery",
    "event scan",
    "reconciliation",
    "audit",
    "chain watch",
)
_STORE = ("initiate", "cancel", "refund", "webhook", "operator", *LOOPS)
_REMOTE = (
    "initiate",
    "cancel",
    "refund",
    "recovery",
    "refund recovery",
    "event scan",
    "reconciliation",
    "audit",
    "chain watch",
)
_WATCH = ("chain watch",)
_CODE = ("provider",)
_REPORTS = ("payment report", "refund report", "dispute report")
_STREAM = ("outbox publisher",)
#: Each fault with the paths that a campaign has to show it on.
PATHS: Mapping[str, tuple[str, ...]] = {
    "database away": _STORE,
    "commit lost its answer": _STORE,
    "daemon killed": _STORE,
    "daemon frozen": _STORE,
    "clocks differ": _STORE,
    "clock steps back": _STORE,
    "provider refuses": _REMOTE,
    "provider limits": _REMOTE,
    "provider answer lost": _REMOTE,
    "provider hangs": _REMOTE,
    "provider lags": ("recovery",),
    "provider ends": _CODE,
    "provider finds late": ("recovery", "refund recovery"),
    "provider out": _REMOTE,
    "provider out for a day": (
        "recovery",
        "refund recovery",
        "event scan",
        "reconciliation",
        "chain watch",
    ),
    "chain reorganises": _WATCH,
    "chain halts": (*_WATCH, "recovery"),
    "chain lags": (*_WATCH, "recovery", "cancel"),
    "report lost": _REPORTS,
    "report doubled": _REPORTS,
    "report late": _REPORTS,
    "stream away": _STREAM,
    "stream away for a day": _STREAM,
    "stream full": _STREAM,
    "stream loses": _STREAM,
    "acknowledgement lost": _STREAM,
}
_AT_PORTS = (
    ("daemon killed", "kill before", 0.002),
    ("daemon killed", "kill after", 0.004),
    ("database away", "before", 0.01),
    ("commit lost its answer", "after", 0.02),
)
#: How long after its operation began the remote side finds something by the operation's id. Well
#: before a payment expires: payd may take what is not found then as not payable.
_FOUND_AFTER = timedelta(minutes=15)
_AT_STREAM = (
    ("stream away", "away", 0.3),
    ("stream loses", "loses", 0.2),
    ("acknowledgement lost", "no acknowledgement", 0.2),
)


@attrs.define
class Faults:
    """Decides what goes wrong when; each part of the world has random numbers of its own."""

    history: History
    _random: dict[str, Random] = attrs.field(init=False)
    #: Fault → from when to when it lasts, in seconds.
    _spans: dict[str, tuple[float, float]] = attrs.field(init=False)
    #: Daemon → how wrong its clock is.
    _skews: dict[int, float] = attrs.field(factory=dict, init=False)
    #: The daemon whose clock steps back.
    _stepping: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        plan = self.history.plan
        names = (
            "ports",
            "provider",
            "provider code",
            "lag",
            "network",
            "stream",
            "freezes",
            "clocks",
            "spans",
            "chain",
        )
        self._random = {name: Random(f"{plan.seed} {name}") for name in names}
        spans, clocks = self._random["spans"], self._random["clocks"]
        self._spans = {
            kind: (start := spans.uniform(0, CALM_S / 2), start + spans.uniform(60, most_s))
            for kind, most_s in (
                ("provider out", CALM_S / 2),
                ("stream full", 600.0),
                ("clock steps back", CALM_S / 2),
                ("chain halts", CALM_S / 4),
            )
        }
        for kind in ("provider out for a day", "stream away for a day"):
            self._spans[kind] = (spans.uniform(0, CALM_S), plan.calm_s)
        self._skews = {number: clocks.uniform(-600, 600) for number in range(3)}
        self._stepping = clocks.randrange(plan.daemons)

    def strike(self, kind: str, path: str) -> None:
        """Count a fault on a path."""
        self.history.struck[kind, path] += 1

    def has(self, kind: str) -> bool:
        """Whether this kind of fault may happen now."""
        plan = self.history.plan
        start_s, end_s = self._spans.get(kind, (0.0, plan.calm_s))
        return kind in plan.faults and start_s <= trio.current_time() < end_s

    def meets(self, name: str, kind: str, chance: float) -> bool:
        """Whether a fault happens now. Draws in any case, so that other faults stay the same."""
        return self._random[name].random() < chance and self.has(kind)

    # -- clocks and processes ----------------------------------------------------------------------

    def clock_error(self, number: int) -> timedelta:
        """How wrong the clock of a daemon is."""
        skew_s = self._skews[number] if "clocks differ" in self.history.plan.faults else 0.0
        return timedelta(seconds=skew_s - 3600.0 * self._steps_back(number))

    def _steps_back(self, number: int) -> bool:
        return number == self._stepping and self.has("clock steps back")

    async def freeze(self, gate: Gate, lose_leases: Callable[[], Awaitable[None]]) -> None:
        """Freeze a daemon now and then; the database soon takes its session for dead."""
        random = self._random["freezes"]
        while True:
            await trio.sleep(random.uniform(60, 1500))
            seconds = random.uniform(30, 300)
            if self.has("daemon frozen"):
                self.history.note(f"{gate.name} is frozen for {seconds:.0f} s", "daemon frozen")
                gate.frozen_until_s = trio.current_time() + seconds
                await trio.sleep(20)
                await lose_leases()

    @asynccontextmanager
    async def may_end(self) -> AsyncIterator[None]:
        """Refuse to build a provider, or end it while it serves, now and then."""
        if self.meets("provider code", "provider ends", 0.3):
            self._end_provider("is not built")
        async with trio.open_nursery() as nursery:
            if "provider ends" in self.history.plan.faults:
                nursery.start_soon(self._end_later)
            yield
            nursery.cancel_scope.cancel()

    async def _end_later(self) -> None:
        await trio.sleep(self._random["provider code"].uniform(60, 3000))
        if self.has("provider ends"):
            self._end_provider("ends")

    def _end_provider(self, how: str) -> None:
        self.history.note(f"a provider {how}", f"provider {how}")
        self.strike("provider ends", PATH.get())
        raise ConnectionError("the remote side hangs up")

    # -- ports -------------------------------------------------------------------------------------

    def of_port(self, number: int, gate: Gate, call: str) -> tuple[str, float]:
        """What happens to a call of a port, and how long it takes."""
        random, path = self._random["ports"], PATH.get()
        delay_s = random.choice((0.0, 0.0, 0.001, 0.01, 0.3))
        if "clocks differ" in self.history.plan.faults:
            self.strike("clocks differ", path)
        if self._steps_back(number):
            self.strike("clock steps back", path)
        if gate.is_frozen:
            self.strike("daemon frozen", path)
        for kind, fault, chance in _AT_PORTS:
            likely = chance if "claim" in call else 8 * chance
            if self.meets("ports", kind, likely) and not call.startswith("stream"):
                self.history.note(f"{call}: {fault}", f"{call.split('.')[1]}: {fault}")
                self.strike(kind, path)
                return fault, delay_s
        return "", delay_s

    def has_stream(self) -> bool:
        """Whether the stream can be reached at all."""
        if is_away := self.has("stream away for a day"):
            self.strike("stream away for a day", PATH.get())
        return not is_away

    def of_stream(self) -> str:
        """What happens to an event that is published."""
        if self.has("stream full"):
            return self._note_stream("stream full", "full")
        for kind, fault, chance in _AT_STREAM:
            if self.meets("stream", kind, chance):
                return self._note_stream(kind, fault)
        return ""

    def _note_stream(self, kind: str, fault: str) -> str:
        self.history.note(f"the stream: {fault}", kind)
        self.strike(kind, PATH.get())
        return fault

    # -- the provider ------------------------------------------------------------------------------

    async def wire(self, call: str, act: Callable[[], Any]) -> Any:
        """Run an operation of the remote side, with the faults of the way to it and back."""
        random = self._random["provider"]
        await trio.sleep(random.choice((0.01, 0.1, 1.0, 4.0)))
        for kind in ("provider out", "provider out for a day"):
            if self.has(kind):
                self._note_wire(call, kind, "out")
                raise not_done(random.random())
        if self.meets("provider", "provider refuses", 0.2):
            self._note_wire(call, "provider refuses", "refused")
            raise not_done(random.random())
        if self.meets("provider", "provider limits", 0.15):
            self._note_wire(call, "provider limits", "limited")
            raise RateLimited(random.choice((1.0, 20.0, 400.0)))
        answer = act()
        if call not in ("scan", "list"):
            self.history.note(f"provider {call}: {_in_words(answer)}")
        if self.meets("provider", "provider answer lost", 0.2):
            self._note_wire(call, "provider answer lost", "answer lost")
            raise OutcomeUnknown("no answer")
        if self.meets("provider", "provider hangs", 0.1):
            self._note_wire(call, "provider hangs", "hangs")
            await trio.sleep(60)
        await trio.sleep(random.choice((0.01, 0.1, 1.0)))
        return answer

    def _note_wire(self, call: str, kind: str, fault: str) -> None:
        self.history.note(f"provider {call}: {fault}", f"{call}: {fault}")
        self.strike(kind, PATH.get())

    def lag(self) -> timedelta:
        """How old a fetched state is."""
        lag_s = self._random["lag"].choice((5.0, 60.0, 600.0))
        if not self.meets("lag", "provider lags", 0.3):
            return timedelta(0)
        self._note_wire("fetch", "provider lags", f"the state {lag_s:.0f} s ago")
        return timedelta(seconds=lag_s)

    def hides(self, asked: datetime) -> bool:
        """Whether the remote side does not find yet what it has: that proves nothing, then."""
        plan = self.history.plan
        age = self.history.rail.now() - asked
        if plan.proves_absence or "provider finds late" not in plan.faults or age > _FOUND_AFTER:
            return False
        self._note_wire("fetch", "provider finds late", "not found yet")
        return True

    # -- the chain ---------------------------------------------------------------------------------

    def halt_s(self) -> tuple[float, float]:
        """From when to when the chain stands still."""
        return self._spans["chain halts"] if "chain halts" in self.history.plan.faults else (0, 0)

    def chain_lag(self) -> timedelta:
        """How far the endpoint that answers is behind."""
        lag_s = self._random["chain"].choice((30.0, 120.0, 900.0))
        if self.has("chain halts"):
            self.strike("chain halts", PATH.get())
        if not self.meets("chain", "chain lags", 0.2):
            return timedelta(0)
        self.strike("chain lags", PATH.get())
        return timedelta(seconds=lag_s)

    async def reorganise(self, chain: Chain, transfer: Transfer) -> None:
        """Perhaps undo the block of a transfer, before it is final."""
        if not self.meets("chain", "chain reorganises", 0.4):
            return
        await trio.sleep(BLOCK_S * 4)
        if transfer.state(chain.head_s) is ReceiptState.CONFIRMED or chain.is_halted:
            return
        self.strike("chain reorganises", "chain watch")
        if self._random["chain"].random() < 0.5:
            transfer.is_dropped = True
        else:
            transfer.time_s = chain.head_s + BLOCK_S
        self.history.note(f"the block of {transfer.id} is undone", "chain reorganises")

    # -- reports -----------------------------------------------------------------------------------

    def of_report(self, name: str, fact: object) -> list[float]:
        """After how many seconds each copy of a report begins its way; empty if it is lost."""
        network, path = self._random["network"], _matter_of(fact)
        if self.meets("network", "report lost", 0.3):
            self.history.note(f"report {name} is lost", "report lost")
            self.strike("report lost", path)
            return []
        copies = 1
        if self.meets("network", "report doubled", 0.4):
            self.strike("report doubled", path)
            copies = 3
        delays_s = []
        for _ in range(copies):
            is_late = self.meets("network", "report late", 0.3)
            if is_late:
                self.strike("report late", path)
            delays_s.append(network.uniform(0, 5000.0 if is_late else 1.0))
        return delays_s


def _matter_of(fact: object) -> str:
    if isinstance(fact, RefundSnapshot):
        return "refund report"
    return "dispute report" if isinstance(fact, Dispute) else "payment report"


def _in_words(answer: Any) -> str:
    reference = getattr(answer, "reference", None) or type(answer).__name__
    status = getattr(answer, "status", None) or getattr(answer, "state", None)
    return f"{reference} {status.value if status else ''}".strip()
