"""The previous version of payd, from this repository's history: `payd` of another commit.

PREVIOUS_VERSION names the commit. It is moved on once a version is out, so that the tests always
upgrade from what runs somewhere.
"""

import os
import subprocess
import sys
import tarfile
import tomllib
from io import BytesIO
from pathlib import Path

import attrs
import pytest
from support.daemon import Place

COMMIT = Path(__file__).with_name("PREVIOUS_VERSION").read_text().strip()
ROOT = Path(__file__).parents[3]
NO_HISTORY = f"this clone has no commit {COMMIT[:12]} (git fetch --unshallow)"


@attrs.frozen
class PreviousVersion:
    """Its code, and how a process finds it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """For `python -m payd`, which then runs this version and its mock provider.

        The third-party packages are those of today.
        """
        path = [self.folder / each for each in ("metadata", "", "client", "plugins")]
        # Else the folder in which the tests run would come first.
        return {
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "PYTHONSAFEPATH": "1",
            # Today's configuration may have keys that it does not know.
            "PAYD_CONFIG": str(self.folder / "config" / "payd.yaml"),
        }

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
    known = subprocess.run(
        ["git", "-C", ROOT, "cat-file", "-e", f"{COMMIT}^{{commit}}"],
        capture_output=True,
        check=False,
    )
    if known.returncode != 0:
        # Not `do_without`: a shallow clone is complete for everything else, on CI, too.
        pytest.skip(NO_HISTORY)
    archive = subprocess.run(
        [
            "git",
            "-C",
            ROOT,
            "archive",
            COMMIT,
            "payd",
            "plugins/mock_provider",
            "migrations",
            "config",
            *_present("client"),
        ],
        capture_output=True,
        check=True,
    ).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    _install(folder, folder / "plugins" / "mock_provider" / "pyproject.toml")
    return PreviousVersion(folder)


def _present(folder: str) -> list[str]:
    """The folder's name where the commit has it: `git archive` refuses a name that it lacks."""
    found = subprocess.run(
        ["git", "-C", ROOT, "cat-file", "-e", f"{COMMIT}:{folder}"],
        capture_output=True,
        check=False,
    )
    return [folder] if found.returncode == 0 else []


def _install(folder: Path, project: Path) -> None:
    """What an installer would leave of a wheel, so that its own entry points are found first."""
    about = tomllib.loads(project.read_text())["project"]
    info = folder / "metadata" / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    (info / "METADATA").write_text(head)
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in about["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
