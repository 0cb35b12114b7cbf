"""A credential appears in no output, whether its server refuses it or is unreachable."""

import subprocess
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from support import plain_http
from support.daemon import Daemon, Place, running_daemon
from support.planted_secrets import MARK, WATCH
from support.tempo import tempo_environment
from support.waiting import wait_until

from payd.dev.servers import valkey_command

#: Of NATS, PostgreSQL, Valkey and the chain's hosts: each has been asked.
REFUSALS = (
    "Authorization Violation",
    "InvalidPasswordError",
    "invalid username-password pair",
    "HTTP 401",
)


@contextmanager
def running(*argv: str) -> Iterator[None]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def nats_of_another(port: int, folder: Path) -> tuple[str, ...]:
    """Command line of a server that accepts only another user."""
    binary = str(Path(sysconfig.get_path("scripts")) / "nats-server")
    user = ("--user", "another", "--pass", f"{MARK}-of-another")
    return (binary, "-sd", str(folder / "nats"), "-a", "127.0.0.1", "-p", str(port), *user)


def valkey_of_another(port: int) -> tuple[str, ...]:
    """The same."""
    return (*valkey_command(port).argv, "--requirepass", f"{MARK}-of-another")


@contextmanager
def chain_that_refuses() -> Iterator[int]:
    """The port of an endpoint that answers 401 to all, and repeats what it was asked."""

    class Refusal(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(401, f"no key {self.path}")
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *_: object) -> None:
            """Not to the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def is_reported(daemon: Daemon, *words: str) -> bool:
    """In a line or in readiness."""
    output = plain_http.get(f"http://{daemon.http}/readyz", timeout=5).text + str(daemon.lines)
    return all(word in output for word in words)


def test_a_credential_is_not_shown_when_a_server_refuses_it_or_is_away(
    place: Place, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    nats, valkey, nowhere = free_port(), free_port(), free_port()
    with (
        running(*nats_of_another(nats, tmp_path)),
        running(*valkey_of_another(valkey)),
        chain_that_refuses() as chain,
    ):
        environment = tempo_environment(
            f"http://127.0.0.1:{nowhere}/v2/{MARK}-key-in-path",
            f"http://127.0.0.1:{chain}/v2/{MARK}-key-in-path",
            f"http://payd:{MARK}-key-of-user@127.0.0.1:{chain}/?apikey={MARK}-key-in-query",
        ) | {
            "LOG_LEVEL": "debug",
            "DB_PASSWORD": f"{MARK}-of-postgres",
            "REDIS_ADDR": f"127.0.0.1:{valkey}",
            "REDIS_PASSWORD": f"{MARK}-of-valkey",
            "NATS_URL": f"nats://payd:{MARK}-of-nats@127.0.0.1:{nats},"
            f"nats://{MARK}-token-of-nats@127.0.0.1:{nats}",
        }
        with (
            running_daemon(place.without_forks(), **environment) as daemon,
            daemon.client() as client,
        ):
            with pytest.raises(grpc.RpcError):
                client.initiate(method="crypto")
            wait_until(lambda: is_reported(daemon, *REFUSALS), lambda: daemon.lines)
    assert WATCH.hits == []
