"""`payd serve` under a service manager: what it hears over sd_notify, and when it hears nothing."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import psutil
import pytest
from support.daemon import Daemon, Place, running_daemon
from support.openbao import running_openbao
from support.waiting import PATIENCE_S


@attrs.define
class Manager:
    """The manager's end of the socket."""

    address: str
    received: list[str] = attrs.field(factory=list)
    _unread: list[str] = attrs.field(factory=list)
    _socket: socket.socket = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)

    def listen(self, seconds: float) -> list[str]:
        """What it hears in that time; each word with its value."""
        words: list[str] = []
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                words += self._socket.recv(65536).decode().splitlines()
            except TimeoutError:
                break
        self.received += words
        return words

    def wait_for(self, word: str) -> str:
        """Wait for a word with this prefix and return it."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            self._unread += self.listen(0.05)
            while self._unread:
                if (said := self._unread.pop(0)).startswith(word):
                    return said
        raise AssertionError(f"no {word}; received {self.received}")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.close()


def watched(manager: Manager, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000", **more}


def test_it_is_notified_of_the_start_a_reload_and_the_end(place: Place, manager: Manager) -> None:
    with running_daemon(place, **watched(manager)) as daemon:
        assert manager.wait_for("READY") == "READY=1"
        assert manager.wait_for("WATCHDOG") == "WATCHDOG=1"

        daemon.process.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1")
        assert any(word.startswith("STATUS=reloaded") for word in manager.received)
        assert any(word.startswith("MONOTONIC_USEC=") for word in manager.received)

        assert daemon.stop() == 0
    manager.wait_for("STOPPING=1")


def test_a_refused_reload_is_reported_and_changes_nothing(place: Place, manager: Manager) -> None:
    prices = place.data / "pricing.yaml"
    prices.write_text("currency: USD\nprices: {a: {b: {c: 1}}}\n")
    with running_daemon(place, PRICING_FILE=str(prices), **watched(manager)) as daemon:
        manager.wait_for("READY=1")
        prices.write_text("currency: none\n")
        daemon.process.send_signal(signal.SIGHUP)
        manager.wait_for("STATUS=reload refused")
        assert daemon.process.poll() is None


def test_it_is_fed_only_while_the_database_answers(place: Place, manager: Manager) -> None:
    with running_daemon(place, **watched(manager)) as daemon:
        manager.wait_for("WATCHDOG=1")
        proxied = _pids_of_postgres(daemon)
        for pid in proxied:
            os.kill(pid, signal.SIGSTOP)
        try:
            manager.listen(4)
            assert "WATCHDOG=1" not in manager.listen(3)
        finally:
            for pid in proxied:
                os.kill(pid, signal.SIGCONT)
        manager.wait_for("WATCHDOG=1")


def _pids_of_postgres(daemon: Daemon) -> list[int]:
    """The database's processes that serve this daemon, and the one that would begin another."""
    import asyncio

    import asyncpg

    async def ask() -> list[int]:
        connection = await asyncpg.connect(daemon.place.database)
        try:
            found = await connection.fetch(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND application_name = 'payd'"
            )
            serving = [row["pid"] for row in found]
            return [psutil.Process(serving[0]).ppid(), *serving]
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_it_is_not_fed_by_a_daemon_that_hangs(place: Place, manager: Manager) -> None:
    with running_daemon(place, **watched(manager)) as daemon:
        manager.wait_for("WATCHDOG=1")
        daemon.process.send_signal(signal.SIGSTOP)
        manager.listen(0.5)
        assert manager.listen(1) == []
        daemon.process.send_signal(signal.SIGCONT)
        manager.wait_for("WATCHDOG=1")


def test_while_the_vault_is_away_the_start_is_given_more_time(
    place: Place, manager: Manager, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running_openbao(tmp_path_factory.mktemp("openbao")) as bao:
        bao.write(db_password=place.environment()["DB_PASSWORD"])
        bao.seal()
        environment = watched(manager, **bao.environment(), DB_PASSWORD="")
        daemon = Daemon(place, **environment)
        try:
            assert manager.wait_for("EXTEND_TIMEOUT_USEC=")
            assert any(word.startswith("STATUS=waiting for Vault") for word in manager.received)
            assert "READY=1" not in manager.received
            bao.unseal()
            manager.wait_for("READY=1")
        finally:
            daemon.stop()


@pytest.mark.parametrize("address", ["/nowhere/at/all", "@nobody-listens"])
def test_a_manager_that_does_not_listen_is_no_concern(place: Place, address: str) -> None:
    with running_daemon(place, NOTIFY_SOCKET=address) as daemon, daemon.client() as client:
        assert client.initiate().id


def test_another_process_is_watched_not_this_one(place: Place, manager: Manager) -> None:
    with running_daemon(place, **watched(manager, WATCHDOG_PID="1")):
        manager.wait_for("READY=1")
        assert "WATCHDOG=1" not in manager.listen(1)


def test_no_core_is_ever_written(place: Place) -> None:
    with running_daemon(place) as daemon:
        limits = Path(f"/proc/{daemon.process.pid}/limits").read_text()
    [line] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]
