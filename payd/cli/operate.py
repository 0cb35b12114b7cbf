"""`payd serve`, `migrate`, `config` and `pricing`: commands for the daemon's host."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from payd.cli import render
from payd.cli.target import daemon_environment, find_dev, state_dir_option

if TYPE_CHECKING:
    from payd.config import Problem


def read_config(
    state_dir: Path | None, *, with_secrets: bool = True, with_passwords: bool = True
) -> Any:
    """Load the configuration of the daemon that the command is for (see `find_dev`).

    Prints every problem of an invalid configuration and exits with 78. With `with_secrets` it also
    reads the vault, if one is configured, and exits with 1 if the vault does not respond. A command
    that needs no secret of payd's own goes without it with `with_passwords` False.
    """
    config = _load(daemon_environment(state_dir), with_passwords=with_passwords)
    return _from_vault(config) if with_secrets and config.vault.addr else config


def _load(environment: Mapping[str, str], *, with_passwords: bool = True) -> Any:
    from payd.config import ConfigError
    from payd.config import read_config as read

    _quietly()
    try:
        config, problems = read(environment, with_passwords=with_passwords)
    except ConfigError as error:
        problems = error.problems
    if problems:
        _refuse(problems)
    return config


def _quietly() -> None:
    from payd import telemetry

    telemetry.configure_logging("warning", "auto")


def _refuse(problems: Sequence["Problem"]) -> NoReturn:
    """Print every problem and exit with 78."""
    from payd.config import EXIT_BAD_CONFIGURATION

    for problem in problems:
        click.echo(f"{problem.key} ({problem.where}): {problem.what}", err=True)
    if [problem.key for problem in problems] == ["database.password"]:
        # Nothing else is wrong, so probably nothing is configured at all.
        click.echo("no running `payd dev` found: start it, or pass --state-dir", err=True)
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
    """Run the daemon until SIGTERM. SIGHUP reloads what can be reloaded."""
    config = _load(os.environ)
    _preflight(config)
    from payd.config import load_config
    from payd.daemon import process
    from payd.nursery import run

    sys.exit(process.serve(run, config, partial(load_config, os.environ, None)))


def _preflight(config: Any) -> None:
    """Report mistakes before importing the servers, which takes longer than the checks."""
    from payd import telemetry
    from payd.config import EXIT_BAD_CONFIGURATION, ConfigError
    from payd.daemon.preflight import preflight
    from payd.daemon.without_effect import without_effect
    from payd.providers.discovery import PluginError

    telemetry.configure_logging(config.log.level, config.log.format)
    log = telemetry.get_logger(__name__)
    try:
        preflight(config)
    except (ConfigError, PluginError) as error:
        log.critical("daemon_failed", error=str(error))
        sys.exit(EXIT_BAD_CONFIGURATION)
    for problem in without_effect(config):
        log.warning("setting_without_effect", setting=problem.key, error=problem.what)


@click.command()
@click.option(
    "--check",
    is_flag=True,
    help="List missing migrations, with --post also audit rows that are not chained; exit with 1 if"
    " there are any.",
)
@click.option(
    "--post",
    is_flag=True,
    help="Include migrations that must wait until no daemon of the previous version runs.",
)
@state_dir_option
def migrate(check: bool, post: bool, state_dir: Path | None) -> None:
    """Update the database schema. Daemons of this and the previous version may keep running.

    Concurrent runs wait for each other.
    """
    import trio

    from payd.adapters.postgres.migrate import MigrationError
    from payd.domain.errors import StoreUnavailable

    try:
        names, unchained = trio.run(_migrate, read_config(state_dir), check, post)
    except* (MigrationError, StoreUnavailable) as errors:
        render.refuse(errors)
    if check and names:
        click.echo(f"missing: {', '.join(names)}")
        sys.exit(1)
    if unchained:
        click.echo(
            f"{unchained}: run `payd migrate --post` when no daemon of the previous version runs"
        )
        sys.exit(1)
    click.echo(f"{len(names)} applied" if names else "schema is up to date")


async def _migrate(config: Any, check: bool, post: bool) -> tuple[list[str], str]:
    """Return the migrations, and which audit rows `--post --check` has found unchained."""
    from payd.adapters import bridge
    from payd.adapters.postgres import migrate as migrations
    from payd.adapters.postgres.database import Database
    from payd.daemon.builders import database_settings

    database = Database(database_settings(config))
    unchained = ""
    async with bridge.open_loop(lambda message, error: None):
        if check:
            found = await bridge.aio(partial(migrations.pending, database, post=post))
            if post and not found:
                unchained = await bridge.aio(migrations.unchained, database)
        else:
            report = partial(click.echo, err=True)
            found = await bridge.aio(partial(migrations.migrate, database, report, post=post))
    return [migration.name for migration in found], unchained


@click.group()
def config() -> None:
    """Check or show the configuration."""


@config.command("check")
@state_dir_option
def config_check(state_dir: Path | None) -> None:
    """Check payd's settings and the enabled providers. Exits with 78 and names each problem.

    Of a provider it checks wheel, interface version, settings, credentials and methods. It also
    names settings without effect. It opens no connection: see `payd doctor`.
    """
    from payd.config import ConfigError
    from payd.daemon.config_check import check_config
    from payd.daemon.without_effect import without_effect

    dev = find_dev(state_dir)
    _quietly()
    try:
        config, problems = check_config(daemon_environment(state_dir))
    except ConfigError as error:
        problems = error.problems
    if problems:
        _refuse(problems)
    for problem in without_effect(config):
        click.echo(f"{problem.key} ({problem.where}): {problem.what}", err=True)
    if config.vault.addr is not None:
        click.echo("credentials in Vault are not checked: see `payd doctor`", err=True)
    click.echo(f"configuration is valid{f' (`payd dev` on {dev})' if dev else ''}")


@config.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@state_dir_option
def config_show(as_json: bool, state_dir: Path | None) -> None:
    """Show every setting with value, environment variable and source. Secrets are masked."""
    import attrs

    from payd.config import describe

    rows = describe(read_config(state_dir, with_secrets=False))
    if as_json:
        render.as_json([attrs.asdict(row) for row in rows])
        return
    render.table(
        ("setting", "value", "variable", "source"),
        [(row.key, row.value, row.env, row.source) for row in rows],
    )


@config.command("reference")
@click.option("--provider", help="Only the settings of this installed provider, as a table.")
def config_reference(provider: str | None) -> None:
    """Print docs/configuration.md: every setting with variable, default and meaning."""
    from payd.cli.reference import reference, settings_table
    from payd.providers.discovery import PluginError, manifest_of

    if provider is None:
        click.echo(reference(), nl=False)
        return
    try:
        manifest = manifest_of(provider)
    except PluginError as error:
        raise click.BadParameter(str(error), param_hint="--provider") from None
    click.echo(settings_table(manifest))


@click.group()
def pricing() -> None:
    """Check or show the prices."""


@pricing.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@state_dir_option
def pricing_check(file: Path | None, state_dir: Path | None) -> None:
    """Check the price file, and that an enabled provider can charge each price.

    Exits with 78 and names file, line and key of each problem. With FILE and without a valid
    configuration, only the file itself is checked.
    """
    from payd.config import ConfigError, load_config

    if file is None:
        config = read_config(state_dir, with_secrets=False)
    else:
        try:
            config = load_config(daemon_environment(state_dir), None)
        except ConfigError:
            config = None
    prices = _prices(lambda: checked_prices(config, file))
    if config is None:
        click.echo("providers' amount rules not checked: see `payd config check`", err=True)
    click.echo(f"{price_summary(prices)}, version {prices.version}")
    if config is not None:
        _show_methods(config, prices)


@pricing.command("show")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@state_dir_option
def pricing_show(file: Path | None, as_json: bool, state_dir: Path | None) -> None:
    """Show every price."""
    from payd.config import load_prices

    path = file or read_config(state_dir, with_secrets=False).pricing.file
    prices = _prices(lambda: load_prices(path))
    if as_json:
        render.as_json(_price_document(prices))
        return
    codes = prices.currencies
    headings = codes if len(codes) > 1 else ("price",)
    render.table(
        ("chain", "node", "duration", *headings),
        [
            (*product, *(_price_cell(units, code) for code in codes))
            for product, units in prices.prices.items()
        ],
    )


def _price_cell(units: Mapping[str, int], code: str) -> str:
    if code not in units:
        return "-"
    return render.amount({"currency_code": code, "minor_units": units[code]})


def _price_document(prices: Any) -> dict[str, Any]:
    """Every price as JSON; `currency` is the default, the first of `currencies`."""
    names = ("chain_profile_id", "node_type", "duration")
    listed = [
        {
            **dict(zip(names, product, strict=True)),
            "currency_code": code,
            "minor_units": units[code],
        }
        for product, units in prices.prices.items()
        for code in prices.currencies
        if code in units
    ]
    return {
        "currency": prices.default_currency,
        "currencies": prices.currencies,
        "pricing_version": prices.version,
        "prices": listed,
    }


def price_summary(prices: Any) -> str:
    """How many products have a price, and in which currencies."""
    return f"{len(prices.prices)} prices ({', '.join(prices.currencies)})"


def _show_methods(config: Any, prices: Any) -> None:
    """Print which enabled methods take each of several currencies."""
    from payd.daemon.preflight import described_plugins, offered_methods

    methods = offered_methods(described_plugins(config))
    for code in prices.currencies if len(prices.currencies) > 1 else ():
        keys = ", ".join(sorted(method.key for method in methods if code in method.currencies))
        click.echo(f"{code}: {keys or 'no enabled method takes it'}")


def checked_prices(config: Any, file: Path | None = None) -> Any:
    """Load `file` or the configured prices, and check them against the enabled providers' rules.

    Without a configuration, only the file itself is checked. Raises ConfigError.
    """
    from payd.config import load_prices
    from payd.daemon.preflight import check_prices, described_plugins, offered_methods

    path = file or config.pricing.file
    prices = load_prices(path)
    if config is not None:
        check_prices(path, prices, offered_methods(described_plugins(config)))
    return prices


def _prices(load: Callable[[], Any]) -> Any:
    """Load prices; print the problems of an invalid file and exit with 78."""
    from payd.config import EXIT_BAD_CONFIGURATION, ConfigError

    try:
        return load()
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_BAD_CONFIGURATION)
