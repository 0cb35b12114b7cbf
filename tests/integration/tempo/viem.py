"""viem from npm: a folder in which programs that use it run."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support.absent import NO_NPM, do_without

VIEM = "viem@2.57.20"
#: Seconds for npm, and for a program.
PATIENCE_S = 120
_QUIET = ("--no-audit", "--no-fund", "--loglevel=error")


def install_viem(folder: Path, programs: Mapping[str, str]) -> Path:
    """Install viem in an empty folder, beside the programs by file name; return the folder."""
    (folder / "package.json").write_text('{"type": "module"}')
    for name, program in programs.items():
        (folder / name).write_text(program)
    npm = shutil.which("npm")
    if npm is None:
        do_without(NO_NPM)
    try:
        subprocess.run(
            [npm, "install", *_QUIET, VIEM],
            cwd=folder,
            capture_output=True,
            timeout=PATIENCE_S,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        do_without(f"{NO_NPM}: {error}")
    return folder
