"""Previous versions of payd, from this repository's history: `payd` of another commit.

PREVIOUS_VERSION names the commits. The newest one moves on with each issue, so that the tests
upgrade from what runs somewhere; the oldest one stays for what only old rows have.
"""

import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from support.daemon import Place

from payd.drills import previous

OLDEST, NEWEST = previous.named_in(Path(__file__).with_name("PREVIOUS_VERSION"))
ROOT = Path(__file__).parents[3]


@attrs.frozen(kw_only=True)
class PreviousVersion(previous.PreviousVersion):
    """Its code, and its commands."""

    def run(self, place: Place, *argv: str) -> str:
        """What a command of it says; fails with it."""
        done = subprocess.run(
            [sys.executable, *argv],
            env=place.environment(**self.environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def unpack(folder: Path, commit: str) -> PreviousVersion:
    """The commit's files; skips where the clone does not have it."""
    try:
        found = previous.unpack(ROOT, commit, folder)
    except previous.NotInHistory:
        # Not `do_without`: a shallow clone is complete for everything else, on CI, too.
        pytest.skip(f"this clone has no commit {commit[:12]} (git fetch --unshallow)")
    return PreviousVersion(commit=found.commit, folder=found.folder)
