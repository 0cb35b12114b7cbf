"""Providers that use payd's helpers or access tokens as they should are not accused."""

from typing import Any

import pytest
import trio
from integration.kit.broken import manifest_of, open_acme
from integration.kit.remotes import (
    PacedAcme,
    TokenAcme,
    TokenRemote,
    open_tokens,
    opening_tokens,
)

from payd.plugins import NotAttempted
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


class TokensFailToo(TokenRemote):
    """Its faults meet the token endpoint as well."""

    def issue(self) -> str:
        if self._acme.fault in ("lost_answer", "server_error", "garbage"):
            raise NotAttempted(f"token request: {self._acme.fault}")
        return super().issue()


class AsksForATokenFirst(TokenAcme):
    async def with_token(self, call: Any, *arguments: Any) -> Any:
        if self.token == "none yet":
            await self.renew(self.token)
        return await super().with_token(call, *arguments)


@pytest.mark.parametrize(
    "check",
    [
        "a lost response is unknown and done once",
        "an object whose response was lost is found",
        "a server error is unknown",
        "an unreadable response is unknown",
    ],
)
def test_a_provider_whose_token_request_meets_the_fault_passes(check: str) -> None:
    manifest, remote = manifest_of(AsksForATokenFirst), opening_tokens(TokensFailToo)
    [one] = [one for one in RESILIENCE if one.name == check]
    verdict = trio.run(run_check, one, manifest, remote)
    assert verdict.outcome is Outcome.PASSED, verdict
