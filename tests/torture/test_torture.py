"""Payments while real servers break: five minutes of `make torture`."""

from pathlib import Path

import pytest
from torture.run import torture


@pytest.mark.campaign
def test_nothing_is_lost_and_nothing_happens_twice_while_everything_breaks(
    tmp_path: Path, anvil: Path
) -> None:
    report = torture(tmp_path, anvil, seconds=300, seed=1)
    assert not report.problems, str(report)
