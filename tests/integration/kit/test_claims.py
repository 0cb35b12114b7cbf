"""An unproven check is red, unless the manifest says why; a reason that is out of date is red."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import trio
from acme_provider import MANIFEST
from acme_provider.conformance import AcmeRemote
from acme_provider.conformance import open_remote as open_acme
from integration.kit.remotes import opening

from payd.plugins.testing import CHECKS, BenchClock, NotScripted, Outcome, Remote, conformance
from payd.plugins.testing.report import Verdict, from_json
from payd.plugins.testing.run import START, claimed, report_of, run_check

BY_NAME = {check.name: check for check in CHECKS}
CHECK = "overpayments are reported exactly"
REASON = "the fake of the bank takes exact amounts only"


class TakesNoExcess(AcmeRemote):
    async def pay(self, ref: Any, amount: int) -> None:
        raise NotScripted("this fake takes no excess")


@asynccontextmanager
async def open_strict(clock: BenchClock) -> AsyncIterator[Remote]:
    async with open_acme(clock) as usual:
        yield TakesNoExcess(usual._acme)  # type: ignore[attr-defined]  # that of Acme


def verdict_of(unproven: Mapping[str, str], open_remote: Any, check: str = CHECK) -> Verdict:
    manifest = attrs.evolve(MANIFEST, unproven=unproven)
    return trio.run(run_check, BY_NAME[check], manifest, open_remote)


def as_pytest(unproven: Mapping[str, str], open_remote: Any) -> None:
    """Run one check as pytest does."""
    manifest = attrs.evolve(MANIFEST, unproven=unproven)
    node = SimpleNamespace(stash=pytest.Stash())
    request: Any = SimpleNamespace(
        node=node,
        session=SimpleNamespace(items=[node]),
        config=SimpleNamespace(getoption=lambda _name: 0),
    )
    conformance(manifest, open_remote)(BY_NAME[CHECK], request)


def test_without_a_reason_pytest_is_red_and_says_what_to_do() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"takes no excess\n.*script it in the Remote"):
        as_pytest({}, open_strict)


def test_with_a_reason_it_is_skipped() -> None:
    with pytest.raises(pytest.skip.Exception, match=REASON):
        as_pytest({CHECK: REASON}, open_strict)


def test_a_reason_explains_a_mistake_of_the_remote_side_too() -> None:
    class CountsNothing(AcmeRemote):
        async def requests(self) -> int:
            return 7

    name = "the remote side counts what happens"
    assert verdict_of({}, opening(CountsNothing), name).outcome is Outcome.REMOTE_MISTAKE
    verdict = verdict_of({name: REASON}, opening(CountsNothing), name)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNPROVEN, REASON)


def test_a_reason_for_a_check_that_passes_is_red() -> None:
    with pytest.raises(pytest.fail.Exception, match="but it is passed: remove it there"):
        as_pytest({CHECK: REASON}, open_acme)


def test_a_reason_for_an_unclaimed_check_is_red() -> None:
    watch = "a watch reports what was paid"
    verdict = verdict_of({watch: REASON}, open_acme, watch)
    assert (verdict.outcome, "not claimed" in verdict.message) == (Outcome.FAILED, True)


def test_a_reason_for_a_check_that_does_not_exist_is_red() -> None:
    verdict = verdict_of({"no such check": REASON}, open_acme, "the manifest is valid")
    assert (verdict.outcome, "'no such check'" in verdict.message) == (Outcome.FAILED, True)


@pytest.mark.parametrize("unproven", [{CHECK: ""}, [CHECK], {CHECK: 1}, {1: "x"}])
def test_reasons_that_are_no_text_make_the_manifest_invalid(unproven: Any) -> None:
    verdict = verdict_of(unproven, open_acme, "the manifest is valid")
    assert (verdict.outcome, "its unproven is not" in verdict.message) == (Outcome.FAILED, True)


def test_the_report_shows_the_reason_and_keeps_it() -> None:
    passed = verdict_of({}, open_acme)
    report = report_of(MANIFEST, [passed, verdict_of({CHECK: REASON}, open_strict)], START)
    assert report.passed
    said = report.as_text()
    assert f"Unproven, as the manifest says\n  {CHECK}: {REASON}" in said
    assert report.as_json()["levels"]["basic"] == "unproven"
    assert from_json(report.as_json()) == report

    bare = report_of(MANIFEST, [passed, verdict_of({}, open_strict)], START)
    assert not bare.passed
    assert f"ProviderManifest.unproven\n  {CHECK}: this fake takes no excess" in bare.as_text()


def test_what_is_claimed_is_found_once_and_the_rest_opens_nothing() -> None:
    watch = BY_NAME["a watch reports what was paid"]
    claims = trio.run(claimed, MANIFEST, open_acme)
    assert claims is not None
    assert CHECK in claims
    assert watch.name not in claims

    def open_remote(clock: BenchClock) -> Any:
        raise AssertionError("opened")

    verdict = trio.run(run_check, watch, MANIFEST, open_remote, claims)
    assert verdict.outcome is Outcome.NOT_CLAIMED
    assert trio.run(claimed, MANIFEST, open_remote) is None


def test_the_document_marks_what_is_declared_impossible() -> None:
    impossible = verdict_of({}, open_acme, "money in another asset does not count")
    passed = verdict_of({}, open_acme)
    checks = report_of(MANIFEST, [impossible, passed], START).as_json()["checks"]
    assert [one["declared_impossible"] for one in checks] == [True, False]
    assert checks[0]["message"] == "a charge can be paid in its currency only"
