"""A second cluster of PostgreSQL, into which a dump of another one is read."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from payd.adapters.postgres.database import DatabaseSettings
from payd.dev.ports import any_free
from payd.dev.postgres import binaries

_PASSWORD = "of the tests"
_TIMEOUT_S = 180


@attrs.frozen
class SecondCluster:
    """A server that a test starts and stops; its role `payd` owns everything."""

    data: Path
    port: int

    def settings(self, database: str = "postgres") -> DatabaseSettings:
        """How payd connects to it."""
        return DatabaseSettings(
            host="127.0.0.1", port=self.port, user="payd", password=_PASSWORD, name=database
        )

    def start(self) -> None:
        """Return when it accepts connections."""
        options = f"-p {self.port} -h 127.0.0.1 -k '' -c fsync=off"
        self._run("pg_ctl", "start", "-w", "-o", options, "-l", str(self.data.parent / "log"))

    def stop(self) -> None:
        """Stop as an operator does."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast")

    def reset_wal(self, *options: str) -> None:
        """Run pg_resetwal; the server must be stopped."""
        self._run("pg_resetwal", *options)

    def read(self, dump: bytes) -> None:
        """Read a dump into its database."""
        url = f"postgresql://payd@127.0.0.1:{self.port}/postgres"
        _run([binaries() / "psql", url, "-q", "-v", "ON_ERROR_STOP=1"], _PASSWORD, dump)

    def _run(self, program: str, *arguments: str) -> None:
        _run([binaries() / program, "-D", self.data, *arguments])


def dump_of(settings: DatabaseSettings) -> bytes:
    """A logical dump, as `pg_dump` writes it."""
    url = f"postgresql://{settings.user}@{settings.host}:{settings.port}/{settings.name}"
    return _run([binaries() / "pg_dump", "--no-owner", url], settings.password)


@contextmanager
def second_cluster() -> Iterator[SecondCluster]:
    """Run a new and empty cluster until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="payd-second-") as name:
        folder = Path(name)
        password = folder / "password"
        password.write_text(_PASSWORD)
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            for path in (folder, password):
                os.chown(path, account.pw_uid, account.pw_gid)
        cluster = SecondCluster(folder / "data", any_free())
        initdb = ("-U", "payd", "--pwfile", password, "--auth=scram-sha-256", "--no-sync")
        _run([binaries() / "initdb", "-D", cluster.data, *initdb, "-E", "UTF8", "--locale=C"])
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


def _run(command: Sequence[object], password: str = "", given: bytes = b"") -> bytes:
    """Run a program of PostgreSQL, which refuses root."""
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    more: dict[str, Any] = {}
    if account is not None:
        more = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    done = subprocess.run(
        [str(part) for part in command],
        input=given,
        # Not pipes: a server that pg_ctl starts would keep them open.
        stdout=subprocess.PIPE if "pg_ctl" not in str(command[0]) else subprocess.DEVNULL,
        stderr=subprocess.PIPE if "pg_ctl" not in str(command[0]) else subprocess.DEVNULL,
        env={"PATH": os.defpath, "PGPASSWORD": password},
        cwd="/",
        timeout=_TIMEOUT_S,
        check=False,
        **more,
    )
    assert done.returncode == 0, f"{command}: {(done.stderr or b'').decode()}"
    return done.stdout or b""
