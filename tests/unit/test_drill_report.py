"""The report of a drill tells what must break from what must not, and ends with a conclusion."""

from collections.abc import Collection, Sequence
from uuid import UUID

import pytest

from payd.drills.invariants import Checked, Finding
from payd.drills.report import DrillReport

LOST = [UUID(int=number) for number in range(1, 6)]
KEPT = UUID(int=99)


def finding(payment_id: UUID | None) -> Finding:
    return Finding(invariant="I15", payment_id=payment_id, text="its key is unknown")


def report(*findings: Finding, lost: Collection[UUID] = LOST) -> DrillReport:
    invariants: Sequence[Checked] = (
        Checked(invariant="I4", rule="COMPLETED has its whole sum"),
        Checked(invariant="I5", rule="order does not matter", elsewhere="the tests"),
        Checked(invariant="I15", rule="a key gives one payment", findings=findings),
    )
    return DrillReport(
        title="A drill", steps=(), counts={}, lists={}, invariants=invariants, lost=lost
    )


def test_what_breaks_for_lost_payments_only_is_lost_and_expected() -> None:
    made = report(*map(finding, LOST))
    lines = list(made.lines())
    assert "I15  lost   a key gives one payment" in lines
    assert "            expected for 5 of the lost payments, such as" in lines
    assert sum("its key is unknown" in line for line in lines) == 3
    assert lines[-1].startswith("As expected: ")
    document = made.document()
    assert (document["broken"], document["invariants"][2]["verdict"]) == ([], "lost")
    assert len(document["invariants"][2]["findings"]) == len(LOST)


@pytest.mark.parametrize("payment_id", [KEPT, None])
def test_what_breaks_for_any_other_payment_is_broken_and_named(payment_id: UUID | None) -> None:
    made = report(finding(LOST[0]), finding(payment_id))
    lines = list(made.lines())
    assert "I15  BROKEN a key gives one payment" in lines
    assert f"            {payment_id or ''} its key is unknown" in lines
    assert lines[-1] == "Broken, which should not be: I15."
    assert made.document()["broken"] == ["I15"]


def test_a_drill_without_findings_says_that_nothing_is_broken() -> None:
    lines = list(report().lines())
    assert "I15  holds  a key gives one payment" in lines
    assert "I5   -      order does not matter" in lines
    assert lines[-1] == "As expected: nothing is broken."
