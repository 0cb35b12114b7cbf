"""`make simulate`: run many seeds, or tell the history of one in words."""

import argparse
import logging
import time

import structlog
from simulation.plan import plan_of
from simulation.search import Tally, check, shrink


def main() -> None:
    """Print each broken rule with its smallest history, and what happened how often."""
    parser = argparse.ArgumentParser(prog="make simulate")
    parser.add_argument("--seeds", type=int, default=100, help="number of seeds to run")
    parser.add_argument("--seed", type=int, help="print the history of this seed")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if arguments.seed is not None:
        result = check(plan_of(arguments.seed))
        print(result)
        raise SystemExit(bool(result.problems))
    raise SystemExit(_many(range(arguments.seeds)))


def _many(seeds: range) -> int:
    began, tally = time.process_time(), Tally()
    for seed in seeds:
        result = check(plan_of(seed))
        tally.add(result)
        if result.problems:
            print(f"seed {seed} breaks a rule; the smallest history that does:\n{shrink(result)}\n")
    cpu_s = time.process_time() - began
    print(
        f"{len(seeds)} seeds, {len(tally.broken)} of them break a rule; {tally.payments} payments "
        f"in {tally.lived_s / 86400:.0f} simulated days and {cpu_s:.0f} s of CPU: "
        f"{tally.payments / cpu_s:.0f} payments/s, {tally.lived_s / cpu_s:,.0f} x real time. "
        "It happened:"
    )
    for name, times in sorted(tally.sometimes.items()):
        print(f"{times:>8}  {name}")
    return min(len(tally.broken), 1)


if __name__ == "__main__":
    main()
