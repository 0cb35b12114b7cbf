"""`payd plugin new`, `check` and `checks`: create a provider plugin and certify it."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payd.cli import render

if TYPE_CHECKING:
    from importlib.metadata import Distribution

    from payd.plugins.testing.report import Report, Verdict

#: Name of the provider that serves as the skeleton.
_SKELETON = "acme"
#: Build and cache files of the skeleton.
_NOT_COPIED = shutil.ignore_patterns(
    "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", "build"
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MARKS = {
    "passed": ("✓", "green"),
    "failed": ("✗", "red"),
    "remote mistake": ("!", "red"),
    "unproven": ("?", "yellow"),
}


@click.group()
def plugin() -> None:
    """Create a provider plugin, check an installed one, or list the checks."""


# -- new ---------------------------------------------------------------------------------------


@plugin.command("new")
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Folder to create.  [default: ./NAME]"
)
def new(name: str, folder: Path | None) -> None:
    """Create a working provider NAME: a wheel whose tests pass from the first run."""
    from payd.shipped import shipped

    target = folder or Path(name)
    if not _NAME.fullmatch(name):
        raise click.UsageError(
            f"invalid name {name!r}: use up to 32 of a-z 0-9 _, starting with a letter"
        )
    if target.exists():
        raise click.ClickException(f"{target} already exists: remove it, or pass --folder")
    shutil.copytree(shipped("examples") / "providers" / _SKELETON, target, ignore=_NOT_COPIED)
    for path in _deepest_first(target):
        if path.is_file():
            path.write_text(_renamed(path.read_text(), name))
        path.rename(path.with_name(_renamed(path.name, name)))
    click.echo(f"Created a working provider in {target}. Next:\n")
    for command in (
        f"pip install -e '{_pip_path(target)}[test]'",
        f"pytest {target}",
        f"payd plugin check payd-{name}-provider",
    ):
        click.echo(f"  {command}")
    click.echo(f"\n{target}/README.md explains what to change.")


def _deepest_first(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True)


def _renamed(text: str, name: str) -> str:
    """Replace the skeleton's name: CamelCase in classes, capitals in constants."""
    words = "".join(word.capitalize() for word in name.split("_"))
    for old, new_word in (
        (_SKELETON, name),
        (_SKELETON.capitalize(), words),
        (_SKELETON.upper(), name.upper()),
    ):
        text = text.replace(old, new_word)
    return text


def _pip_path(folder: Path) -> str:
    """Write a path for pip, which would take a bare word for a package name."""
    return str(folder) if folder.is_absolute() or len(folder.parts) > 1 else f"./{folder}"


# -- check -------------------------------------------------------------------------------------


@plugin.command("check")
@click.argument("distribution")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(distribution: str, as_json: bool) -> None:
    """Run the conformance kit on the providers of an installed DISTRIBUTION.

    Stores the result for `payd providers`. Exits with 1 when a check failed, or is unproven and the
    manifest does not say why.
    """
    reports = [_report(name, quiet=as_json) for name in _offered(distribution)]
    if as_json:
        render.as_json({"reports": [report.as_json() for report in reports]})
    for report in reports:
        _keep(report)
        if not as_json:
            click.echo(report.as_text())
    sys.exit(0 if all(report.passed for report in reports) else 1)


@plugin.command("checks")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def checks(as_json: bool) -> None:
    """List the checks of the conformance kit by level, and why each one matters."""
    listed = [
        {"level": one.level.value, "name": one.name, "why": one.why}
        for level in _kit().Level
        for one in _kit().CHECKS
        if one.level is level
    ]
    if as_json:
        render.as_json({"checks": listed})
        return
    for one in listed:
        click.echo(f"{one['level']:<11}{click.style(one['name'], bold=True)}")
        click.echo(f"{'':<11}{one['why']}")


def _kit() -> Any:
    """Import the conformance kit. Raises click.ClickException if its libraries are missing."""
    try:
        from payd.plugins import testing
    except ImportError as error:
        raise click.ClickException(
            "the conformance kit needs hypothesis and pytest: run requirements/install.py dev "
            f"of payd's repository with this environment's Python ({error})"
        ) from None
    return testing


def _offered(distribution: str) -> list[str]:
    """Names of the distribution's providers. Raises click.ClickException if it has none."""
    from importlib.metadata import entry_points

    wanted = _normal(distribution)
    names = [
        point.name
        for point in entry_points(group="payd")
        if wanted in (_normal(point.name), *_names(point.dist))
    ]
    if not names:
        raise click.ClickException(
            f"{distribution} is not installed or contains no provider: "
            "`payd providers` lists the installed providers"
        )
    return names


def _names(dist: "Distribution | None") -> Iterator[str]:
    if dist is not None:
        yield _normal(dist.name)


def _normal(name: str) -> str:
    """Normalise a distribution name as package indexes do (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _report(name: str, *, quiet: bool) -> "Report":
    from datetime import UTC, datetime

    import trio

    from payd.providers.discovery import PluginError, manifest_of

    kit = _kit()
    try:
        manifest = manifest_of(name)
    except PluginError as error:
        raise click.ClickException(str(error)) from None
    open_remote = _remote_of(name)

    async def run() -> "Report":
        on_verdict = _ignore if quiet else _print_verdict
        report: Report = await kit.run_kit(
            manifest, open_remote, now=datetime.now(UTC), on_verdict=on_verdict
        )
        return report

    return trio.run(run)


def _remote_of(name: str) -> Any:
    from importlib.metadata import entry_points

    points = tuple(entry_points(group="payd.conformance", name=name))
    if not points:
        raise click.ClickException(
            f"the provider {name} has no remote side for the kit: its author must add the"
            f" entry point payd.conformance, `{name} = PACKAGE.conformance:open_remote`"
        )
    try:
        return points[0].load()
    except ImportError as error:
        raise click.ClickException(
            f"the remote side of {name} cannot be imported: {error}"
        ) from None


def _print_verdict(verdict: "Verdict") -> None:
    if mark := _MARKS.get(verdict.outcome.value):
        click.echo(f"{click.style(mark[0], fg=mark[1])} {verdict.level.value:<11}{verdict.check}")


def _ignore(verdict: "Verdict") -> None:
    pass


def _keep(report: "Report") -> None:
    from payd.cli.certified import code_of, keep

    try:
        keep(report.as_json(), code_of(report.provider))
    except OSError as error:
        click.echo(f"cannot store the result for `payd providers`: {error}", err=True)
