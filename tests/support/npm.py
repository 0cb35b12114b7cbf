"""Packages from npm: a folder in which programs can import them."""

import shutil
import subprocess
from pathlib import Path

from support.absent import NO_NPM, do_without

#: Seconds; npm computes for twenty of them, and a busy machine takes minutes.
_PATIENCE_S = 600
_QUIET = ("--no-audit", "--no-fund", "--loglevel=error")


def install(folder: Path, *packages: str) -> Path:
    """Install packages in an empty folder, and return it. Without npm, the test does without."""
    (folder / "package.json").write_text('{"type": "module"}')
    npm = shutil.which("npm")
    if npm is None:
        do_without(NO_NPM)
    try:
        subprocess.run(
            [npm, "install", *_QUIET, *packages],
            cwd=folder,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        do_without(f"{NO_NPM}: {error}")
    return folder
