"""Checks that run side by side are judged as if each ran alone, also under pytest."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from acme_provider import MANIFEST
from acme_provider.conformance import AcmeRemote, open_remote
from acme_provider.provider import AcmeProvider
from integration.kit.broken import manifest_of
from integration.kit.remotes import opening

from payd.plugins.testing import CHECKS, BenchClock, Fault, Level, Outcome, Remote
from payd.plugins.testing.run import run_checks

BASIC = [check for check in CHECKS if check.level is Level.BASIC]
RESILIENCE = [check for check in CHECKS if check.level is Level.RESILIENCE]

#: The instances of the remote side that are under a fault.
FAULTY: set["SharesItsFault"] = set()


class SharesItsFault(AcmeRemote):
    """A remote side of which all instances share a variable of its module."""

    async def fault(self, fault: Fault) -> None:
        FAULTY.add(self)
        await super().fault(fault)

    async def mend(self) -> None:
        FAULTY.discard(self)
        await super().mend()

    async def objects(self, payment_id: Any) -> int:
        return 7 if FAULTY - {self} else await super().objects(payment_id)


@asynccontextmanager
async def open_shared(clock: BenchClock) -> AsyncIterator[Remote]:
    """A failed check leaves its fault behind, so the end of its remote side ends it."""
    async with opening(SharesItsFault)(clock) as remote:
        try:
            yield remote
        finally:
            await remote.mend()


def test_a_remote_side_with_state_of_its_module_is_judged_as_alone() -> None:
    verdicts = trio.run(run_checks, RESILIENCE, MANIFEST, open_shared)
    fine = (Outcome.PASSED, Outcome.NOT_CLAIMED)
    assert not [one for one in verdicts if one.outcome not in fine]


class BlocksInCreate(AcmeProvider):
    """Holds the event loop for most of a second in each create."""

    async def create(self, operation: Any) -> Any:
        time.sleep(0.7)  # noqa: ASYNC251 - the mistake
        return await super().create(operation)


def test_a_check_that_is_held_up_by_another_is_not_blamed() -> None:
    names = (
        "no call blocks the event loop",
        "health is fast and free of effects",
        "the manifest is valid",
        "an unknown setting is refused",
        "an open object is found open",
        "a webhook of a partial payment reports the part",
    )
    checks = [check for check in CHECKS if check.name in names]
    verdicts = trio.run(run_checks, checks, manifest_of(BlocksInCreate), open_remote)
    failed = [one.check for one in verdicts if one.outcome is not Outcome.PASSED]
    assert failed == ["no call blocks the event loop"]


class IsInterrupted(AcmeProvider):
    async def create(self, operation: Any) -> Any:
        raise KeyboardInterrupt


def test_an_interrupt_ends_all_of_them_as_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt):
        trio.run(run_checks, RESILIENCE, manifest_of(IsInterrupted), open_remote)


# -- under pytest ------------------------------------------------------------------------------

PROGRAM = """
from contextlib import asynccontextmanager

import attrs
from acme_provider import MANIFEST
from acme_provider.conformance import open_remote
from acme_provider.provider import AcmeProvider, open_provider

from payd.plugins.testing import conformance


class TellsOthers(AcmeProvider):
    async def health(self):
        return "well"


@asynccontextmanager
async def factory(context, config):
    async with open_provider(context, config) as provider:
        provider.__class__ = TellsOthers
        yield provider


test_acme = conformance(attrs.evolve(MANIFEST, factory=factory), open_remote)
"""


def test_each_check_is_a_test_only_chosen_ones_run_and_it_stops_at_a_failure(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_acme.py").write_text(PROGRAM)
    chosen = "manifest or health_is_fast or found_open or overpayments or refunds_are_reported"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-x", "-k", chosen],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "2 passed" in done.stdout
    assert "1 failed" in done.stdout
    assert "stopping after 1 failures" in done.stdout
    assert "FAILED test_acme.py::test_acme[health_is_fast_and_free_of_effects]" in done.stdout
    assert "health returned 'well', not None" in done.stdout
    assert "basic      2 of 3 passed, 1 failed" in done.stdout
