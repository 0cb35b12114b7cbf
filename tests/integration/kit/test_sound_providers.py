"""Providers that use payd's helpers or access tokens as they should are not accused."""

import pytest
import trio
from integration.kit.broken import manifest_of, open_acme
from integration.kit.remotes import PacedAcme, TokenAcme, open_tokens

from payd.plugins.testing import CHECKS, Check, Level, Outcome, run_check

RESILIENCE = [one for one in CHECKS if one.level is Level.RESILIENCE]


@pytest.mark.parametrize("check", RESILIENCE, ids=lambda check: check.name)
def test_a_provider_that_paces_itself_passes(check: Check) -> None:
    verdict = trio.run(run_check, check, manifest_of(PacedAcme), open_acme)
    assert verdict.outcome in (Outcome.PASSED, Outcome.NOT_CLAIMED), verdict


@pytest.mark.parametrize(
    "check", [one for one in RESILIENCE if "token" in one.name], ids=lambda check: check.name
)
def test_a_provider_that_replaces_its_token_passes(check: Check) -> None:
    verdict = trio.run(run_check, check, manifest_of(TokenAcme), open_tokens)
    assert verdict.outcome is Outcome.PASSED, verdict
