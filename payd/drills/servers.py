"""A site for drills: real servers, companions and certificates in one folder, and daemons on it."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import trio
from payd_client import PaymentClient, TlsFiles

from payd.config import Config, load_config
from payd.dev.companion_context import DevSession
from payd.dev.companions import Added, open_companions
from payd.dev.pki import ensure_pki
from payd.dev.ports import HOST, USUAL, any_free, choose_ports
from payd.dev.postgres import Postgres
from payd.dev.run import Servers, command_settings, daemon_environment, open_servers, update_schema
from payd.dev.servers import Command, Server, ServerFailed, answers
from payd.dev.state import StateDir, open_state
from payd.drills.own_servers import refuse_others, without_others

Progress = Callable[[str], None]

#: Patience with a machine that does other work, too.
READY_S = 120.0
_POLL_S = 0.05
#: Of a call, as the client has it by default.
_ATTEMPTS_MAX = 4
#: Drills wait for payd's loops, so these look often. A busy machine is no fault of a drill's.
_QUICK = {
    "PAYD_RECOVERY_INTERVAL_S": "0.5",
    "PAYD_AUDIT_CHECKPOINT_INTERVAL_S": "5",
    "PAYD_DATABASE_ACQUIRE_TIMEOUT_S": "30",
    "PAYD_DATABASE_CONNECT_TIMEOUT_S": "30",
    "PAYD_DATABASE_COMMAND_TIMEOUT_S": "30",
    "PAYD_DATABASE_STATEMENT_TIMEOUT_MS": "25000",
    "PAYD_DATABASE_LOCK_TIMEOUT_MS": "20000",
    "PAYD_CONSOLE_ENABLED": "false",
    "PAYD_SHARE_PORTS": "true",
}


@attrs.frozen(kw_only=True)
class Site:
    """Servers and companions that run; daemons are started on it by name."""

    state: StateDir
    database: Postgres
    servers: Servers
    added: Added = attrs.field(repr=False)

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of its daemons."""
        return self.added.environment

    def config(self, **more: str) -> Config:
        """The same as a configuration, for parts of payd that a drill runs by itself."""
        return load_config({**self.environment, **more}, None)

    def daemon(self, name: str, *, without: Collection[str] = (), **environment: str) -> "Daemon":
        """A daemon that does not run yet; `environment` replaces settings of the site.

        It does not get the settings `without`, which an older version may not know.
        It has gRPC and metrics ports of its own, and shares the port for webhooks with the others.
        """
        ports = {"GRPC_PORT": str(any_free()), "METRICS_PORT": str(any_free())}
        whole = {**self.environment, **ports, **environment}
        known = {variable: value for variable, value in whole.items() if variable not in without}
        return Daemon(self, name, known)

    def client(
        self, daemon: "Daemon", certificate: str = "client", *, attempts_max: int = _ATTEMPTS_MAX
    ) -> PaymentClient:
        """A client of a daemon, with one of the certificates of `payd dev`."""
        pki = self.state.pki
        tls = TlsFiles(
            ca=pki / "ca.crt", cert=pki / f"{certificate}.crt", key=pki / f"{certificate}.key"
        )
        return PaymentClient(daemon.address, tls, deadline_s=READY_S, attempts_max=attempts_max)

    def announce(self, daemon: "Daemon") -> None:
        """Let payd's commands find the daemon by --state-dir."""
        document = {"grpc": daemon.address, **attrs.asdict(self.servers), **self.added.announced}
        if self.added.wallet_command:
            document["wallet_command"] = self.added.wallet_command
        self.state.announce(document, command_settings(daemon.environment))

    async def payd(self, *arguments: str) -> str:
        """Run one of payd's commands for the announced daemon; return what it prints.

        Raises subprocess.CalledProcessError.
        """
        argv = [sys.executable, "-m", "payd", *arguments, "--state-dir", str(self.state.path)]
        done = await trio.run_process(argv, capture_stdout=True, capture_stderr=True)
        return done.stdout.decode()


class Daemon:
    """One `payd serve`; the kernel ends it with this process."""

    def __init__(self, site: Site, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.environment = environment
        self.address = f"{HOST}:{environment['GRPC_PORT']}"
        self.metrics = f"{HOST}:{environment['METRICS_PORT']}"
        self.log = site.state.logs / f"{name}.log"
        command = Command(
            name=name, argv=[sys.executable, "-m", "payd", "serve"], environment=environment
        )
        self._server = Server(command, self.log, site.state.data / f"{name}.pid")

    @property
    def pid(self) -> int:
        """Its process id. Raises ServerFailed if it was never started, or was stopped."""
        return self._server.pid

    def has_ended(self) -> bool:
        """Whether it does not run."""
        return self._server.has_ended()

    async def start(self) -> None:
        """Start it, and return when it accepts calls. Raises ServerFailed."""
        self._server.start()
        with trio.move_on_after(READY_S):
            # Peers share the gRPC port, so that another one may answer there.
            while not (
                await answers(int(self.environment["METRICS_PORT"]))
                and await answers(int(self.environment["GRPC_PORT"]))
            ):
                if self._server.has_ended():
                    break
                await trio.sleep(_POLL_S)
            else:
                return
        raise ServerFailed(f"{self.name} did not start:\n{self._server.tail()}")

    async def stop(self) -> None:
        """Stop it as a service manager does. Repeatable."""
        await self._server.stop()

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self._server.kill()

    def freeze(self) -> None:
        """Let it stand still until `thaw`, as a paused virtual machine does."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)


@asynccontextmanager
async def running(*daemons: Daemon) -> AsyncIterator[None]:
    """Start daemons, and stop those that still run at the end."""
    try:
        for daemon in daemons:
            await daemon.start()
        yield
    finally:
        with trio.CancelScope(shield=True):
            for daemon in daemons:
                if not daemon.has_ended():
                    # A frozen one would not hear the signal.
                    daemon.thaw()
                await daemon.stop()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can enter, until the end of the block."""
    with TemporaryDirectory(prefix="payd-drill-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def open_passable(folder: Path) -> Iterator[StateDir]:
    """Open a state directory that PostgreSQL's user can pass through, whatever the umask.

    Else root's data would be elsewhere, and stay there.
    """
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)
    with open_state(folder, ephemeral=False) as state:
        yield state


@asynccontextmanager
async def open_site(
    folder: Path,
    progress: Progress,
    *,
    cache: Path | None = None,
    has_schema: bool = True,
    **settings: str,
) -> AsyncIterator[Site]:
    """Start everything but daemons in `folder`; the end of the block stops it.

    `settings` are variables of the daemons. `cache` keeps what companions download, for the next
    drill. Raises ServerFailed.
    """
    with open_passable(folder) as state:
        _keep_downloads(state, cache)
        ports = choose_ports(dict.fromkeys(USUAL, 0), None)
        progress("certificates")
        ensure_pki(state.pki, datetime.now(UTC))
        session = DevSession(state=state, ports=ports, command=lambda arguments: arguments)
        async with open_servers(state, ports.chosen, progress) as (database, servers):
            environment = without_others(daemon_environment(state, ports.chosen, database, servers))
            async with open_companions(
                session, {**environment, **_QUICK, **settings}, progress, progress
            ) as added:
                refuse_others(added)
                site = Site(state=state, database=database, servers=servers, added=added)
                if has_schema:
                    progress("schema")
                    await update_schema(site.config(), progress)
                yield site


def _keep_downloads(state: StateDir, cache: Path | None) -> None:
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        (state.path / "cache").symlink_to(cache.absolute())
