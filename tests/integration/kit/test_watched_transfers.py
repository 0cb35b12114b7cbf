"""A correct watch passes every check of its level: receipts, vanished money, its own cursor."""

from typing import Any

import pytest
import trio
from integration.kit.broken import manifest_of
from integration.kit.instant_watch import WatchedInstant, open_watched

from payd.plugins.testing import CHECKS, Level, Outcome, run_check


@pytest.mark.parametrize(
    "check", [one for one in CHECKS if one.level is Level.WATCH], ids=lambda one: one.name
)
def test_it_passes(check: Any) -> None:
    verdict = trio.run(run_check, check, manifest_of(WatchedInstant), open_watched)
    assert verdict.outcome is Outcome.PASSED, verdict
