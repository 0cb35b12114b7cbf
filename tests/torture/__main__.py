"""`make torture`: minutes of payments under random faults, and a report."""

import argparse
import random
import tempfile
from pathlib import Path

from tempo_provider.companion.anvil import find_anvil
from torture.run import torture

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="make torture")
    parser.add_argument("--minutes", type=float, default=60, help="how long faults strike")
    parser.add_argument("--seed", type=int, help="decides which faults strike, and in which order")
    parser.add_argument("--daemons", type=int, default=2, help="daemons that share the work")
    parser.add_argument("--buyers", type=int, default=6, help="callers at once")
    arguments = parser.parse_args()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {seed}, {arguments.minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory(prefix="payd-torture-", ignore_cleanup_errors=True) as folder:
        report = torture(
            Path(folder),
            find_anvil(ROOT / ".payd" / "cache" / "tempo"),
            seconds=arguments.minutes * 60,
            seed=seed,
            daemons=arguments.daemons,
            buyers=arguments.buyers,
        )
    print(report)
    raise SystemExit(bool(report.problems))


if __name__ == "__main__":
    main()
