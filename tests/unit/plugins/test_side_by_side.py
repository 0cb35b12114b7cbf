"""Checks of the kit side by side: in order, never too many, and never judged for a neighbour."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
import trio
import trio.testing

from payd.plugins.testing import Check, Level, Outcome, Verdict
from payd.plugins.testing.side_by_side import AT_ONCE, Judgement, side_by_side


async def nothing(_bench: Any) -> None:
    await trio.lowlevel.checkpoint()


def check(name: str, *, alone: bool = False) -> Check:
    return Check(
        name=name,
        level=Level.BASIC,
        why="",
        run=nothing,
        applies=lambda _manifest, _provider: True,
        alone=alone,
    )


MANY = [check(f"check {number}") for number in range(3 * AT_ONCE)]


def judged(one: Check, outcome: Outcome, message: str = "", *, certain: bool = True) -> Judgement:
    verdict = Verdict(
        check=one.name, level=one.level, outcome=outcome, message=message, why="", seconds=0.0
    )
    return Judgement(verdict=verdict, is_certain=certain)


@attrs.define
class Runs:
    """Runs checks for a second each, and counts how many at once and how often."""

    judge: Callable[[Check, int], Judgement]
    running: set[str] = attrs.field(factory=set)
    most: int = 0
    times: Counter[str] = attrs.field(factory=Counter)
    neighbours: dict[str, int] = attrs.field(factory=dict)

    async def __call__(self, one: Check) -> Judgement:
        self.running.add(one.name)
        self.times[one.name] += 1
        self.most = max(self.most, len(self.running))
        await trio.sleep(1)
        self.neighbours[one.name] = len(self.running) - 1
        self.running.remove(one.name)
        return self.judge(one, self.neighbours[one.name])


def passes(one: Check, _neighbours: int) -> Judgement:
    return judged(one, Outcome.PASSED)


def run(checks: Sequence[Check], runs: Runs, **more: Any) -> tuple[list[str], list[Outcome]]:
    """The names in the order of the reports, and the outcomes in that of the checks."""
    reported: list[str] = []
    act = partial(
        side_by_side, checks, runs, on_verdict=lambda one: reported.append(one.check), **more
    )
    verdicts = trio.run(act, clock=trio.testing.MockClock(autojump_threshold=0))
    assert reported == [one.check for one in verdicts]
    return reported, [one.outcome for one in verdicts]


def test_every_check_runs_once_and_not_too_many_at_a_time() -> None:
    runs = Runs(passes)
    reported, outcomes = run(MANY, runs)
    assert reported == [one.name for one in MANY]
    assert set(outcomes) == {Outcome.PASSED}
    assert set(runs.times.values()) == {1}
    assert runs.most == AT_ONCE


def test_what_fails_only_beside_others_has_passed() -> None:
    def judge(one: Check, neighbours: int) -> Judgement:
        return judged(one, Outcome.FAILED if neighbours else Outcome.PASSED, certain=not neighbours)

    runs = Runs(judge)
    reported, outcomes = run(MANY, runs)
    assert reported == [one.name for one in MANY]
    assert set(outcomes) == {Outcome.PASSED}
    assert set(runs.neighbours.values()) == {0}


def test_what_fails_alone_has_failed_with_the_message_of_that_run() -> None:
    def judge(one: Check, neighbours: int) -> Judgement:
        if one is MANY[3]:
            return judged(one, Outcome.FAILED, f"{neighbours} neighbours", certain=False)
        return judged(one, Outcome.PASSED)

    runs = Runs(judge)
    verdicts: list[Verdict] = []
    act = partial(side_by_side, MANY, runs, on_verdict=verdicts.append)
    trio.run(act, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [one.check for one in verdicts if one.outcome is Outcome.FAILED] == [MANY[3].name]
    assert verdicts[3].message == "0 neighbours"
    assert runs.times.total() == len(MANY) + 1


def test_a_failure_that_no_neighbour_can_cause_is_not_run_again() -> None:
    runs = Runs(lambda one, _neighbours: judged(one, Outcome.FAILED))
    _, outcomes = run(MANY, runs)
    assert set(outcomes) == {Outcome.FAILED}
    assert runs.times.total() == len(MANY)


def test_a_check_that_wants_to_be_alone_has_no_neighbour() -> None:
    runs = Runs(passes)
    shy = check("shy", alone=True)
    reported, _ = run([MANY[0], shy, *MANY[1:]], runs)
    assert reported[1] == "shy"
    assert (runs.times["shy"], runs.neighbours["shy"]) == (1, 0)


def test_one_check_runs_once_whatever_its_outcome() -> None:
    runs = Runs(lambda one, _neighbours: judged(one, Outcome.FAILED, certain=False))
    assert run(MANY[:1], runs)[1] == [Outcome.FAILED]
    assert runs.times.total() == 1


def test_it_ends_after_enough_failures_and_knows_all_before_the_last() -> None:
    def judge(one: Check, _neighbours: int) -> Judgement:
        return judged(one, Outcome.FAILED if one is MANY[4] else Outcome.PASSED, certain=False)

    runs = Runs(judge)
    reported, outcomes = run(MANY, runs, failures_max=1)
    assert reported == [one.name for one in MANY[:5]]
    assert outcomes[-1] is Outcome.FAILED
    assert len(runs.times) < len(MANY)


def test_a_failure_beside_others_that_is_none_alone_ends_nothing() -> None:
    def judge(one: Check, neighbours: int) -> Judgement:
        return judged(one, Outcome.FAILED if neighbours else Outcome.PASSED, certain=not neighbours)

    reported, outcomes = run(MANY, Runs(judge), failures_max=1)
    assert len(reported) == len(MANY)
    assert set(outcomes) == {Outcome.PASSED}
