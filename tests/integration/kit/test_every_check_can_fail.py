"""Each check of the conformance kit, with a broken provider that fails it."""

import threading
from typing import Any

import pytest
import trio
from acme_provider.provider import AcmeProvider
from integration.kit.broken import manifest_of, open_acme
from integration.kit.broken_sponsors import BROKEN

from payd.plugins import ProviderManifest
from payd.plugins.testing import CHECKS, OpenRemote, Outcome, held, run_check
from payd.plugins.testing.checks import watch

BY_NAME = {check.name: check for check in CHECKS}


def test_each_has_one() -> None:
    assert {check for check, _, _ in BROKEN} == BY_NAME.keys()


@pytest.mark.parametrize(("name", "manifest", "remote"), BROKEN, ids=[one[0] for one in BROKEN])
def test_a_broken_provider_fails_it(
    name: str, manifest: ProviderManifest, remote: OpenRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is broken reports nothing, however long one waits.
    monkeypatch.setattr(watch, "STILL", 15)
    verdict = trio.run(run_check, BY_NAME[name], manifest, remote)
    # A check of the remote side itself has a broken one.
    assert verdict.outcome in (Outcome.FAILED, Outcome.REMOTE_MISTAKE), verdict
    assert verdict.message
    assert verdict.why


class NeverLetsGo(AcmeProvider):
    async def create(self, operation: Any) -> Any:
        threading.Event().wait()


def test_a_provider_that_blocks_the_event_loop_is_interrupted_and_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held, "HELD_MAX_S", 0.5)
    check = BY_NAME["an open object is found open"]
    verdict = trio.run(run_check, check, manifest_of(NeverLetsGo), open_acme)
    assert verdict.outcome is Outcome.FAILED
    assert "blocked the event loop" in verdict.message
