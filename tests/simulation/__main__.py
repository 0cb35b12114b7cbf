"""`make simulate`: run many seeds, or tell the history of one in words."""

import argparse
import logging
import time
from collections import Counter

import structlog
from simulation.plan import plan_of
from simulation.search import check, shrink


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
    began, sometimes, broken = time.monotonic(), Counter[str](), 0
    for seed in seeds:
        result = check(plan_of(seed))
        sometimes += result.sometimes
        if result.problems:
            broken += 1
            print(f"seed {seed} breaks a rule; the smallest history that does:\n{shrink(result)}\n")
    seconds = time.monotonic() - began
    print(f"{len(seeds)} seeds in {seconds:.0f} s, {broken} of them break a rule; it happened:")
    for name, count in sorted(sometimes.items()):
        print(f"{count:>8}  {name}")
    return min(broken, 1)


if __name__ == "__main__":
    main()
