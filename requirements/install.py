"""Install a lock file and our own projects into the environment of the Python that runs this.

    python requirements/install.py LOCK [--editable] PROJECT...

LOCK is the name of a lock file beside this one (run, otel, dev, test or docs); PROJECT is a folder
or a wheel.
Everything from an index is checked by hash, build tools included. Our own projects are installed by
path and without dependencies, so that an index cannot answer with another project of the same name.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BY_HASH = ("--require-hashes", "--no-build-isolation")


def main() -> int:
    """Install with uv, or with pip where uv has no wheel or cannot reach the index."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "lock", choices=("run", "otel", "dev", "test", "docs"), help="lock file to install"
    )
    parser.add_argument("--editable", action="store_true", help="install the projects as editable")
    parser.add_argument(
        "projects", nargs="*", metavar="PROJECT", type=_path, help="folder or wheel of ours"
    )
    asked = parser.parse_intermixed_args()
    if sys.prefix == sys.base_prefix:
        parser.error("run it with the Python of a virtual environment")
    flag = ["--editable"] if asked.editable else []
    projects = [part for project in asked.projects for part in (*flag, project)]
    steps = [
        [*BY_HASH, "-r", str(HERE / "build.lock")],
        [*BY_HASH, "-r", str(HERE / f"{asked.lock}.lock")],
    ]
    if projects:
        steps.append(["--no-deps", "--no-build-isolation", *projects])
    if _uv_is_there() and all(_install(_UV, step) for step in steps):
        return 0
    print("Installing with pip, which takes longer …", file=sys.stderr)
    return 0 if all(_install(_PIP, step) for step in steps) else 1


_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
_UV = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable)


def _path(project: str) -> str:
    """The absolute path: pip takes a bare `client` for a name, and asks the index for it."""
    path = Path(project).resolve()
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{project}: no such folder or wheel")
    return str(path)


def _uv_is_there() -> bool:
    """Whether uv is in this environment, after an attempt to install it by hash."""
    wanted = ["--require-hashes", "--only-binary", ":all:", "-r", str(HERE / "installer.lock")]
    return _install(_PIP, wanted)


def _install(installer: tuple[str, ...], arguments: list[str]) -> bool:
    command = [*installer, *arguments]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603 - built here


if __name__ == "__main__":
    sys.exit(main())
