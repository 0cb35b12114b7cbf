"""The conformance kit's checks, each with a provider that breaks it: none of them is an ornament."""

import pytest
import trio
from integration.kit.broken import BROKEN

from payd.plugins import ProviderManifest
from payd.plugins.testing import CHECKS, OpenRemote, Outcome, run_check

BY_NAME = {check.name: check for check in CHECKS}


def test_each_has_one() -> None:
    assert {check for check, _, _ in BROKEN} == BY_NAME.keys()


@pytest.mark.parametrize(("name", "manifest", "remote"), BROKEN, ids=[one[0] for one in BROKEN])
def test_a_broken_provider_fails_it(
    name: str, manifest: ProviderManifest, remote: OpenRemote
) -> None:
    verdict = trio.run(run_check, BY_NAME[name], manifest, remote)
    assert verdict.outcome is Outcome.FAILED, verdict
    assert verdict.message
    assert verdict.why
