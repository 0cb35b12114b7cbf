"""The kit as pytest tests: `test_acme = conformance(MANIFEST, open_remote)`."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache

import pytest
import trio

from payd.plugins import ProviderManifest
from payd.plugins.testing.bench import OpenRemote
from payd.plugins.testing.registry import CHECKS, Check
from payd.plugins.testing.report import UNPROVEN_HEADING, Outcome, Report, Verdict
from payd.plugins.testing.run import claimed, report_of, run_check

_VERDICT = pytest.StashKey[tuple[ProviderManifest, Verdict]]()


def conformance(manifest: ProviderManifest, open_remote: OpenRemote) -> Callable[..., None]:
    """Build one test per check; a check that is not claimed is skipped.

    One that is unproven fails, unless `ProviderManifest.unproven` gives the reason.
    """

    claims = cache(lambda: trio.run(claimed, manifest, open_remote))

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name.replace(" ", "_"))
    def test(check: Check, request: pytest.FixtureRequest) -> None:
        verdict = trio.run(run_check, check, manifest, open_remote, claims())
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
