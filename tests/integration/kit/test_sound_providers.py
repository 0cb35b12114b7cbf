"""Providers that use payd's helpers or access tokens as they should are not accused."""

from typing import Any

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
from payd.plugins.testing import CHECKS, Level, Outcome
from payd.plugins.testing.run import run_checks

RESILIENCE = [one for one in CHECKS if one.level is Level.RESILIENCE]


def test_a_provider_that_paces_itself_passes() -> None:
    verdicts = trio.run(run_checks, RESILIENCE, manifest_of(PacedAcme), open_acme)
    fine = (Outcome.PASSED, Outcome.NOT_CLAIMED)
    assert not [one for one in verdicts if one.outcome not in fine]
    assert any(one.outcome is Outcome.PASSED for one in verdicts)


def test_a_provider_that_replaces_its_token_passes() -> None:
    of_tokens = [one for one in RESILIENCE if "token" in one.name]
    verdicts = trio.run(run_checks, of_tokens, manifest_of(TokenAcme), open_tokens)
    assert {one.outcome for one in verdicts} == {Outcome.PASSED}, verdicts


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


def test_a_provider_whose_token_request_meets_the_fault_passes() -> None:
    names = (
        "a lost response is unknown and done once",
        "an object whose response was lost is found",
        "a server error is unknown",
        "an unreadable response is unknown",
    )
    checks = [one for one in RESILIENCE if one.name in names]
    manifest, remote = manifest_of(AsksForATokenFirst), opening_tokens(TokensFailToo)
    verdicts = trio.run(run_checks, checks, manifest, remote)
    assert [one.outcome for one in verdicts] == [Outcome.PASSED] * len(names), verdicts
