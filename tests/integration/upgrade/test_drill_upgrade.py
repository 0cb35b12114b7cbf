"""`payd drill upgrade`: two versions side by side, both ways, and every invariant holds."""

from pathlib import Path

import pytest
from integration.upgrade.previous import NEWEST, OLDEST, ROOT, unpack
from support.forks import run_payd

from payd.drills.previous import NotInHistory
from payd.drills.previous import unpack as unpack_commit
from payd.drills.servers import temporary_folder
from payd.drills.upgrade import drill_upgrade

CACHE = ROOT / ".payd" / "cache"


@pytest.mark.usefixtures("anvil")
@pytest.mark.parametrize(
    ("commit", "has_chain"),
    [
        pytest.param(OLDEST, "false", id="slice"),
        pytest.param(OLDEST, "true", id="whole", marks=pytest.mark.campaign),
        pytest.param(NEWEST, "true", id="whole, from the newest", marks=pytest.mark.campaign),
    ],
)
async def test_an_upgrade_and_the_way_back_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: str, has_chain: str
) -> None:
    """The slice has no payments on the chain: wallets and blocks take half of the time."""
    monkeypatch.setenv("TEMPO_ENABLED", has_chain)
    previous = unpack(tmp_path, commit)
    with temporary_folder() as folder:
        report = await drill_upgrade(folder, previous, lambda line: None, cache=CACHE)
    text = "\n".join(report.lines())
    assert not report.broken, text
    assert not report.lists["payments whose callers were not satisfied"], text
    assert not report.lists["errors in the logs"], text
    assert not report.lists["not at rest"], text


def test_a_commit_that_is_not_in_the_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotInHistory, match="no commit 000000000000: run it in a checkout"):
        unpack_commit(ROOT, "0" * 40, tmp_path)


def test_the_command_upgrades_from_the_last_version_that_is_named(tmp_path: Path) -> None:
    """Here of a checkout that has none of them, so that the command ends with its name."""
    named = tmp_path / "tests/integration/upgrade/PREVIOUS_VERSION"
    named.parent.mkdir(parents=True)
    named.write_text(f"# The first one:\n{'1' * 40}\n\n# The last one:\n{'2' * 40}\n")
    done = run_payd("drill", "upgrade", cwd=tmp_path)
    assert done.returncode == 1
    assert "no commit 222222222222: run it in a checkout" in done.stderr
