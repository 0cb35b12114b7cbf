"""Writes the image's dependencies with their hashes: `make lock`. Needs pip-tools."""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

DEPLOY = Path(__file__).parent
ROOT = DEPLOY.parent
PROJECTS = (ROOT, ROOT / "plugins/stripe_provider", ROOT / "plugins/tempo_provider")
#: Published as source alone: built in the image, with what is locked beside it.
SOURCES = ("nkeys",)
HEAD = """\
# What the image installs, by hash: the runtime dependencies of payd and of the stripe and tempo
# providers, resolved for the Python of deploy/Dockerfile. `make lock` writes it anew.
"""
OPTIONS = (
    "--quiet",
    "--generate-hashes",
    "--allow-unsafe",
    "--strip-extras",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-trusted-host",
    "--no-emit-find-links",
)


def main() -> None:
    """Resolve, then part what comes as wheels from what comes as source."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, locked = Path(folder) / "in.txt", Path(folder) / "out.txt"
        wanted.write_text("\n".join(sorted({*_requirements(), "setuptools>=77"})))
        command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, "-o", str(locked)]
        subprocess.run([*command, str(wanted)], check=True)  # noqa: S603 - our own command line
        blocks = re.findall(r"^\S+==\S+(?: \\\n +--hash=\S+)+", locked.read_text(), re.MULTILINE)
    sources = [block for block in blocks if block.partition("==")[0] in SOURCES]
    wheels = [block for block in blocks if block not in sources]
    for name, chosen in (("requirements.lock", wheels), ("requirements-source.lock", sources)):
        (DEPLOY / name).write_text(HEAD + "\n".join(chosen) + "\n")


def _requirements() -> list[str]:
    found = []
    for project in PROJECTS:
        declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        found += [one for one in declared["dependencies"] if not one.startswith("payd")]
    return found


if __name__ == "__main__":
    main()
