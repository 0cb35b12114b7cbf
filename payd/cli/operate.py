"""serve, migrate, config, pricing: what an operator runs on the daemon's host."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from payd.cli import render
from payd.cli.target import daemon_environment, find_dev, state_dir_option


def read_config(state_dir: Path | None, *, with_secrets: bool = True) -> Any:
    """The configuration of the daemon that a command works with: see `find_dev`.

    A wrong one is reported, problem by problem, and ends the command with 78. `with_secrets` also
    reads the vault, if there is one; a vault that does not answer ends the command with 1.
    """
    config = _load(daemon_environment(state_dir))
    return _from_vault(config) if with_secrets and config.vault.addr else config


def _load(environment: Mapping[str, str]) -> Any:
    from payd import telemetry
    from payd.config import EXIT_BAD_CONFIGURATION, ConfigError, load_config

    telemetry.configure_logging("warning", "auto")
    try:
        return load_config(environment, None)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"{problem.key} ({problem.where}): {problem.what}", err=True)
        if [problem.key for problem in error.problems] == ["database.password"]:
            # Nothing else is wrong, so most likely nothing was configured.
            click.echo("no `payd dev` was found either: start it, or give --state-dir", err=True)
        sys.exit(EXIT_BAD_CONFIGURATION)


def _from_vault(config: Any) -> Any:
    import trio

    from payd.config import with_vault
    from payd.daemon.builders import build_vault, new_metrics
    from payd.ports import SecretsUnavailable

    vault = build_vault(config, new_metrics())
    if vault is None:
        return config
    try:
        return with_vault(config, trio.run(vault.read))
    except* SecretsUnavailable as errors:
        raise click.ClickException(f"Vault: {errors.exceptions[0]}") from None


@click.command()
def serve() -> None:
    """Run the daemon until SIGTERM. SIGHUP reloads prices, certificates, allow-list, log level."""
    config = _load(os.environ)
    _preflight(config)
    from payd.config import load_config
    from payd.daemon import process
    from payd.nursery import run

    sys.exit(process.serve(run, config, partial(load_config, os.environ, None)))


def _preflight(config: Any) -> None:
    """What is wrong is told before the servers are even imported, which takes longer."""
    from payd import telemetry
    from payd.config import EXIT_BAD_CONFIGURATION, ConfigError
    from payd.daemon.preflight import preflight
    from payd.providers.loader import PluginError

    telemetry.configure_logging(config.log.level, config.log.format)
    try:
        preflight(config)
    except (ConfigError, PluginError) as error:
        telemetry.get_logger(__name__).critical("daemon_failed", error=str(error))
        sys.exit(EXIT_BAD_CONFIGURATION)


@click.command()
@click.option("--check", is_flag=True, help="Only say what is missing; exit 1 if anything is.")
@click.option("--post", is_flag=True, help="Also what must wait until the last old daemon is gone.")
@state_dir_option
def migrate(check: bool, post: bool, state_dir: Path | None) -> None:
    """Bring the database schema up to date, beside daemons of this and the previous version.

    Several at once wait for one another.
    """
    import trio

    from payd.adapters.postgres.migrate import MigrationError
    from payd.domain.errors import StoreUnavailable

    try:
        names = trio.run(_migrate, read_config(state_dir), check, post)
    except* (MigrationError, StoreUnavailable) as errors:
        render.refuse(errors)
    if check and names:
        click.echo(f"missing: {', '.join(names)}")
        sys.exit(1)
    click.echo(f"{len(names)} applied" if names else "the schema is up to date")


async def _migrate(config: Any, check: bool, post: bool) -> list[str]:
    from payd.adapters import bridge
    from payd.adapters.postgres import migrate as migrations
    from payd.adapters.postgres.database import Database
    from payd.daemon.builders import database_settings

    database = Database(database_settings(config))
    async with bridge.open_loop(lambda message, error: None):
        if check:
            found = await bridge.aio(partial(migrations.pending, database, post=post))
        else:
            found = await bridge.aio(partial(migrations.migrate, database, _say, post=post))
    return [migration.name for migration in found]


def _say(line: str) -> None:
    click.echo(f"applying {line}", err=True)


@click.group()
def config() -> None:
    """Check or show the configuration."""


@config.command("check")
@state_dir_option
def config_check(state_dir: Path | None) -> None:
    """Exit 78 and name each wrong key, or 0."""
    read_config(state_dir, with_secrets=False)
    dev = find_dev(state_dir)
    click.echo(f"the configuration is good{f' (`payd dev` on {dev})' if dev else ''}")


@config.command("show")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@state_dir_option
def config_show(as_json: bool, state_dir: Path | None) -> None:
    """Every setting: value, environment variable, where it came from. Secrets are masked."""
    import attrs

    from payd.config import describe

    rows = describe(read_config(state_dir, with_secrets=False))
    if as_json:
        render.as_json([attrs.asdict(row) for row in rows])
        return
    render.table(
        ("setting", "value", "variable", "from"),
        [(row.key, row.value, row.env, row.source) for row in rows],
    )


@config.command("reference")
def config_reference() -> None:
    """docs/configuration.md: every setting, its variable, its default, what it means."""
    from payd.cli.reference import reference

    click.echo(reference(), nl=False)


@click.group()
def pricing() -> None:
    """Check or show the prices."""


@pricing.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@state_dir_option
def pricing_check(file: Path | None, state_dir: Path | None) -> None:
    """Exit 78 and name file, line and key of what is wrong, or 0."""
    prices = _prices(file, state_dir)
    click.echo(f"{len(prices.prices)} prices in {prices.currency}, version {prices.version}")


@pricing.command("show")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@state_dir_option
def pricing_show(file: Path | None, as_json: bool, state_dir: Path | None) -> None:
    """Every price."""
    prices = _prices(file, state_dir)
    rows = [(*product, units) for product, units in prices.prices.items()]
    if as_json:
        names = ("chain_profile_id", "node_type", "duration", "minor_units")
        listed = [dict(zip(names, row, strict=True)) for row in rows]
        render.as_json(
            {"currency": prices.currency, "pricing_version": prices.version, "prices": listed}
        )
        return
    money = [{"currency_code": prices.currency, "minor_units": row[-1]} for row in rows]
    render.table(
        ("chain", "node", "duration", "price"),
        [
            (*map(str, row[:-1]), render.amount(price))
            for row, price in zip(rows, money, strict=True)
        ],
    )


def _prices(file: Path | None, state_dir: Path | None) -> Any:
    from payd.config import EXIT_BAD_CONFIGURATION, ConfigError, load_prices

    try:
        return load_prices(file or read_config(state_dir, with_secrets=False).pricing.file)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_BAD_CONFIGURATION)
