"""Days of faults on virtual time: whatever happens, the rules of the payment model hold."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from simulation.defects import DEFECTS
from simulation.faults import PATHS
from simulation.plan import CHAIN_FAULTS, FAULTS, RARE_FAULTS, plan_of
from simulation.search import Tally, check, count, shrink

SLICE = range(200)
CAMPAIGN = range(10_000)
#: Seeds by which the campaign found a defect that has been mended.
FOUND = (4315, 4483, 7188)
#: Runs a seed in a process of its own, with other hashes of texts.
ALONE = """
from simulation.plan import plan_of
from simulation.world import run
print(run(plan_of({})).hash)
"""


@pytest.fixture(scope="module")
def tally() -> Tally:
    """What happens in the slice that every run of the tests simulates."""
    return count(SLICE)


def test_every_rule_holds_in_every_history(tally: Tally) -> None:
    assert not tally.broken, "\n\n".join(map(str, tally.broken))


@pytest.mark.parametrize("seed", FOUND)
def test_every_rule_holds_where_one_was_broken(seed: int) -> None:
    assert not check(plan_of(seed)).problems


def test_what_is_worth_a_test_happens(tally: Tally) -> None:
    awaited = {
        "daemon killed", "daemon frozen", "report lost", "paid", "too late to pay", "sent",
        "paid before commit", "refund sent", "create: refused", "create: answer lost",
        "fetch: hangs", "commit: after", "commit: before", "stream away", "stream loses",
        "stream full", "acknowledgement lost", "app: RefundExceedsPaid", "app: Unreachable",
        "app: PaymentNotCancelable", "commit lost to another writer", "chain reorganises",
        "ended COMPLETED late", "attention UNDERPAID", "attention OVERPAID", "refund ended FAILED",
        "by hand", "bounced", "app: IdempotencyKeyReused", "provider ends", "provider is not built",
        "attached", "taken back", "resolved", "app: ReceiptNotAttachable",
    }  # fmt: skip
    assert awaited <= set(tally.sometimes), awaited - set(tally.sometimes)
    assert {*FAULTS, *CHAIN_FAULTS, *RARE_FAULTS} <= tally.faults


def test_one_seed_is_one_history_in_every_process() -> None:
    tests = Path(__file__).parent.parent
    hashes = {
        subprocess.run(
            [sys.executable, "-c", ALONE.format(1)],
            env={**os.environ, "PYTHONPATH": str(tests), "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]
        for seed in (1, 2)
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("plant", DEFECTS, ids=lambda plant: plant.__name__)
def test_a_planted_defect_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed, rule = DEFECTS[plant]
    plan = plan_of(seed)
    plant(monkeypatch)

    assert rule in check(plan).rules


def test_a_history_that_breaks_a_rule_becomes_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.search.run", _breaks_with_two_buyers)
    monkeypatch.setattr("simulation.search.problems", lambda history: history)
    plan = attrs.evolve(plan_of(1), daemons=3)

    smallest = shrink(check(plan)).plan

    assert (len(smallest.buyers), smallest.daemons, smallest.faults) == (2, 1, frozenset())


def _breaks_with_two_buyers(plan: object) -> list[str]:
    return ["rule: broken"] if len(getattr(plan, "buyers", ())) >= 2 else []


@pytest.mark.campaign
def test_every_rule_holds_in_ten_thousand_histories() -> None:
    tally = count(CAMPAIGN)
    assert not tally.broken, "\n\n".join(map(str, tally.broken))
    cells = [(fault, path) for fault, paths in PATHS.items() for path in paths]
    assert not [cell for cell in cells if not tally.struck[cell]]
