"""`payd providers`: installed providers, their conformance results and current health."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from payd.cli import certified, render
from payd.cli.ask_daemon import read_checks
from payd.cli.operate import read_config
from payd.cli.target import state_dir_option

_HEADINGS = (
    *("provider", "version", "enabled", "methods", "capabilities"),
    *("conformance", "health", "breaker"),
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@state_dir_option
def providers(as_json: bool, state_dir: Path | None) -> None:
    """Show installed and enabled providers, their conformance results and health.

    Health and circuit breaker come from the daemon on this machine, if it runs.
    """
    from payd.config.providers import installed_providers

    config = read_config(state_dir, with_secrets=False, with_passwords=False)
    enabled = config.providers.enabled()
    running = read_checks(config)
    names = sorted({*installed_providers(), *enabled})
    rows = [_row(name, config, name in enabled, running) for name in names]
    if as_json:
        render.as_json({"providers": rows})
        return
    render.table(_HEADINGS, [_cells(row) for row in rows])
    for row in rows:
        if problem := row.get("error") or row.get("detail"):
            click.echo(f"{row['provider']}: {problem}", err=True)


def _row(
    name: str, config: Any, enabled: bool, running: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, Any]:
    from payd.config import plain_settings
    from payd.providers.discovery import EnabledPlugin, PluginError, manifest_of

    row: dict[str, Any] = {"provider": name, "enabled": enabled, **_state(name, enabled, running)}
    try:
        manifest = manifest_of(name)
        settings = plain_settings(config, name, manifest.credentials)
        methods = _methods(EnabledPlugin(name=name, settings=settings), enabled)
    except PluginError as error:
        return row | {"version": None, "error": str(error)}
    can = manifest.capabilities
    return row | {
        "version": manifest.version,
        "sdk": manifest.sdk,
        "methods": methods,
        "lookup": can.lookup.value,
        "cancel": can.cancel.value,
        "idempotency_window_s": can.idempotency_window.total_seconds(),
        "conformance": certified.summary(name, manifest.version, certified.code_of(name)),
    }


def _methods(plugin: Any, enabled: bool) -> tuple[str, ...]:
    """Its methods; empty for a disabled provider without valid settings."""
    from payd.providers.discovery import PluginError, methods_of

    try:
        return tuple(method.key for method in methods_of(plugin))
    except PluginError:
        if enabled:
            raise
    return ()


def _state(
    name: str, enabled: bool, running: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, Any]:
    """Health and breaker in the running daemon, with the detail of a failure."""
    if not enabled:
        return {"health": "-", "breaker": "-"}
    if running is None:
        return {"health": "no daemon", "breaker": "-"}
    check = running.get(f"provider:{name}")
    if check is None:
        return {"health": "not loaded: restart payd", "breaker": "-"}
    state = check.get("state") or {}
    return {
        "health": "healthy" if check["ok"] else "failing",
        "breaker": state.get("breaker", "-"),
        **({} if check["ok"] else {"detail": check["detail"]}),
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if "error" in row:
        return (row["provider"], "?", "yes" if row["enabled"] else "no", *("-",) * 5)
    return (
        row["provider"],
        row["version"],
        "yes" if row["enabled"] else "no",
        ", ".join(row["methods"]) or "-",
        f"lookup {row['lookup']}, cancel {row['cancel']}",
        row["conformance"],
        row["health"],
        row["breaker"],
    )
