"""The command line: names of commands, and where each is loaded from when it is called."""

import importlib

import click

from payd import __version__

#: Command → module and object, and what `--help` says of it.
_COMMANDS = {
    "dev": ("payd.cli.dev:dev", "Run everything on this machine."),
    "serve": ("payd.cli.operate:serve", "Run the daemon."),
}


class LazyGroup(click.Group):
    """Imports a command's module only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load it."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="payd")
def main() -> None:
    """An isolated payment service."""
