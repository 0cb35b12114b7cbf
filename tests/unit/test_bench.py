"""The bench reads a log that is still being written."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.started import wait_for_line

#: A daemon's log as it grows: each piece is what was written between two looks.
PIECES = [
    "Warning: not JSON\n",
    '{"event": "vault_',
    'read"}\n{"event": "daemon_sta',
    'rted", "g',
    'rpc": "127.0.0.1:50051"}',
    "\n",
]


def test_a_line_that_is_half_written_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    pieces: Iterator[str] = iter(PIECES)

    def write_more(seconds: float) -> None:
        with log.open("a") as file:
            file.write(next(pieces))

    found = wait_for_line(log, "daemon_started", 60, sleep=write_more)

    assert found == {"event": "daemon_started", "grpc": "127.0.0.1:50051"}
    assert list(pieces) == []


def test_a_log_without_the_line_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("address in use\n")

    with pytest.raises(RuntimeError, match="address in use"):
        wait_for_line(log, "daemon_started", 0)
