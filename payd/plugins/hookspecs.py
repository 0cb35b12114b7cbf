"""The hooks by which a plugin is found and heard (pluggy, project name and entry-point group `payd`)."""

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
    """The manifests of this plugin. No I/O, and no import of the provider's SDK."""


@hookspec
def payd_commands(provider: str) -> Iterable[click.Command]:  # type: ignore[empty-body]  # as above
    """The provider's own commands, run as `payd PROVIDER …`; click's `obj` is a CommandContext.

    No I/O, and no import of the provider's SDK: that is for who runs a command.
    """
