"""`make simulate`: run many seeds, tell the history of one in words, or search planted defects."""

import argparse
import logging
import time
from concurrent.futures import ProcessPoolExecutor

import attrs
import pytest
import structlog
from simulation.defects import DEFECTS
from simulation.faults import PATHS
from simulation.plan import plan_of
from simulation.search import Tally, check, count, shrink

#: Seeds that a process runs at once, and after how many the progress is printed.
_AT_ONCE = 20
_PROGRESS = 500


def main() -> None:
    """Print each broken rule with its smallest history, and what happened how often."""
    parser = argparse.ArgumentParser(prog="make simulate")
    parser.add_argument("--seeds", type=int, default=100, help="number of seeds to run")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--seed", type=int, help="print the history of this seed")
    parser.add_argument("--defects", action="store_true", help="search every planted defect")
    arguments = parser.parse_args()
    _log_nothing()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    if arguments.seed is not None:
        result = check(plan_of(arguments.seed))
        print(result)
        raise SystemExit(bool(result.problems))
    raise SystemExit(_search_defects(seeds) if arguments.defects else _many(seeds))


@attrs.frozen
class _Part:
    """What some of the seeds led to, as one process hands it to another."""

    seeds: int
    #: Without the broken histories, which stay where they were run.
    tally: Tally
    #: The smallest history for each seed that breaks a rule.
    broken: tuple[str, ...]
    cpu_s: float


def _run_part(seeds: range) -> _Part:
    began, tally = time.process_time(), count(seeds)
    broken = tuple(
        f"seed {result.plan.seed} breaks a rule; the smallest history that does:\n{shrink(result)}"
        for result in tally.broken
    )
    tally.broken.clear()
    return _Part(len(seeds), tally, broken, time.process_time() - began)


def _many(seeds: range) -> int:
    """Run the seeds on all processors; after Ctrl-C, report those that were run."""
    done, broken, cpu_s, tally = 0, 0, 0.0, Tally()
    parts = [seeds[first : first + _AT_ONCE] for first in range(0, len(seeds), _AT_ONCE)]
    with ProcessPoolExecutor(initializer=_log_nothing) as processes:
        try:
            for part in processes.map(_run_part, parts):
                tally.merge(part.tally)
                done, broken = done + part.seeds, broken + len(part.broken)
                cpu_s += part.cpu_s
                for text in part.broken:
                    print(f"{text}\n", flush=True)
                if done % _PROGRESS == 0:
                    print(f"{done} of {len(seeds)} seeds, {broken} break a rule", flush=True)
        except KeyboardInterrupt:
            processes.shutdown(cancel_futures=True)
    _report(done, broken, cpu_s, tally)
    return min(broken, 1)


def _report(done: int, broken: int, cpu_s: float, tally: Tally) -> None:
    print(
        f"{done} seeds, {broken} of them break a rule; {tally.payments} payments "
        f"in {tally.lived_s / 86400:.0f} simulated days and {cpu_s:.0f} s of CPU: "
        f"{tally.payments / cpu_s:.0f} payments/s, {tally.lived_s / cpu_s:,.0f} x real time. "
        "It happened:"
    )
    for name, times in sorted(tally.sometimes.items()):
        print(f"{times:>8}  {name}")
    print("Faults, and how often each one struck which path:")
    for fault, paths in PATHS.items():
        cells = ", ".join(f"{path} {tally.struck[fault, path]}" for path in paths)
        print(f"  {fault}: {cells}")


def _log_nothing() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _search_defects(seeds: range) -> int:
    """Print for each defect the first seed that finds it, the checker, and the smallest history."""
    missed = 0
    for plant, (_, rule) in DEFECTS.items():
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            results = (check(plan_of(seed)) for seed in seeds)
            found = next((one for one in results if rule in one.rules), None)
            if found is None:
                missed += 1
                print(f"{plant.__name__}: not found", flush=True)
                continue
            smallest = shrink(found)
        plan, history = smallest.plan, smallest.history
        lines = len(history.lines) if history else 0
        print(
            f"{plant.__name__}: seed {found.plan.seed}, {rule}; smallest: {len(plan.buyers)} "
            f"buyers, {plan.daemons} daemons, {len(plan.faults)} faults, {lines} lines",
            flush=True,
        )
    return min(missed, 1)


if __name__ == "__main__":
    main()
