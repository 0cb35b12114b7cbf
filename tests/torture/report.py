"""The report of one torture: faults, calls, payments, daemons, resources, and what is wrong."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import attrs
from torture.nemesis import Struck
from torture.record import Record
from torture.resources import Sample
from torture.seats import Seat

#: So many rows show the course of the resources.
_COURSE_ROWS = 8


@attrs.frozen(kw_only=True)
class Report:
    """What happened, and every rule that is broken."""

    seed: int
    seconds: float
    settle_s: float
    record: Record
    struck: Sequence[Struck]
    seats: Sequence[Seat]
    samples: Sequence[Sample]
    #: How payments ended, by kind.
    ends: Counter[tuple[str, str]]
    messages: int
    repeated_messages: int
    not_done: Sequence[str]
    problems: Sequence[str]

    def __str__(self) -> str:
        """The whole report, for a terminal."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        deals = self.record.deals
        yield (
            f"seed {self.seed}: {len(self.struck)} faults in {self.seconds:.0f} s, "
            f"{len(deals)} payments; at rest {self.settle_s:.0f} s after the last fault"
        )
        yield "\nfault                 target                 times  longest pause of payments, s"
        yield from self._faults()
        yield "\npayments                          ended as     number"
        for (kind, status), number in sorted(self.ends.items()):
            yield f"{kind:<33} {status:<12} {number:>6}"
        yield "\ncalls"
        for call, number in sorted(self.record.calls.items()):
            yield f"{number:>8}  {call}"
        yield (
            f"\nevents in the stream: {self.messages}, "
            f"{self.repeated_messages} of them again with the same id"
        )
        yield "\ndaemon  ended"
        for seat in self.seats:
            ends = ", ".join(f"{n} x {code}" for code, n in sorted(seat.endings.items()))
            yield f"{seat.name:<7} {ends or '-'}"
        yield "\ndaemon   second  RSS, MiB  CPU, s  open files  threads"
        for seat in self.seats:
            yield from self._course(seat.name)
        yield from (f"\nnot done on this machine: {text}" for text in self.not_done)
        yield f"\n{len(self.problems)} problems"
        yield from self.problems

    def _faults(self) -> Iterator[str]:
        counts = Counter((one.fault.kind, one.fault.target) for one in self.struck)
        for (kind, target), number in sorted(counts.items(), key=lambda item: item[0][::-1]):
            mine = [s for s in self.struck if (s.fault.kind, s.fault.target) == (kind, target)]
            longest_s = max(self._pause_during(one) for one in mine)
            yield f"{kind:<21} {target:<22} {number:>5}  {longest_s:>8.1f}"

    def _pause_during(self, struck: Struck) -> float:
        """Longest time without a new payment that overlaps with the fault."""
        times = self.record.successes
        pauses = pairwise(times)
        return max(
            (b - a for a, b in pauses if b > struck.began_s and a < struck.ended_s), default=0.0
        )

    def _course(self, name: str) -> Iterator[str]:
        mine = [sample for sample in self.samples if sample.seat == name]
        for sample in mine[:: max(1, len(mine) // _COURSE_ROWS)]:
            yield (
                f"{name:<7} {sample.second:>7.0f} {sample.rss_mib:>9.1f} {sample.cpu_s:>7.1f} "
                f"{sample.open_files:>11} {sample.threads:>8}"
            )
