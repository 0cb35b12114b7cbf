"""A remote side that takes the whole only hides no wrong amount behind CannotHappen."""

from typing import Any

import attrs
import pytest
import trio
from acme_provider.conformance import AcmeRemote
from acme_provider.provider import AcmeProvider
from integration.kit.broken import manifest_of
from integration.kit.remotes import opening

from payd.plugins import Money
from payd.plugins.testing import CHECKS, CannotHappen, NotScripted, Outcome, run_check
from payd.plugins.testing.report import Verdict
from payd.plugins.testing.run import START, report_of, run_checks

BY_NAME = {check.name: check for check in CHECKS}
PAID = "a paid object is found paid"
PARTS = "partial payments are reported exactly"
CHECKED = (
    PAID,
    "a scan reports what webhooks missed",
    "all reports make the payment that was paid",
    "an authentic webhook is accepted",
    "the same refund twice is one refund",
)


class TakesTheWhole(AcmeRemote):
    """A card: it is charged with what the object asks for, and nothing else."""

    async def pay(self, ref: Any, amount: int) -> None:
        if await super().asks_for(ref) != amount:
            raise CannotHappen("a card is charged with the whole amount")
        await super().pay(ref, amount)


class SaysNothing(TakesTheWhole):
    async def asks_for(self, ref: Any) -> int:
        raise NotScripted("it does not say what it asks for")


class AsksForAHundredTimes(AcmeProvider):
    async def create(self, operation: Any) -> Any:
        minor_units = operation.amount.minor_units * 100
        more = Money(currency_code=operation.amount.currency_code, minor_units=minor_units)
        return await super().create(attrs.evolve(operation, amount=more))


def verdict_of(check: str, provider: type, remote: type[AcmeRemote]) -> Verdict:
    return trio.run(run_check, BY_NAME[check], manifest_of(provider), opening(remote))


def test_an_object_that_asks_for_another_amount_fails() -> None:
    for check in CHECKED:
        verdict = verdict_of(check, AsksForAHundredTimes, TakesTheWhole)
        assert verdict.outcome is Outcome.FAILED, verdict
        assert "14900 are due, but the object asks the customer for 1490000" in verdict.message


def test_where_the_remote_does_not_say_it_is_red_as_well() -> None:
    verdict = verdict_of(PAID, AsksForAHundredTimes, SaysNothing)
    assert verdict.outcome is Outcome.REMOTE_MISTAKE, verdict
    assert "Remote.pay of 14900, exactly what is due, raised CannotHappen" in verdict.message


@pytest.mark.parametrize("remote", [TakesTheWhole, SaysNothing])
def test_a_right_provider_passes(remote: type[AcmeRemote]) -> None:
    checks = [BY_NAME[name] for name in CHECKED]
    verdicts = trio.run(run_checks, checks, manifest_of(AcmeProvider), opening(remote))
    assert {one.outcome for one in verdicts} == {Outcome.PASSED}, verdicts


def test_parts_do_not_apply_there_and_the_level_does_not_look_unclaimed() -> None:
    verdict = verdict_of(PARTS, AcmeProvider, TakesTheWhole)
    assert (verdict.outcome, verdict.is_ruled_out) == (Outcome.NOT_CLAIMED, True), verdict
    said = report_of(manifest_of(AcmeProvider), [verdict], START).as_text()
    assert "basic      none applies, 1 declared impossible" in said
