"""viem from npm: a folder in which programs that use it run."""

import shutil
import subprocess
from pathlib import Path

from support.absent import NO_NPM, do_without

VIEM = "viem@2.57.20"
#: Seconds for a program.
PATIENCE_S = 120
#: Seconds for npm, which computes for twenty of them: a busy machine takes minutes.
NPM_PATIENCE_S = 600
_QUIET = ("--no-audit", "--no-fund", "--loglevel=error")


def install_viem(folder: Path) -> Path:
    """Install viem in an empty folder, and return it: programs in it can import viem."""
    (folder / "package.json").write_text('{"type": "module"}')
    npm = shutil.which("npm")
    if npm is None:
        do_without(NO_NPM)
    try:
        subprocess.run(
            [npm, "install", *_QUIET, VIEM],
            cwd=folder,
            capture_output=True,
            timeout=NPM_PATIENCE_S,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        do_without(f"{NO_NPM}: {error}")
    return folder
