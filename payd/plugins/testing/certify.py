"""The kit as pytest tests: `test_acme = conformance(MANIFEST, open_remote)`."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import trio

from payd.plugins import ProviderManifest
from payd.plugins.testing.registry import CHECKS, Check
from payd.plugins.testing.remote import OpenRemote
from payd.plugins.testing.report import UNPROVEN_HEADING, Outcome, Report, Verdict
from payd.plugins.testing.run import report_of, run_checks

_VERDICT = pytest.StashKey[tuple[ProviderManifest, Verdict]]()


def conformance(manifest: ProviderManifest, open_remote: OpenRemote) -> Callable[..., None]:
    """Build one test per check; a check that is not claimed is skipped.

    One that is unproven fails, unless `ProviderManifest.unproven` gives the reason. The first test
    runs the checks of all selected tests side by side; each of the others reports its verdict.
    """
    verdicts: dict[str, Verdict] = {}

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name.replace(" ", "_"))
    def test(check: Check, request: pytest.FixtureRequest) -> None:
        if check.name not in verdicts:
            checks = [one for one in _to_come(check, request) if one.name not in verdicts]
            run = partial(run_checks, failures_max=_failures_max(request.config))
            found = trio.run(run, checks, manifest, open_remote)
            verdicts.update({one.check: one for one in found})
        # A test that is run again runs its check again.
        verdict = verdicts.pop(check.name)
        request.node.stash[_VERDICT] = (manifest, verdict)
        match verdict.outcome:
            case Outcome.FAILED:
                pytest.fail(f"{verdict.message}\n{verdict.why}", pytrace=False)
            case Outcome.REMOTE_MISTAKE:
                pytest.fail(f"a mistake of the Remote: {verdict.message}", pytrace=False)
            case Outcome.UNPROVEN if verdict.is_red:
                pytest.fail(f"{verdict.message}\n{UNPROVEN_HEADING}", pytrace=False)
            case Outcome.UNPROVEN:
                pytest.skip(f"unproven: {verdict.reason}")
            case Outcome.NOT_CLAIMED:
                pytest.skip(verdict.message or "not claimed by this provider")

    return test


def _to_come(check: Check, request: pytest.FixtureRequest) -> Sequence[Check]:
    """The check of this test, and those of the tests after it, which run side by side with it.

    Under pytest-xdist any other worker may have those tests.
    """
    if hasattr(request.config, "workerinput"):
        return (check,)
    items = request.session.items
    after = items[items.index(request.node) + 1 :]
    later: list[Any] = [
        one.callspec.params["check"]
        for one in after
        if isinstance(one, pytest.Function)
        and one.function is request.function
        and one.get_closest_marker("skip") is None
    ]
    return (check, *later)


def _failures_max(config: pytest.Config) -> int | None:
    """After how many failures pytest stops: 1 with `-x`; None if it does not."""
    maxfail: int = config.getoption("maxfail")
    return maxfail or None


def reports_of(items: Iterable[pytest.Item]) -> list[Report]:
    """Build one report per provider from the tests that `conformance` made."""
    verdicts: dict[str, list[Verdict]] = {}
    manifests: dict[str, ProviderManifest] = {}
    for item in items:
        if (found := item.stash.get(_VERDICT, None)) is not None:
            manifest, verdict = found
            manifests[manifest.name] = manifest
            verdicts.setdefault(manifest.name, []).append(verdict)
    now = datetime.now(UTC)
    return [report_of(manifests[name], found, now) for name, found in verdicts.items()]
