"""What `payd dev` gives the companion of one provider: ports, folders, secrets, servers."""

import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs

from payd.adapters.system import SystemClock
from payd.dev.clock import MovableClock
from payd.dev.ports import HOST, Ports
from payd.dev.servers import Command, answers, running
from payd.dev.state import StateDir
from payd.plugins.context import Clock

#: The product that examples buy; it is in the price file that ships with payd.
EXAMPLE_ITEM = "ethereum-mainnet/full/30d"


@attrs.frozen(kw_only=True)
class DevSession:
    """What the companions of one `payd dev` share."""

    state: StateDir
    ports: Ports
    #: Arguments of payd → the command line that a person types for this `payd dev`.
    command: Callable[[str], str]
    #: The clock of `payd dev --clock`; None without the option.
    clock: MovableClock | None = None

    def secret(self, provider: str, name: str) -> str:
        """Return a provider's secret, generated once and kept beside the data."""
        return self.state.secret(f"{provider}_{name}")


@attrs.frozen(kw_only=True)
class DevContext:
    """CompanionContext for one provider."""

    provider: str
    session: DevSession
    settings: Mapping[str, str] = attrs.field(repr=False)
    methods_taken: frozenset[str] = frozenset()

    @property
    def host(self) -> str:
        """Every server of `payd dev` listens on the loopback address only."""
        return HOST

    @property
    def folder(self) -> Path:
        """A folder beside the servers' data, so that --ephemeral removes it."""
        folder = self.session.state.data / "companions" / self.provider
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def cache(self) -> Path:
        """A folder outside the data, so that --ephemeral keeps it."""
        return self.session.state.path / "cache" / self.provider

    @property
    def webhook_url(self) -> str:
        """The path under which the HTTP server routes webhooks to this provider."""
        return f"http://{HOST}:{self.session.ports.chosen['http']}/webhooks/{self.provider}"

    @property
    def clock(self) -> Clock:
        """The clock that the daemon has, too."""
        return self.session.clock or SystemClock()

    def port(self, name: str, usual: int) -> int:
        """Choose a port, remembered under the provider's name."""
        return self.session.ports.choose(f"{self.provider}.{name}", usual)

    def secret(self, name: str) -> str:
        """Return the same value that a generated credential of this name has."""
        return self.session.secret(self.provider, name)

    def command(self, arguments: str) -> str:
        """Return the command with this program's name and state directory."""
        return self.session.command(arguments)

    def pay_command(self, method: str, options: str = "") -> str:
        """Return the command that buys the example product."""
        arguments = f"pay --item {EXAMPLE_ITEM} --method {method}"
        return self.command(f"{arguments} {options}".strip())

    @asynccontextmanager
    async def server(
        self,
        name: str,
        argv: Sequence[str],
        port: int,
        *,
        environment: Mapping[str, str] | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> AsyncIterator[None]:
        """Run the program as `payd dev` runs its own servers. Raises ServerFailed."""
        command = Command(
            name=f"{self.provider}-{name}",
            argv=argv,
            port=port,
            environment=environment or {},
            death_signal=death_signal,
        )
        async with running(self.session.state, command, partial(answers, port)):
            yield
