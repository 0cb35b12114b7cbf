"""`payd drill`: rehearse disasters on local servers of its own, and report what held."""

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from payd.cli import render
from payd.cli.call import json_option

if TYPE_CHECKING:
    from payd.drills.report import DrillReport
    from payd.drills.servers import Progress

    #: A drill that still lacks its folder and where it tells its progress.
    Drill = Callable[[Path, Progress], Awaitable[DrillReport]]

#: What companions download is kept where `payd dev` keeps it.
_CACHE = Path(".payd/cache")
#: Names the versions that the tests upgrade from, the newest one last.
_TESTED = Path("tests/integration/upgrade/PREVIOUS_VERSION")


@click.group()
def drill() -> None:
    """Rehearse a disaster on local servers, and report which invariants hold.

    A drill starts PostgreSQL, NATS, Valkey and companions in a temporary folder, as `payd dev`
    does, and touches nothing else. The exit code is 1 when an invariant is broken.
    """


@drill.command()
@click.argument("daemons", metavar="N", type=click.IntRange(2, 8), default=3)
@click.option(
    "--seconds",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="Seconds of load.",
)
@click.option("--seed", type=int, default=1, help="Decides which payments are made.")
@json_option
def peers(daemons: int, seconds: float, seed: int, as_json: bool) -> None:
    """Kill and freeze N daemons, by default 3, in turn while they take payments."""
    from payd.drills.peers import drill_peers

    async def run(folder: Path, progress: "Progress") -> "DrillReport":
        return await drill_peers(
            folder, daemons, progress, seconds=seconds, seed=seed, cache=_CACHE
        )

    _run(run, as_json)


@drill.command()
@click.option(
    "--minutes",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Minutes of work that are lost, at least; one round of payments is always lost.",
)
@click.option("--seed", type=int, default=1, help="Decides the keys of the payments.")
@json_option
def restore(minutes: float, seed: int, as_json: bool) -> None:
    """Read a dump beside a stream and providers that went on.

    The report names, payment by payment, what the lost time breaks, and what recovery found again.
    The exit code is 1 when more than that is broken.
    """
    from payd.drills.restore import drill_restore

    async def run(folder: Path, progress: "Progress") -> "DrillReport":
        return await drill_restore(folder, progress, lost_s=minutes * 60, seed=seed, cache=_CACHE)

    _run(run, as_json)


@drill.command()
@click.option(
    "--from",
    "commit",
    metavar="COMMIT",
    help="The version to upgrade from; by default the newest that the tests name.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Payments of a kind in a phase.",
)
@click.option("--seed", type=int, default=1, help="Decides the keys of the payments.")
@json_option
def upgrade(commit: str | None, rounds: int, seed: int, as_json: bool) -> None:
    """Upgrade from another version and back, while both take payments.

    Needs a checkout of payd as the working directory: the other version is taken from its history.
    """
    from payd.drills.previous import NotInHistory, unpack
    from payd.drills.upgrade import drill_upgrade

    async def run(folder: Path, progress: "Progress") -> "DrillReport":
        (folder / "previous").mkdir()
        previous = unpack(Path(), commit or _tested_version(), folder / "previous")
        return await drill_upgrade(
            folder / "site", previous, progress, rounds=rounds, seed=seed, cache=_CACHE
        )

    try:
        _run(run, as_json)
    except* NotInHistory as errors:
        render.refuse(errors)


def _tested_version() -> str:
    from payd.drills.previous import named_in

    try:
        return named_in(_TESTED)[-1]
    except OSError:
        raise click.UsageError(f"there is no {_TESTED}: name a version with --from") from None


def _run(run: "Drill", as_json: bool) -> None:
    """Run a drill in a temporary folder, print its report, and exit."""
    from payd import telemetry
    from payd.dev.servers import ServerFailed
    from payd.drills.servers import temporary_folder

    telemetry.configure_logging("warning", "auto")
    progress = partial(click.echo, err=True)
    try:
        with temporary_folder() as folder:
            report = trio.run(run, folder, progress)
    except* (ServerFailed, OSError) as errors:
        render.refuse(errors)
    if as_json:
        render.as_json(report.document())
    else:
        click.echo("\n".join(report.lines()))
    sys.exit(bool(report.broken))
