"""`payd events`: create the streams, read them, and publish lost events again."""

import asyncio
import re
import sys
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from payd.cli import render
from payd.cli.create_stream import create_stream
from payd.cli.target import find_nats, state_dir_option

_SPAN = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType[datetime]):
    """`10m`, `24h`, `30d`, or a point in time in ISO 8601."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A point in time with its zone."""
        if isinstance(value, datetime):
            return value
        try:
            if match := _SPAN.fullmatch(value):
                return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither like 10m, 24h, 30d nor a time", param, ctx)


@click.group()
def events() -> None:
    """Read the event stream, or restore it."""


events.add_command(create_stream)


@events.command()
@click.option("--since", type=Since(), default="10m", show_default=True, help="10m, 24h or a time.")
@click.option("--follow/--no-follow", default=None, help="Wait for more. On a terminal by default.")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.option("--payment", help="Only this payment's.")
@click.option("--nats", envvar="NATS_URL", help="Server; else that of a running `payd dev`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
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
    """Show what was published."""
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
            _show(event, as_json)
            shown += 1
            if shown == count:
                return


def _show(event: Any, as_json: bool) -> None:
    import json

    if as_json:
        line = {"subject": event.subject, "headers": event.headers, "body": event.body}
        click.echo(json.dumps(line, ensure_ascii=False))
        return
    body = event.body
    click.echo(
        f"{event.time:%H:%M:%S}  {click.style(event.subject, bold=True):<26} {body['id']}  "
        f"{render.status(body['status'])}  {render.amount(body['amount'])}  "
        f"{body['reason']}{'  late' if body['late'] else ''}"
    )


@events.command("dead-letters")
@click.option("--replay", is_flag=True, help="Put them into the stream again, once mended.")
@click.option("--nats", envvar="NATS_URL", help="Server; else that of a running `payd dev`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@state_dir_option
def dead_letters(replay: bool, nats: str | None, as_json: bool, state_dir: Path | None) -> None:
    """Show what a consumer could not handle, and why."""
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
@click.option("--since", type=Since(), required=True, help="24h, 30d or a time.")
@state_dir_option
def republish(since: datetime, state_dir: Path | None) -> None:
    """Publish again what was published since, with the same ids.

    The stream drops an event whose id it still knows, which it does for its duplicate window.
    A consumer skips an event that it has handled.
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
        click.echo("Error: NATS is not reachable: check NATS_URL", err=True)
        sys.exit(1)
    click.echo(f"{_events(sent)} published again")
    if dropped:
        click.echo(f"{_events(dropped)} dropped by the stream as duplicates: it has them")


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"


async def _republish(config: Any, since: datetime) -> tuple[int, int]:
    """How many events the stream took, and how many it dropped as duplicates."""
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
            while not stream.state().connected:  # noqa: ASYNC110 - asyncio's side has no trio event
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
            task = progress.add_task("publishing again", total=None)
            after_id = 0
            while after_id := await bridge.aio(publish_page, after_id):
                progress.update(task, completed=sent + dropped)
        await bridge.aio(database.close)
        nursery.cancel_scope.cancel()
    return sent, dropped
