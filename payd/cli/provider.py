"""`payd NAME …`: the commands of a provider plugin, and the audit of a provider that has one."""

import sys
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payd.cli import render
from payd.cli.operate import read_config
from payd.cli.target import Target, find_target, target_options
from payd.cli.tokens import tokens_of

if TYPE_CHECKING:
    from payd.service.audit import Balance


def provider_group(name: str) -> click.Group:
    """Build the group `payd NAME`. A broken plugin is reported, and its other commands remain."""
    from payd.providers.discovery import PluginError, commands_of, has_audit

    group = click.Group(name, help=f"Commands of the provider {name}.")
    try:
        if has_audit(name):
            group.add_command(_audit(name))
        for command in commands_of(name):
            group.add_command(_with_context(name, command))
    except PluginError as error:
        click.echo(str(error), err=True)
    if not group.commands:
        group.help = f"The provider {name} has no commands."
    return group


def _with_context(name: str, command: click.Command) -> click.Command:
    """Add the options that locate the daemon to a provider's command.

    Works on a copy, because the plugin returns the same object to every caller.
    """
    inner = command.callback

    @target_options
    @click.pass_context
    def run(ctx: click.Context, /, **values: Any) -> Any:
        where = {key: values.pop(key) for key in ("target", "ca", "cert", "key", "state_dir")}
        ctx.obj = _context(name, where)
        return ctx.invoke(inner, **values) if inner else None

    added = run.__click_params__[::-1]  # type: ignore[attr-defined]  # set by click's decorators
    wrapped = copy(command)
    wrapped.callback, wrapped.params = run, [*command.params, *added]
    return wrapped


def _context(name: str, where: Mapping[str, Any]) -> Any:
    from payd.cli.ask_daemon import read_metrics
    from payd.cli.payments import read_payment
    from payd.cli.target import dev_announced
    from payd.plugins.context import CommandContext
    from payd.providers.discovery import PluginError, configured

    config = read_config(where["state_dir"])
    try:
        settings = configured(_enabled(config, name))
    except PluginError as error:
        raise click.ClickException(str(error)) from None
    return CommandContext(
        config=settings,
        dev=dev_announced(where["state_dir"]),
        get_payment=lambda payment_id: read_payment(find_target(**where), payment_id),
        get_refund=lambda refund_id: _read_refund(find_target(**where), refund_id),
        get_metrics=lambda: read_metrics(config),
    )


def _read_refund(target: Target, refund_id: str) -> dict[str, Any]:
    """Fetch a refund as proto3 JSON; print an error and exit with 1."""
    from payd.cli.call import run

    refund = run(target, lambda client: client.get_refund(refund_id), False)
    return render.message_json(refund.message)


def _enabled(config: Any, name: str) -> Any:
    from payd.daemon.preflight import enabled_plugins

    for plugin in enabled_plugins(config):
        if plugin.name == name:
            return plugin
    variable = f"{name.upper()}_ENABLED"
    raise click.ClickException(f"the provider {name} is not enabled: set {variable}=true")


# -- audit -------------------------------------------------------------------------------------


def _audit(name: str) -> click.Command:
    from payd.cli.target import state_dir_option

    @click.command("audit")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @state_dir_option
    def audit(as_json: bool, state_dir: Path | None) -> None:
        """Compare the ledger with the balances at the provider. Exits with 1 if they differ."""
        import trio

        from payd.domain.errors import StoreUnavailable
        from payd.providers.discovery import PluginError

        config = read_config(state_dir)
        plugin = _enabled(config, name)
        try:
            balances = trio.run(_balances, config, plugin)
        except* (StoreUnavailable, PluginError) as errors:
            render.refuse(errors)
        if balances is None:
            raise click.ClickException(
                "no balances: the provider did not respond, or has nothing to audit yet; try again"
            )
        _show(balances, as_json, tokens_of(config))
        sys.exit(1 if any(balance.differs for balance in balances) else 0)

    return audit


async def _balances(config: Any, plugin: Any) -> "Sequence[Balance] | None":
    """Run the audit as the daemon does daily, with its own provider instance; store the result."""
    import random

    from payd import telemetry
    from payd.adapters import bridge
    from payd.adapters.system import SystemClock
    from payd.daemon.builders import build_adapters, build_audit, new_metrics
    from payd.daemon.leases import cursor_reader
    from payd.providers.loader import FailureMode, open_providers

    adapters = build_adapters(config, new_metrics())
    async with (
        bridge.open_loop(lambda message, error: None),
        open_providers(
            [plugin],
            environment=config.environment,
            clock=SystemClock(),
            failure_mode=FailureMode.STRICT,
            log_of=telemetry.get_logger,
            random=random.random,
            read_cursor=cursor_reader(adapters.inbox),
        ) as opened,
    ):
        providers = opened.methods.wrapped(bridge.for_asyncio)
        audit = build_audit(config, adapters, providers)
        provider = providers.by_name(plugin.name)
        try:
            if provider is None or not provider.can_audit:
                raise click.ClickException(f"the provider {plugin.name} does not support audits")
            return await bridge.aio(audit.balances, provider)
        finally:
            await bridge.aio(adapters.close)


def _show(balances: "Sequence[Balance]", as_json: bool, tokens: render.Tokens) -> None:
    rows = [
        {
            "asset": one.asset,
            "opening": str(one.opening),
            "received": str(one.received),
            "outflows": str(one.outflows),
            "booked": str(one.booked),
            "held": "" if one.held is None else str(one.held),
            "difference": f"{(one.held or 0) - one.booked:+d}" if one.differs else "0",
            "at": one.at,
        }
        for one in balances
    ]
    if as_json:
        render.as_json({"balanced": not any(b.differs for b in balances), "assets": rows})
        return
    columns = ("opening", "received", "outflows", "booked", "held", "difference")
    for row in rows:
        for name in columns:
            row[name] = row[name] and render.units(row["asset"], int(row[name]), tokens)
    headings = ("asset", *columns)
    render.table(headings, [tuple(row[name] for name in headings) for row in rows])
    for row, balance in zip(rows, balances, strict=True):
        if balance.differs:
            click.secho(f"{row['asset']} differs by {row['difference']}", fg="red", err=True)
    click.echo(f"at {rows[0]['at']}" if rows else "the provider watches no asset")
