"""A failed check says what was expected and what came, also where payd's own rules refuse."""

from typing import Any

import attrs
import trio
from acme_provider.provider import AcmeProvider
from integration.kit.broken import manifest_of, open_acme

from payd.plugins import OutcomeUnknown
from payd.plugins.testing import CHECKS, Outcome, run_check

BY_NAME = {check.name: check for check in CHECKS}


class NeverConfirms(AcmeProvider):
    """Everything that was received stays unfinal."""

    async def fetch(self, ref: Any) -> Any:
        found: Any = await super().fetch(ref)
        return attrs.evolve(found, snapshot=attrs.evolve(found.snapshot, confirmed=0))

    def translate(self, event: Any) -> Any:
        said: Any = super().translate(event)
        return [attrs.evolve(one, fact=attrs.evolve(one.fact, confirmed=0)) for one in said]


class CreatesNothing(AcmeProvider):
    async def create(self, operation: Any) -> Any:
        raise OutcomeUnknown("no answer")


def message_of(check: str, provider: type) -> str:
    verdict = trio.run(run_check, BY_NAME[check], manifest_of(provider), open_acme)
    assert verdict.outcome is Outcome.FAILED, verdict
    return verdict.message


def test_a_refund_that_payd_refuses_says_what_payd_knows() -> None:
    said = message_of("a refund of payd is the same by every channel", NeverConfirms)
    assert said.startswith(
        "14900 of 14900 were paid, expected to be refundable; but by all reports"
    )
    assert "with confirmed 0, and payd refuses to refund 14900" in said


def test_an_error_that_nothing_caused_says_of_which_call() -> None:
    said = message_of("an open object is found open", CreatesNothing)
    assert said == (
        "create of 14900 units of USD raised OutcomeUnknown: no answer; expected a result"
    )
