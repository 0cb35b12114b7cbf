"""Search seeds for broken rules, and make a history that breaks one as small as possible."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import attrs
from simulation.checkers import problems
from simulation.history import History
from simulation.plan import Plan, plan_of
from simulation.world import run


@attrs.frozen
class Result:
    """What a plan led to. Without a history it ended in an error."""

    plan: Plan
    problems: Sequence[str]
    history: History | None = None

    @property
    def rules(self) -> frozenset[str]:
        """The names of the broken rules."""
        return frozenset(text.partition(":")[0] for text in self.problems)

    @property
    def sometimes(self) -> Counter[str]:
        """How often interesting things happened."""
        return self.history.sometimes if self.history else Counter()

    def __str__(self) -> str:
        lines = self.history.lines if self.history else []
        repeat = f"make simulate SEED={self.plan.seed}"
        return "\n".join((str(self.plan), *lines, *self.problems, f"Repeat it: {repeat}"))


@attrs.define
class Tally:
    """What many seeds led to."""

    #: The histories that break a rule.
    broken: list[Result] = attrs.field(factory=list)
    sometimes: Counter[str] = attrs.field(factory=Counter)
    faults: set[str] = attrs.field(factory=set)
    struck: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    payments: int = 0
    #: Seconds of virtual time.
    lived_s: float = 0.0

    def add(self, result: Result) -> None:
        """Count a history, and keep it if it breaks a rule."""
        if result.problems:
            self.broken.append(result)
        self.sometimes += result.sometimes
        self.faults |= result.plan.faults
        if result.history is not None:
            self.struck += result.history.struck
            self.payments += len(result.history.store.all())
            self.lived_s += result.history.lived_s

    def merge(self, other: "Tally") -> None:
        """Count what other seeds led to, too."""
        self.broken += other.broken
        self.sometimes += other.sometimes
        self.faults |= other.faults
        self.struck += other.struck
        self.payments += other.payments
        self.lived_s += other.lived_s


def count(seeds: Iterable[int]) -> Tally:
    """Run and check the plan of each seed."""
    tally = Tally()
    for seed in seeds:
        tally.add(check(plan_of(seed)))
    return tally


def check(plan: Plan) -> Result:
    """Run a plan and check it."""
    try:
        history = run(plan)
    except Exception as error:  # noqa: BLE001 - any error is a finding
        return Result(plan, [f"error: {_innermost(error)!r}"])
    return Result(plan, problems(history), history)


def shrink(result: Result) -> Result:
    """The smallest plan that is found by leaving parts out and breaks one of the same rules."""
    while True:
        smaller = (check(plan) for plan in _smaller(result.plan))
        found = next((one for one in smaller if one.rules & result.rules), None)
        if found is None:
            return result
        result = found


def _smaller(plan: Plan) -> Iterator[Plan]:
    half = len(plan.buyers) // 2
    if half:
        yield attrs.evolve(plan, buyers=plan.buyers[:half])
        yield attrs.evolve(plan, buyers=plan.buyers[half:])
    for buyer in plan.buyers if half else ():
        yield attrs.evolve(plan, buyers=tuple(one for one in plan.buyers if one != buyer))
    for fault in sorted(plan.faults):
        yield attrs.evolve(plan, faults=plan.faults - {fault})
    if plan.daemons > 1:
        yield attrs.evolve(plan, daemons=plan.daemons - 1)
    for number, buyer in enumerate(plan.buyers):
        simpler = attrs.evolve(buyer, slow_s=0.0, cancel_s=None, refunds=buyer.refunds[:1])
        if simpler != buyer:
            others = plan.buyers
            yield attrs.evolve(plan, buyers=(*others[:number], simpler, *others[number + 1 :]))


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
