"""Strikes the world with faults, every few seconds, and mends each one a while later."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import attrs
from support.waiting import PATIENCE_S
from torture.faults import Fault, faults_of
from torture.world import World

T = TypeVar("T")

_PAUSE_S = 2.5


@attrs.frozen(kw_only=True)
class Struck:
    """One fault that has happened."""

    fault: Fault
    began_s: float
    ended_s: float


@attrs.define
class Nemesis:
    """The faults of one torture, in an order that its seed decides."""

    world: World
    seeded: random.Random
    struck: list[Struck] = attrs.field(factory=list)
    counts: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    problems: list[str] = attrs.field(factory=list)
    _active: set[str] = attrs.field(factory=set)
    _threads: list[threading.Thread] = attrs.field(factory=list)
    _mend_now: threading.Event = attrs.field(factory=threading.Event)

    def rage(self, seconds: float) -> None:
        """Break and mend for so long; return when everything is mended."""
        until = time.monotonic() + seconds
        waiting: list[Fault] = []
        while time.monotonic() < until:
            # Every kind once before any comes again.
            if not waiting:
                waiting = faults_of(self.world)
                self.seeded.shuffle(waiting)
            free = [fault for fault in waiting if fault.target not in self._active]
            if free:
                waiting.remove(free[0])
                self._strike(free[0])
            time.sleep(_PAUSE_S * self.seeded.uniform(0.4, 1.6))
        self._mend_now.set()
        for thread in self._threads:
            thread.join()

    def _strike(self, fault: Fault) -> None:
        self._active.add(fault.target)
        self.counts[fault.kind, fault.target] += 1
        seconds = fault.lasts_s * self.seeded.uniform(0.3, 1.7)
        strikes = random.Random(self.seeded.random())
        thread = threading.Thread(target=self._suffer, args=(fault, strikes, seconds))
        self._threads.append(thread)
        thread.start()

    def _suffer(self, fault: Fault, seeded: random.Random, seconds: float) -> None:
        began_s = time.monotonic()
        mend = self._at_last(fault, partial(fault.strike, seeded))
        self._mend_now.wait(seconds)
        if mend:
            self._at_last(fault, mend)
        self.struck.append(Struck(fault=fault, began_s=began_s, ended_s=time.monotonic()))
        self._active.discard(fault.target)

    def _at_last(self, fault: Fault, act: Callable[[], T]) -> T | None:
        """Do it again while another fault keeps it from being done."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return act()
            except Exception as error:  # noqa: BLE001 - any server may be away
                if time.monotonic() > until:
                    self.problems.append(f"{fault.kind} of {fault.target}: {error!r}")
                    return None
                time.sleep(0.2)
