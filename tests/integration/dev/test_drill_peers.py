"""`payd drill peers`: daemons are killed and frozen in turn, and every invariant holds."""

import json
from pathlib import Path

import pytest
from support.forks import run_payd

from payd.drills.peers import drill_peers
from payd.drills.servers import temporary_folder

CACHE = Path(__file__).parents[3] / ".payd" / "cache"


async def test_two_daemons_are_killed_and_frozen_and_every_invariant_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without payments on the chain, whose wallets and blocks take half of the time."""
    monkeypatch.setenv("TEMPO_ENABLED", "false")
    with temporary_folder() as folder:
        report = await drill_peers(folder, 2, lambda line: None, seconds=5, cache=CACHE)
    assert not report.broken, "\n".join(report.lines())
    assert not any(report.lists.values()), "\n".join(report.lines())
    assert report.counts["payments"] > 0
    assert report.counts["kills"] > 0


@pytest.mark.campaign
@pytest.mark.usefixtures("anvil")
def test_four_daemons_for_a_minute_as_a_command() -> None:
    done = run_payd("drill", "peers", "4", "--seconds", "60", "--json", cwd=CACHE.parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)["counts"]
    assert counts["kills"] > 1
    assert counts["freezes"] > 1
