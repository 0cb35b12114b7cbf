"""The conformance kit's checks, each with a provider that breaks it: none of them is an ornament."""

import pytest
import trio
from integration.kit.broken import BROKEN

from payd.plugins.testing import CHECKS, Check, Outcome, run_check


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_broken_provider_fails_it(check: Check) -> None:
    verdict = trio.run(run_check, check, *BROKEN[check.name])
    assert verdict.outcome is Outcome.FAILED, verdict
    assert verdict.message
    assert verdict.why
