"""A NATS server for one test, which may stop it or delete its data."""

import signal
import subprocess
import sysconfig
from pathlib import Path
from socket import create_connection

from support.waiting import succeeds, wait_until


class OwnNats:
    """One server on a fixed port and folder, across restarts."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.url = f"nats://127.0.0.1:{port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start it and wait until it answers."""
        binary = str(Path(sysconfig.get_path("scripts")) / "nats-server")
        argv = [
            binary,
            "-js",
            "-sd",
            str(self._folder),
            "-a",
            "127.0.0.1",
            "-p",
            str(self.port),
            *options,
        ]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def connect() -> None:
            create_connection(("127.0.0.1", self.port), timeout=1).close()

        wait_until(succeeds(connect, OSError), "NATS listens", process=self._process)

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Stop it; may be called again."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
