"""The previous version of payd, from this repository's history: `payd` of another commit.

PREVIOUS_VERSION names the commit. It is moved on once a version is out, so that the tests always
upgrade from what runs somewhere.
"""

import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from support.daemon import Place

from payd.drills import previous

COMMIT = Path(__file__).with_name("PREVIOUS_VERSION").read_text().strip()
ROOT = Path(__file__).parents[3]
NO_HISTORY = f"this clone has no commit {COMMIT[:12]} (git fetch --unshallow)"


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


def unpack(folder: Path) -> PreviousVersion:
    """The commit's files; skips where the clone does not have it."""
    try:
        found = previous.unpack(ROOT, COMMIT, folder)
    except previous.NotInHistory:
        # Not `do_without`: a shallow clone is complete for everything else, on CI, too.
        pytest.skip(NO_HISTORY)
    return PreviousVersion(commit=found.commit, folder=found.folder)
