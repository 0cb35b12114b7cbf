"""`payd events`: create the streams, read events, republish lost ones."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from payd.cli import render
from payd.cli.create_stream import create_stream
from payd.cli.target import find_nats, state_dir_option
from payd.cli.typed import Time

F = TypeVar("F", bound=Callable[..., Any])


def since_option(**attributes: Any) -> Callable[[F], F]:
    """Declare --since."""
    text = "Span in s, m, h or d, such as 90s, 10m, 24h or 30d, today, or an ISO 8601 time."
    return click.option("--since", type=Time(), help=text, **attributes)


nats_option = click.option(
    "--nats",
    envvar="NATS_URL",
    show_envvar=True,
    help="NATS server; by default that of a running `payd dev`.",
)


@click.group()
def events() -> None:
    """Read or restore the event stream."""


events.add_command(create_stream)


@events.command()
@since_option(default="10m", show_default=True)
@click.option(
    "--follow/--no-follow", default=None, help="Wait for more events; the default on a terminal."
)
@click.option("--count", type=click.IntRange(1), help="Stop after this many events.")
@click.option("--payment", metavar="ID", help="Show only events of this payment.")
@nats_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document per line.")
@state_dir_option
def tail(
    since: datetime,
    follow: bool | None,
    count: int | None,
    payment: str | None,
    nats: str | None,
    as_json: bool,
    state_dir: Path | None,
) -> None:
    """Show published events."""
    from payd_client.events import StreamUnreachable

    servers = find_nats(nats, state_dir)
    follow = sys.stdout.isatty() if follow is None else follow
    try:
        asyncio.run(_tail(servers, since, follow, count, payment, as_json))
    except StreamUnreachable as error:
        raise click.ClickException(str(error)) from None


async def _tail(
    servers: str,
    since: datetime,
    follow: bool,
    count: int | None,
    payment: str | None,
    as_json: bool,
) -> None:
    from payd_client import events as stream

    shown = 0
    async with aclosing(stream.tail(servers, since=since, follow=follow)) as found:
        async for event in found:
            if payment is not None and event.body.get("id") != payment:
                continue
            show_event(event, as_json)
            shown += 1
            if shown == count:
                return


def show_event(event: Any, as_json: bool) -> None:
    """Print an event in one line, with the amount of the refund or dispute that it is about."""
    import json

    if as_json:
        line = {"subject": event.subject, "headers": event.headers, "body": event.body}
        click.echo(json.dumps(line, ensure_ascii=False))
        return
    body = event.body
    about = body.get("refund") or body.get("dispute") or body
    click.echo(
        f"{event.time:%H:%M:%S}  {click.style(event.subject, bold=True):<26} {body['id']}  "
        f"{render.status(body['status'])}  {render.amount(about['amount'])}  "
        f"{body['reason']}{'  late' if body['late'] else ''}"
    )


@events.command("dead-letters")
@click.option(
    "--replay", is_flag=True, help="Put them back into the stream, after the consumer is fixed."
)
@nats_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@state_dir_option
def dead_letters(replay: bool, nats: str | None, as_json: bool, state_dir: Path | None) -> None:
    """Show events that a consumer could not handle, and why."""
    from payd_client.events import StreamUnreachable

    servers = find_nats(nats, state_dir)
    try:
        letters = asyncio.run(_dead_letters(servers, replay))
    except StreamUnreachable as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        names = ("sequence", "subject", "reason", "headers")
        rows = [{name: getattr(letter, name) for name in names} for letter in letters]
        data = [letter.data.decode(errors="replace") for letter in letters]
        render.as_json([{**row, "data": text} for row, text in zip(rows, data, strict=True)])
        return
    for letter in letters:
        event_id = letter.headers.get("ce-id", "")
        click.echo(f"{letter.time:%Y-%m-%d %H:%M:%S}  {letter.subject:<18} {event_id}")
        click.echo(f"  {letter.reason}")
    if not letters:
        click.echo("no dead letters")
        return
    counted = "1 dead letter" if len(letters) == 1 else f"{len(letters)} dead letters"
    click.echo(f"{counted}{' put back into the stream' if replay else ''}")


async def _dead_letters(servers: str, replay: bool) -> Any:
    from payd_client import dead_letters as stream

    letters = await stream.read_letters(servers)
    if replay:
        await stream.replay(servers, letters)
    return letters


@events.command()
@since_option(required=True)
@state_dir_option
def republish(since: datetime, state_dir: Path | None) -> None:
    """Republish the events published since a time, with the same ids.

    NATS drops an event whose id it saw within the stream's duplicate window. A consumer skips an
    event that it has already handled.
    """
    import trio

    from payd.cli.operate import read_config
    from payd.domain.errors import StoreUnavailable
    from payd.ports import PublishError

    try:
        sent, dropped = trio.run(_republish, read_config(state_dir), since)
    except* (StoreUnavailable, PublishError) as errors:
        render.refuse(errors)
    except* trio.TooSlowError:
        click.echo("Error: NATS is unreachable: check NATS_URL", err=True)
        sys.exit(1)
    click.echo(f"{_events(sent)} republished")
    if dropped:
        click.echo(f"{_events(dropped)} already in the stream, dropped as duplicates")


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"


async def _republish(config: Any, since: datetime) -> tuple[int, int]:
    """Republish; return how many events the stream stored, and how many it dropped."""
    import trio
    from rich.console import Console
    from rich.progress import Progress

    from payd.adapters import bridge
    from payd.adapters.postgres.database import Database
    from payd.adapters.postgres.outbox import PostgresOutbox
    from payd.daemon.builders import build_stream, database_settings

    database = Database(database_settings(config))
    stream = build_stream(config)
    sent = dropped = 0
    async with bridge.open_loop(lambda message, error: None), trio.open_nursery() as nursery:
        nursery.start_soon(bridge.aio, stream.run)
        with trio.fail_after(config.nats.connect_timeout_s + 1):
            while not stream.state().connected:  # noqa: ASYNC110 - no trio event on asyncio
                await trio.sleep(0.05)

        async def publish_page(after_id: int) -> int:
            nonlocal sent, dropped
            rows = await PostgresOutbox(database).published_since(since, after_id)
            for row in rows:
                if await stream.publish(row):
                    sent += 1
                else:
                    dropped += 1
            return rows[-1].id if rows else 0

        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("republishing", total=None)
            after_id = 0
            while after_id := await bridge.aio(publish_page, after_id):
                progress.update(task, completed=sent + dropped)
        await bridge.aio(database.close)
        nursery.cancel_scope.cancel()
    return sent, dropped
