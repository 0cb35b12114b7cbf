"""`payd drill restore`: the report names what the lost time breaks, and nothing else is broken."""

from pathlib import Path

import pytest

from payd.drills.report import DrillReport
from payd.drills.restore import drill_restore
from payd.drills.servers import temporary_folder

CACHE = Path(__file__).parents[3] / ".payd" / "cache"
#: What no loss of a database may break.
ALWAYS = {"I2", "I3", "I4", "I7", "I12", "I13", "I16", "I17", "I20", "I21"}


def listed(report: DrillReport, words: str) -> str:
    [entries] = [lines for title, lines in report.lists.items() if words in title]
    return "\n".join(entries)


@pytest.mark.usefixtures("anvil")
async def test_a_restore_names_what_the_lost_time_breaks() -> None:
    with temporary_folder() as folder:
        report = await drill_restore(folder, lambda line: None, cache=CACHE)
    shown = "\n".join(report.lines())

    assert report.broken == [], shown
    broken = {one.invariant for one in report.invariants if one.findings}
    assert not broken & ALWAYS, shown
    # A payment of the lost time was paid, and its key is unknown.
    assert {"I1", "I15"} <= broken, shown
    assert "while sending is held: nothing is sent after a restore" in shown

    named = listed(report, "what names them")
    assert "(OPEN)" in named
    assert "the stream has payment.completed" in named
    # On the chain and at the mock, what was not paid leaves no trace.
    unknown = listed(report, "nobody names").splitlines()
    assert sorted(line.split()[1] for line in unknown) == ["crypto", "mock"], shown
    found = listed(report, "recovery found").splitlines()
    assert sorted(line.split()[1] for line in found) == ["card", "crypto"], shown

    # Stripe is asked for its events again; the mock reports each thing once.
    lost = listed(report, "accepted, and are lost").splitlines()
    assert {line.split()[0] for line in lost} == {"mock"}, shown

    counts = report.counts
    assert counts["payments before the loss"] == 2 * counts["payments in the backup"]
    assert counts["signed checkpoints now"] > counts["signed checkpoints in the backup"]
