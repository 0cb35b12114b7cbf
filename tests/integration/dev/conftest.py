"""A folder for servers: open to the database's own user, and gone after the test."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from payd.dev.state import StateDir, open_state


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own: as root, `nobody` could not pass through to it."""
    path = Path(tempfile.mkdtemp(prefix="payd-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def state(folder: Path) -> Iterator[StateDir]:
    """A locked state directory."""
    with open_state(folder, ephemeral=False) as state:
        yield state
