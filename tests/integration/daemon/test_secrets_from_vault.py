"""The daemon with its secrets in a real OpenBao: at the start, while it is away, and rotated."""

import asyncio
import contextlib
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import attrs
import httpx
import pytest
from support import plain_http
from support.daemon import Client, Daemon, Place, running_daemon
from support.openbao import OpenBao, running_openbao
from support.waiting import wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with running_openbao(tmp_path_factory.mktemp("openbao")) as bao:
        yield bao


@attrs.frozen
class Kept:
    """A place whose database password is in the vault, and nowhere else."""

    place: Place
    bao: OpenBao
    role: str

    def environment(self) -> dict[str, str]:
        vault = {**self.bao.environment(), "PAYD_VAULT_READ_INTERVAL_S": "0.5"}
        return {**vault, "DB_PASSWORD": "", "DB_USER": self.role}

    def change_password(self, password: str) -> None:
        self.at_database(f"ALTER ROLE {self.role} PASSWORD '{password}'")

    def at_database(self, sql: str) -> None:
        # The servers of the tests give both roles one password.
        asyncio.run(_execute(self.place.database.replace("//payd:", "//postgres:"), sql))


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.fixture
def kept(server: OpenBao, place: Place) -> Kept:
    role = f"r{uuid.uuid4().hex[:12]}"
    kept = Kept(place, server, role)
    kept.at_database(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'canary-first'")
    server.new_role()
    server.write(db_password="canary-first")
    return kept


@contextlib.contextmanager
def steady_calls(daemon: Daemon, errors: list[str]) -> Iterator[None]:
    """Call in the background; add failures to `errors`."""
    stop = threading.Event()

    def call(client: Client) -> None:
        while not stop.is_set():
            try:
                client.initiate()
            except Exception as error:  # noqa: BLE001 - any failure is one
                errors.append(repr(error))

    with daemon.client() as client:
        threads = [threading.Thread(target=call, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def readiness(daemon_http: str) -> dict[str, Any]:
    return dict(plain_http.get(f"http://{daemon_http}/readyz").json()["checks"])


def metric(daemon: Daemon, name: str) -> float:
    text = plain_http.get(f"http://{daemon.metrics}/metrics").text
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def test_a_sealed_vault_at_the_start_means_not_ready_until_it_is_unsealed(
    kept: Kept, free_port: Callable[[], int]
) -> None:
    kept.bao.seal()
    http = free_port()
    daemon = Daemon(kept.place, HTTP_PORT=str(http), **kept.environment())
    try:
        with contextlib.suppress(httpx.ConnectError):
            wait_until(lambda: _answers(http))
        assert plain_http.get(f"http://127.0.0.1:{http}/healthz").status_code == 200
        ready = plain_http.get(f"http://127.0.0.1:{http}/readyz")
        assert ready.status_code == 503
        assert "sealed" in ready.json()["checks"]["vault"]["detail"]
        assert plain_http.post(f"http://127.0.0.1:{http}/webhooks/stripe").status_code == 503

        kept.bao.unseal()

        daemon.wait_started()
        with daemon.client() as client:
            assert client.initiate().id
        assert daemon.process.poll() is None
    finally:
        kept.bao.unseal()
        daemon.stop()


def _answers(port: int) -> bool:
    try:
        return plain_http.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_stop_while_it_waits_for_the_vault_ends_it_in_order(kept: Kept) -> None:
    daemon = Daemon(kept.place, **{**kept.environment(), "VAULT_ADDR": "http://127.0.0.1:1"})
    wait_until(lambda: any(line.get("event") == "vault_unavailable" for line in daemon.lines))

    assert daemon.stop() == 0


def test_a_reload_asked_for_while_it_waits_for_the_vault_follows_the_start(kept: Kept) -> None:
    kept.bao.seal()
    daemon = Daemon(kept.place, **kept.environment())
    try:
        wait_until(lambda: said(daemon, "vault_unavailable"))
        daemon.process.send_signal(signal.SIGHUP)
        [asked] = wait_until(lambda: said(daemon, "reload_requested"))
        assert asked["when"] == "after the start or reload in progress"
        assert daemon.process.poll() is None
        kept.bao.unseal()

        daemon.wait_started()
        wait_until(lambda: said(daemon, "configuration_reloaded"))
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(said(daemon, "configuration_reloaded")) == 2)
    finally:
        kept.bao.unseal()
        daemon.stop()


def said(daemon: Daemon, event: str) -> list[dict[str, Any]]:
    """The lines of its log about this event."""
    return [line for line in daemon.lines if line.get("event") == event]


def test_a_vault_that_lacks_the_password_means_not_ready(kept: Kept) -> None:
    kept.bao.write(redis_password="canary-other")
    daemon = Daemon(kept.place, **kept.environment())
    try:
        wait_until(
            lambda: any(line.get("event") == "vault_secrets_missing" for line in daemon.lines)
        )
        kept.bao.write(db_password="canary-first")
        daemon.wait_started()
    finally:
        daemon.stop()


def test_a_vault_away_later_changes_nothing_but_a_metric(kept: Kept) -> None:
    with running_daemon(kept.place, **kept.environment()) as daemon, daemon.client() as client:
        wait_until(lambda: metric(daemon, "payd_vault_read_time_seconds ") > 0)
        kept.bao.seal()
        try:
            wait_until(lambda: metric(daemon, "payd_vault_up ") == 0)
            vault = readiness(daemon.http)["vault"]
            assert (vault["ok"], vault["required"]) == (False, False)
            assert plain_http.get(f"http://{daemon.http}/readyz").status_code == 200
            assert client.initiate().id
        finally:
            kept.bao.unseal()
        wait_until(lambda: metric(daemon, "payd_vault_up ") == 1)


@pytest.mark.parametrize("vault_first", [True, False])
def test_a_rotated_database_password_costs_no_call(kept: Kept, vault_first: bool) -> None:
    errors: list[str] = []
    with running_daemon(kept.place, **kept.environment()) as daemon:
        with steady_calls(daemon, errors):
            for turn in range(3):
                password = f"canary-{turn}"
                steps = [
                    lambda: kept.bao.write(db_password=password),  # noqa: B023 - called at once
                    lambda: kept.change_password(password),  # noqa: B023 - called at once
                ]
                for step in steps if vault_first else reversed(steps):
                    step()
                    time.sleep(0.3)
                wait_until(
                    lambda: (
                        sum(line.get("event") == "secrets_rotated" for line in daemon.lines)
                        == turn + 1  # noqa: B023 - asked at once
                    )
                )
                # Every session anew: the password in force is the one that is used.
                kept.at_database(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    f" WHERE usename = '{kept.role}' AND query LIKE 'LISTEN%'"
                )
        with daemon.client() as client:
            assert client.initiate().id
        assert not [line for line in daemon.lines if "canary" in str(line)]
    assert errors == []


def test_a_password_in_a_file_is_read_anew_on_sighup(kept: Kept, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("canary-first\n")
    settings = {"DB_USER": kept.role, "DB_PASSWORD": "", "DB_PASSWORD_FILE": str(file)}
    errors: list[str] = []
    with running_daemon(kept.place, **settings) as daemon:
        with steady_calls(daemon, errors):
            kept.change_password("canary-second")
            file.write_text("canary-second\n")
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(
                lambda: any(li.get("event") == "configuration_reloaded" for li in daemon.lines)
            )
            time.sleep(0.3)
        assert errors == []
