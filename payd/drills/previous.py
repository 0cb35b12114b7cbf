"""Another version of payd from the history of this checkout, and how a process runs it."""

import os
import subprocess
import tarfile
import tomllib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import attrs

_PLUGINS = ("mock_provider", "stripe_provider", "tempo_provider")
#: Where the commit has them.
_PARTS = ("payd", "client", "config", "migrations", *(f"plugins/{name}" for name in _PLUGINS))


class NotInHistory(Exception):
    """The checkout does not have the commit. The message says what to do."""


@attrs.frozen(kw_only=True)
class PreviousVersion:
    """The code of one commit."""

    commit: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which `python -m payd` runs this version and its providers.

        The third-party packages are those of today.
        """
        path = [self.folder / each for each in ("metadata", "", "client", "plugins")]
        return {
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            # Else the working directory would come first.
            "PYTHONSAFEPATH": "1",
            # Today's configuration may have keys that it does not know.
            "PAYD_CONFIG": str(self.folder / "config" / "payd.yaml"),
        }


def named_in(file: Path) -> Sequence[str]:
    """Return the commits in a file, one on each line that is no comment; oldest first."""
    lines = file.read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def unpack(checkout: Path, commit: str, folder: Path) -> PreviousVersion:
    """Write the commit's files into an empty folder. Raises NotInHistory."""
    if not _git_has(checkout, f"{commit}^{{commit}}"):
        raise NotInHistory(
            f"{checkout} has no commit {commit[:12]}: run it in a checkout of payd, after"
            " `git fetch --unshallow` where the clone is shallow"
        )
    parts = [part for part in _PARTS if _git_has(checkout, f"{commit}:{part}")]
    archive = _git(checkout, "archive", commit, *parts)
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    for project in sorted(folder.glob("plugins/*/pyproject.toml")):
        _install(folder / "metadata", project)
    return PreviousVersion(commit=commit, folder=folder)


def _git_has(checkout: Path, name: str) -> bool:
    return _git(checkout, "cat-file", "-e", name).returncode == 0


def _git(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command: Sequence[str] = ["git", "-C", str(checkout), *arguments]
    return subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own


def _install(metadata: Path, project: Path) -> None:
    """Write what an installer would, so that this version's entry points are found first."""
    about = tomllib.loads(project.read_text())["project"]
    info = metadata / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    (info / "METADATA").write_text(head)
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in about["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
