"""`payd dev`: run everything on this machine, and say where it is and what to type next."""

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from payd.cli import render

if TYPE_CHECKING:
    from payd.dev.state import StateDir


@click.command()
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".payd"),
    show_default=True,
    help="Where data, certificates and dev.json are kept.",
)
@click.option("--ephemeral", is_flag=True, help="Start empty, and remove the data at the end.")
@click.option("--port-base", type=click.IntRange(1024, 65000), help="Ports from here on.")
@click.option("--with-example", is_flag=True, help="A shop that takes payments, in a browser.")
def dev(state_dir: Path, ephemeral: bool, port_base: int | None, with_example: bool) -> None:
    """Run PostgreSQL, NATS, Valkey and payd on this machine, until Ctrl-C."""
    from payd import telemetry
    from payd.config import EXIT_BAD_CONFIGURATION, ConfigError
    from payd.dev.servers import ServerFailed
    from payd.dev.state import StateInUse, open_state
    from payd.providers.loader import PluginError

    telemetry.configure_logging("warning" if sys.stderr.isatty() else "info", "auto")
    code = 0
    try:
        with open_state(state_dir, ephemeral=ephemeral) as state:
            trio.run(_run, state, port_base, with_example)
    except* StateInUse as errors:
        _tell(errors)
        code = 1
    except* (ConfigError, PluginError) as errors:
        _tell(errors)
        code = EXIT_BAD_CONFIGURATION
    except* (ServerFailed, OSError) as errors:
        _tell(errors)
        code = 1
    sys.exit(code)


async def _run(state: "StateDir", port_base: int | None, with_example: bool) -> None:
    from payd.dev.run import run_dev

    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_signal, stop, nursery.cancel_scope)
        with _progress() as progress:
            ready = partial(_show, state, progress)
            await run_dev(
                state,
                port_base,
                stop,
                progress=progress.step,
                tell=progress.tell,
                ready=ready,
                with_example=with_example,
            )
        nursery.cancel_scope.cancel()


async def _until_signal(stop: trio.Event, everything: trio.CancelScope) -> None:
    """The first signal drains; a second one does not wait for that."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for number in signals:
            if number == signal.SIGHUP:
                continue
            if stop.is_set():
                everything.cancel()
            stop.set()


class _Progress:
    """One line that says what is being started."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def step(self, what: str) -> None:
        """Show it, over the last one on a terminal."""
        end = "\r" if self._live else "\n"
        click.echo(
            f"\x1b[2Kstarting {what} …{end}" if self._live else f"starting {what}",
            err=True,
            nl=not self._live,
        )

    def tell(self, what: str) -> None:
        """A line that stays."""
        self.done()
        click.secho(what, fg="yellow", err=True)

    def done(self) -> None:
        """Wipe the line."""
        if self._live:
            click.echo("\x1b[2K", err=True, nl=False)


@contextmanager
def _progress() -> Iterator[_Progress]:
    progress = _Progress()
    try:
        yield progress
    finally:
        progress.done()


def _show(state: "StateDir", progress: _Progress, document: Mapping[str, str]) -> None:
    progress.done()
    here = "" if state.path == Path(".payd").absolute() else f" --state-dir {state.path}"
    click.secho("payd is ready. It stops with Ctrl-C.\n", bold=True)
    rows = {**document, "state": str(state.path)}
    width = max(map(len, rows)) + 2
    for name, where in rows.items():
        click.echo(f"  {name:<{width}}{where}")
    if "example" in document:
        click.secho("\nThe shop, in a browser:\n", bold=True)
        click.echo(f"  {document['example']}")
    payd = render.program()
    click.secho("\nIn another terminal, the first payment:\n", bold=True)
    click.echo(f"  {payd} pay --item ethereum-mainnet/full/30d --method mock{here}")
    if "stripe_api" in document:
        click.echo(f"  {payd} pay --item ethereum-mainnet/full/30d --method card{here}")
    if "tempo_rpc" in document:
        crypto = "--method crypto --crypto-currency USDC"
        click.echo(f"  {payd} pay --item ethereum-mainnet/full/30d {crypto} --no-wait{here}")
        click.echo(f"  {payd} tempo pay PAYMENT_ID{here}")
    click.echo(f"  {payd} events tail --no-follow{here}")
    click.echo(f"\nMore: {payd} --help\n")


def _tell(errors: BaseExceptionGroup[BaseException]) -> None:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            _tell(error)
        else:
            click.echo(f"payd dev: {error}", err=True)
