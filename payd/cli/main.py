"""The table of commands: each command's module is imported only when the command runs."""

import importlib
import sys
from typing import Any

import click
from click.exceptions import NoSuchCommand

from payd import __version__
from payd.cli.closed_pipe import end_by_sigpipe, is_closed_pipe, open_missing_streams

#: Heading → command → its place, and its line in `payd --help`.
_COMMANDS = {
    "Try it": {
        "dev": ("payd.cli.dev:dev", "Run PostgreSQL, NATS, Valkey and payd on this machine."),
        "clock": ("payd.cli.clock:clock", "Move the time of `payd dev --clock`."),
    },
    "Providers of your own": {
        "plugin": ("payd.cli.plugin:plugin", "Create a provider plugin, or check one."),
    },
    "Payments": {
        "quote": ("payd.cli.payments:quote", "Price items."),
        "pay": ("payd.cli.payments:pay", "Start a payment and wait for the result."),
        "get": ("payd.cli.payments:get", "Show a payment."),
        "cancel": ("payd.cli.payments:cancel", "Cancel an open payment."),
        "explain": ("payd.cli.explain:explain", "Say why a payment stands as it does."),
        "payments": ("payd.cli.payments:payments", "Find payments, or ask about one."),
        "refund": ("payd.cli.refunds:refund", "Send money back."),
        "refunds": ("payd.cli.refunds:refunds", "List, show, approve or withdraw refunds."),
        "attention": (
            "payd.cli.attention:attention",
            "List and settle what a person has to look at.",
        ),
        "customers": ("payd.cli.customers:customers", "Erase a customer's personal data."),
        "events": ("payd.cli.events:events", "Read or restore the event stream."),
    },
    "Operation": {
        "init": ("payd.cli.init:init", "Write the files for a host of your own."),
        "serve": ("payd.cli.operate:serve", "Run the daemon."),
        "migrate": ("payd.cli.operate:migrate", "Update the database schema."),
        "restored": (
            "payd.cli.restored:restored",
            "Hold sending after a restore, and see what the backup lacks.",
        ),
        "config": ("payd.cli.operate:config", "Check or show the configuration."),
        "pricing": ("payd.cli.operate:pricing", "Check or show the prices."),
        "providers": ("payd.cli.providers:providers", "Show the providers and their health."),
        "overview": ("payd.cli.overview:overview", "Show how payments and payd stand."),
        "receipts": ("payd.cli.receipts:receipts", "List and assign unmatched receipts."),
        "console-user": (
            "payd.cli.console_user:console_user",
            "Make the login of an operator of the console.",
        ),
        "audit": ("payd.cli.audit:audit", "Show who changed what; export and verify the trail."),
        "reconciliations": (
            "payd.cli.reconciliations:reconciliations",
            "Show reconciliation results and findings.",
        ),
        "drill": ("payd.cli.drill:drill", "Rehearse a disaster on servers of its own."),
        "doctor": ("payd.cli.doctor:doctor", "Check the daemon and its dependencies."),
    },
}
_BY_NAME = {name: place for group in _COMMANDS.values() for name, (place, _) in group.items()}


#: Long-running commands: an unexpected error is logged with its traceback.
_LOG_FAILURES = ("serve", "dev")
#: sysexits.h: an internal software error.
_EXIT_DEFECT = 70


def _first(error: BaseException) -> BaseException:
    """Return the first exception of a group, at any depth."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _unexpected(error: BaseException) -> str:
    """Describe an unexpected exception in one line for a bug report: type, text and place."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = ""
    if place is not None:
        file = place.tb_frame.f_code.co_filename.rpartition("/")[2]
        where = f" ({file}, line {place.tb_lineno})"
    text = " ".join(str(error).split())
    return (
        f"Error: unexpected {type(error).__name__}: {text}{where}. This is a bug in payd: report it"
    )


class LazyGroup(click.Group):
    """Imports a command's module only to run it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Exit with 130 on Ctrl-C, as shells expect; click alone would exit with 1."""
        try:
            return self._reporting(ctx)
        except* KeyboardInterrupt:
            pass
        sys.exit(130)

    def _reporting(self, ctx: click.Context) -> Any:
        """Run the command; print an unexpected exception in one line, without a traceback."""
        try:
            return self._filtering(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if ctx.invoked_subcommand in _LOG_FAILURES:
                raise
            first = _first(error)
            if isinstance(first, click.ClickException):
                raise first from None
            if isinstance(first, OSError):
                # A file or a connection: the system's text names it and the reason.
                raise click.ClickException(str(first)) from None
            click.echo(_unexpected(first), err=True)
        sys.exit(_EXIT_DEFECT)

    def _filtering(self, ctx: click.Context) -> Any:
        """Run the command; end silently when the reader of its output has gone."""
        open_missing_streams()
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BaseException as error:
            if is_closed_pipe(error):
                end_by_sigpipe()
            raise
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List commands in the order of the table, then the installed providers."""
        return [*_BY_NAME, *_providers()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module, or build the group of a provider."""
        if cmd_name not in _BY_NAME:
            return _provider_group(cmd_name)
        module, _, name = _BY_NAME[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest commands of similar names; click knows only those that are imported."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            known = self.list_commands(ctx)
            raise NoSuchCommand(error.command_name, possibilities=known, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list from the table, so that help imports no command."""
        for heading, group in _COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, text) for name, (_, text) in group.items()])
        if providers := _providers():
            with formatter.section("Providers"):
                formatter.write_dl(
                    [(name, f"Commands of the provider {name}.") for name in providers]
                )


def _providers() -> list[str]:
    """Names of the installed providers, from package metadata; imports none of them."""
    from importlib.metadata import entry_points

    return sorted({point.name for point in entry_points(group="payd")} - _BY_NAME.keys())


def _provider_group(name: str) -> click.Command | None:
    if name not in _providers():
        return None
    from payd.cli.provider import provider_group

    return provider_group(name)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="payd")
def main() -> None:
    """An isolated payment service: quotes, starts, reads and cancels payments over gRPC."""
