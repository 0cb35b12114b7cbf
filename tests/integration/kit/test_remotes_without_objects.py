"""Where create stores nothing, the kit counts no objects, and blames nobody for their number."""

from typing import Any

import pytest
import trio
from acme_provider import MANIFEST
from acme_provider.conformance import AcmeRemote
from integration.kit.remotes import opening

from payd.plugins.testing import CHECKS, NotScripted, Outcome
from payd.plugins.testing.run import run_checks

COUNTING = (
    "the remote side counts what happens",
    "the same operation twice is one object",
    "the same operation later is one object",
    "fetch changes nothing",
    "a lost request is retried and done once",
    "any order of actions loses nothing",
    "a fault of the remote side changes something",
)


class HasNone(AcmeRemote):
    remembers = False

    async def objects(self, payment_id: Any) -> int:
        return 0


class CountsNone(HasNone):
    async def objects(self, payment_id: Any) -> int:
        raise NotScripted("nothing is stored")


@pytest.mark.parametrize("remote", [HasNone, CountsNone])
def test_it_passes(remote: type[AcmeRemote]) -> None:
    checks = [check for check in CHECKS if check.name in COUNTING]
    verdicts = trio.run(run_checks, checks, MANIFEST, opening(remote))
    assert {one.outcome for one in verdicts} == {Outcome.PASSED}, verdicts
