"""Hooks of a plugin (pluggy; its project name and entry-point group are `payd`)."""

from collections.abc import Iterable

import click
import pluggy

from payd.plugins.interface import ProviderManifest

PROJECT = "payd"

hookspec = pluggy.HookspecMarker(PROJECT)
#: Marks a function of a plugin as the implementation of the hook of the same name.
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def payd_providers() -> Iterable[ProviderManifest]:  # type: ignore[empty-body]  # a specification
    """Return the manifests of this plugin. No I/O, and no import of the provider's SDK."""


@hookspec
def payd_commands(provider: str) -> Iterable[click.Command]:  # type: ignore[empty-body]  # as above
    """Return the provider's own commands, run as `payd PROVIDER …` with a CommandContext as `obj`.

    No I/O, and no import of the provider's SDK here: a command imports it when it runs.
    """
