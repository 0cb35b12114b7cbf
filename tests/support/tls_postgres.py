"""A real PostgreSQL that accepts only TLS; the embedded one is built without TLS."""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from payd.dev.ports import any_free
from support.absent import NO_TLS_POSTGRES, do_without
from support.authority import Authority
from support.waiting import wait_until

PASSWORD = "of the tests"


@attrs.frozen
class TlsPostgres:
    """A server whose certificate names localhost and 127.0.0.1."""

    port: int
    #: Certificate of the authority that signed the server's.
    ca: Path

    def look(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run `payd migrate --check` on its empty database: exit 1, listing what is missing."""
        return subprocess.run(
            [sys.executable, "-m", "payd", "migrate", "--check"],
            env={
                "PATH": os.environ["PATH"],
                # Without ~/.postgresql/root.crt.
                "HOME": "/nowhere",
                "ENVIRONMENT": "test",
                "DB_HOST": "localhost",
                "DB_PORT": str(self.port),
                "DB_PASSWORD": PASSWORD,
                "DB_NAME": "postgres",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@contextlib.contextmanager
def running_tls_postgres() -> Iterator[TlsPostgres]:
    """Run the server until the end of the block."""
    programs = _programs_with_tls() or do_without(NO_TLS_POSTGRES)
    with tempfile.TemporaryDirectory(prefix="payd-tls-") as name:
        folder, port = Path(name), any_free()
        _initialize(programs, folder)
        authority = Authority.new()
        for file, content in zip(("server.crt", "server.key"), authority.server(), strict=True):
            (folder / "data" / file).write_bytes(content)
            (folder / "data" / file).chmod(0o600)
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        ca = folder / "ca.crt"
        ca.write_bytes(authority.pem())
        _own(folder)
        with (folder / "log").open("wb") as log:
            options = ("-c", "ssl=on", "-c", f"port={port}", "-k", "", "-h", "127.0.0.1")
            process = subprocess.Popen(
                [str(programs / "postgres"), "-D", str(folder / "data"), *options],
                stdout=log,
                stderr=log,
                cwd="/",
                **_as_nobody(),
            )
        try:
            _until_ready(programs, port, process, folder / "log")
            yield TlsPostgres(port, ca)
        finally:
            process.kill()
            process.wait()


def _programs_with_tls() -> Path | None:
    """Find PostgreSQL of the system's packages, which are built with OpenSSL."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if on_path := shutil.which("postgres"):
        candidates.append(Path(on_path).resolve().parent)
    for folder in candidates:
        needed = subprocess.run(
            ["ldd", str(folder / "postgres")], capture_output=True, text=True, check=False
        )
        if "libssl" in needed.stdout and (folder / "initdb").exists():
            return folder
    return None


def _initialize(programs: Path, folder: Path) -> None:
    (folder / "data").mkdir(mode=0o700)
    (folder / "password").write_text(PASSWORD)
    _own(folder)
    subprocess.run(
        [
            *(str(programs / "initdb"), "-D", str(folder / "data"), "-U", "payd"),
            *("--pwfile", str(folder / "password"), "--auth=scram-sha-256", "--no-sync"),
        ],
        check=True,
        capture_output=True,
        cwd="/",
        **_as_nobody(),
    )


def _own(folder: Path) -> None:
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)


def _as_nobody() -> dict[str, Any]:
    """Run as another user: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _until_ready(programs: Path, port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ask = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    wait_until(
        lambda: subprocess.run(ask, check=False).returncode == 0, log.read_text, process=process
    )
