"""CI on a hosted runner: nothing that a test needs is missing there."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_ci_has_the_whole_history() -> None:
    """The test of two versions builds the previous one from a commit; without it, it skips."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    [job] = workflow["jobs"].values()
    [checkout] = [step for step in job["steps"] if "actions/checkout@" in step.get("uses", "")]
    assert checkout["with"]["fetch-depth"] == 0
