"""The kit runs a watch as payd does: it starts it again, and says what ended it."""

from typing import Any

import pytest
import trio
from acme_provider.conformance import AcmeRemote
from integration.kit.broken import manifest_of, open_acme
from integration.kit.polling import Polling
from integration.kit.remotes import opening

from payd.plugins import NotAttempted
from payd.plugins.testing import CHECKS, Outcome, run_check
from payd.plugins.testing.checks import watch

BY_NAME = {check.name: check for check in CHECKS}


class Watched(AcmeRemote):
    needs_watch = True


class EndsOnce(Polling):
    """Its first run meets a fault."""

    has_ended = False

    async def watch(self, sink: Any, *, task_status: Any) -> None:
        if not self.has_ended:
            self.has_ended = True
            raise NotAttempted("the remote side is away")
        await super().watch(sink, task_status=task_status)


class EndsAlways(Polling):
    async def watch(self, sink: Any, *, task_status: Any) -> None:
        raise ValueError("no block of this height")


def test_an_error_ends_one_run_and_the_next_one_reports() -> None:
    check = BY_NAME["all reports make the payment that was paid"]
    verdict = trio.run(run_check, check, manifest_of(EndsOnce), opening(Watched))
    assert verdict.outcome is Outcome.PASSED, verdict


def test_a_failure_says_what_ended_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "STILL", 15)
    check = BY_NAME["a watch reports what was paid"]
    verdict = trio.run(run_check, check, manifest_of(EndsAlways), open_acme)
    assert verdict.outcome is Outcome.FAILED
    assert "(the watch ended" in verdict.message
    assert "test_restarted_watches.py" in verdict.message
    assert "no block of this height" in verdict.message


def test_a_failure_of_a_provider_whose_watch_ran_on_says_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "STILL", 15)

    class NeverReports(Polling):
        async def watch(self, sink: Any, *, task_status: Any) -> None:
            await trio.sleep_forever()

    check = BY_NAME["a watch reports what was paid"]
    verdict = trio.run(run_check, check, manifest_of(NeverReports), open_acme)
    assert verdict.outcome is Outcome.FAILED
    assert "the watch ended" not in verdict.message
