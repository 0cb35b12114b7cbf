"""The state directory of `payd dev`: data, lock, and dev.json for other programs."""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_EPHEMERAL = "payd-dev-"
#: The daemon's settings, while it runs.
ENVIRONMENT_FILE = "environment.json"


class StateInUse(Exception):
    """Another `payd dev` runs on this directory."""


class StateDir:
    """The folder `.payd/`. With `ephemeral`, the data is in a temporary folder instead."""

    def __init__(self, path: Path, data: Path) -> None:
        self.path = path
        self.data = data
        self.pki = path / "pki"
        self.logs = path / "logs"
        self._dev_json = path / "dev.json"
        self._environment_json = path / ENVIRONMENT_FILE
        self._ports_json = path / "ports.json"

    def announce(
        self, document: Mapping[str, Any], environment: Mapping[str, str] | None = None
    ) -> None:
        """Write dev.json atomically; `environment` is for payd's own commands."""
        _write(self._environment_json, environment or {})
        _write(self._dev_json, document)

    def withdraw(self) -> None:
        """Remove dev.json, since no daemon runs. Repeatable."""
        self._dev_json.unlink(missing_ok=True)
        self._environment_json.unlink(missing_ok=True)

    def last_ports(self) -> dict[str, int]:
        """Return the ports of the last run."""
        try:
            ports = json.loads(self._ports_json.read_text())
        except (OSError, ValueError):
            return {}
        return {name: port for name, port in ports.items() if isinstance(port, int)}

    def keep_ports(self, ports: Mapping[str, int]) -> None:
        """Keep the ports for the next run, so that URLs stay valid."""
        self._ports_json.write_text(json.dumps(dict(ports)))

    def has_secret(self, name: str) -> bool:
        """Whether the secret has been generated."""
        return (self.data / f"{name}.secret").exists()

    def secret(self, name: str, size: int = 16) -> str:
        """Return a random secret of `size` bytes in hex, kept beside the data."""
        path = self.data / f"{name}.secret"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text()
        value = secrets.token_hex(size)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(value)
        return value


def _write(path: Path, document: Mapping[str, Any]) -> None:
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    # It contains the database's password.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps(document, indent=2) + "\n")
    draft.replace(path)


@contextlib.contextmanager
def open_state(path: Path, *, ephemeral: bool) -> Iterator[StateDir]:
    """Lock and prepare the directory. Raises StateInUse."""
    path = path.absolute()
    path.mkdir(parents=True, exist_ok=True)
    (path / ".gitignore").write_text("*\n")
    with (path / "lock").open("a+") as lock:
        _lock(lock, path)
        _remove_left(path / "ephemeral")
        data = _ephemeral(path / "ephemeral") if ephemeral else path / "data"
        data.mkdir(exist_ok=True)
        # The database's user must be able to pass through.
        data.chmod(0o711)
        state = StateDir(path, data)
        state.logs.mkdir(exist_ok=True)
        state.withdraw()
        try:
            yield state
        finally:
            state.withdraw()
            if ephemeral:
                _remove_left(path / "ephemeral")


def _ephemeral(note: Path) -> Path:
    """Create a folder for one run, noted in a file so that the next run can remove it."""
    data = Path(tempfile.mkdtemp(prefix=_EPHEMERAL))
    note.write_text(str(data))
    return data


def _remove_left(note: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        data = Path(note.read_text())
        if data.name.startswith(_EPHEMERAL) and data.is_dir() and data.owner() == note.owner():
            shutil.rmtree(data, ignore_errors=True)
        note.unlink()


def _lock(file: Any, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        raise StateInUse(
            f"another `payd dev` (pid {owner}) uses {path}; stop it, or give --state-dir"
        ) from None
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
