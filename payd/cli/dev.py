"""`payd dev`: run everything on this machine, show its addresses and what to type next."""

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from payd.cli import render
from payd.cli.dev_banner import Banner

if TYPE_CHECKING:
    from payd.dev.state import StateDir


@click.command()
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".payd"),
    show_default=True,
    help="Folder for data, certificates and dev.json.",
)
@click.option("--ephemeral", is_flag=True, help="Start with empty data, and remove it at the end.")
@click.option(
    "--port-base", type=click.IntRange(1024, 65000), help="Use the ports from this one on."
)
@click.option("--with-example", is_flag=True, help="Run the example shop, for a browser.")
@click.option("--clock", "with_clock", is_flag=True, help="Let `payd clock` move the time.")
@click.option("--verbose", is_flag=True, help="Show every address, and commands to try.")
def dev(
    state_dir: Path,
    ephemeral: bool,
    port_base: int | None,
    with_example: bool,
    with_clock: bool,
    verbose: bool,
) -> None:
    """Run PostgreSQL, NATS, Valkey and payd on this machine, until Ctrl-C."""
    from payd import telemetry
    from payd.config import EXIT_BAD_CONFIGURATION, ConfigError
    from payd.dev.clock import ClockRefused
    from payd.dev.servers import ServerFailed
    from payd.dev.state import StateInUse, open_state
    from payd.providers.discovery import PluginError

    telemetry.configure_logging("warning" if sys.stderr.isatty() else "info", "auto")
    code = 0
    try:
        with open_state(state_dir, ephemeral=ephemeral) as state:
            trio.run(_run, state, port_base, with_example, with_clock, verbose)
    except* StateInUse as errors:
        _print(errors)
        code = 1
    except* (ConfigError, PluginError) as errors:
        _print(errors)
        code = EXIT_BAD_CONFIGURATION
    except* (ClockRefused, ServerFailed, OSError) as errors:
        _print(errors)
        code = 1
    sys.exit(code)


async def _run(
    state: "StateDir", port_base: int | None, with_example: bool, with_clock: bool, verbose: bool
) -> None:
    from payd.dev.run import Terminal, run_dev

    stop = trio.Event()
    command = partial(_command, state)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_signal, stop, nursery.cancel_scope)
        with _progress() as progress:
            terminal = Terminal(
                progress=progress.step,
                report=progress.report,
                command=command,
                ready=partial(_show, state, progress, verbose),
            )
            await run_dev(
                state,
                port_base,
                stop,
                terminal,
                with_example=with_example,
                with_clock=with_clock,
            )
        nursery.cancel_scope.cancel()


async def _until_signal(stop: trio.Event, everything: trio.CancelScope) -> None:
    """Drain and stop at the first signal; stop at once at the second."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for number in signals:
            if number == signal.SIGHUP:
                continue
            if stop.is_set():
                everything.cancel()
            stop.set()


class _Progress:
    """A line on stderr that shows what is being started."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def step(self, what: str) -> None:
        """Show the next step; on a terminal it replaces the last one."""
        end = "\r" if self._live else "\n"
        click.echo(
            f"\x1b[2Kstarting {what} …{end}" if self._live else f"starting {what}",
            err=True,
            nl=not self._live,
        )

    def report(self, what: str) -> None:
        """Show a line that stays."""
        self.done()
        click.secho(what, fg="yellow", err=True)

    def done(self) -> None:
        """Erase the line."""
        if self._live:
            click.echo("\x1b[2K", err=True, nl=False)


@contextmanager
def _progress() -> Iterator[_Progress]:
    progress = _Progress()
    try:
        yield progress
    finally:
        progress.done()


def _command(state: "StateDir", arguments: str) -> str:
    """Return a command line that finds this `payd dev` from the current directory."""
    here = "" if state.path == Path(".payd").absolute() else f" --state-dir {state.path}"
    return f"{render.program()} {arguments}{here}"


def _show(
    state: "StateDir",
    progress: _Progress,
    verbose: bool,
    document: Mapping[str, str],
    examples: Sequence[str],
) -> None:
    progress.done()
    click.secho("payd is ready. Stop it with Ctrl-C.\n", bold=True)
    banner = Banner(
        document=document,
        state=_typed(state.path),
        commands=(*examples, _command(state, "events tail --no-follow")),
        program=render.program(),
    )
    for line in banner.full() if verbose else banner.short():
        click.echo(line)
    click.echo()


def _typed(path: Path) -> str:
    """Return a path as one types it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _print(errors: BaseExceptionGroup[BaseException]) -> None:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            _print(error)
        else:
            click.echo(f"payd dev: {error}", err=True)
