"""A correct watch passes every check of its level: receipts, vanished money, its own cursor."""

import trio
from integration.kit.broken import manifest_of
from integration.kit.instant_watch import WatchedInstant, open_watched

from payd.plugins.testing import CHECKS, Level, Outcome
from payd.plugins.testing.run import run_checks


def test_it_passes() -> None:
    checks = [one for one in CHECKS if one.level is Level.WATCH]
    verdicts = trio.run(run_checks, checks, manifest_of(WatchedInstant), open_watched)
    assert {one.outcome for one in verdicts} == {Outcome.PASSED}, verdicts
