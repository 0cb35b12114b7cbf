"""`payd events`: create the streams, read events, republish lost ones."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from payd.cli import render
from payd.cli.call import json_option, run
from payd.cli.create_stream import create_stream
from payd.cli.target import find_nats, find_operator, operator_options, state_dir_option
from payd.cli.typed import Time

if TYPE_CHECKING:
    from payd_client import DeadLetter, PaymentClient

F = TypeVar("F", bound=Callable[..., Any])
_REPLAYED_AT_ONCE = 200


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
@json_option
@operator_options
def dead_letters(replay: bool, as_json: bool, **target: Any) -> None:
    """Show events that a consumer could not handle, and why. For operators."""
    letters = run(find_operator(**target), partial(_dead_letters, replay=replay), as_json)
    if as_json:
        render.as_json([_letter_document(letter) for letter in letters])
        return
    for letter in letters:
        click.echo(f"{letter.time:%Y-%m-%d %H:%M:%S}  {letter.subject:<18} {letter.event_id}")
        about = f"payment {letter.payment_id}" if letter.payment_id else "not known to payd"
        click.echo(f"  {letter.reason}  {about}")
    if not letters:
        click.echo("no dead letters")
        return
    counted = "1 dead letter" if len(letters) == 1 else f"{len(letters)} dead letters"
    click.echo(f"{counted}{' put back into the stream' if replay else ''}")


async def _dead_letters(client: "PaymentClient", *, replay: bool) -> "list[DeadLetter]":
    """Read all dead letters; with `replay` return only those that were put back."""
    letters = [letter async for letter in client.list_dead_letters()]
    if not replay:
        return letters
    replayed: set[int] = set()
    sequences = [letter.sequence for letter in letters]
    for begin in range(0, len(sequences), _REPLAYED_AT_ONCE):
        page = sequences[begin : begin + _REPLAYED_AT_ONCE]
        replayed.update(await client.replay_dead_letters(page))
    return [letter for letter in letters if letter.sequence in replayed]


def _letter_document(letter: "DeadLetter") -> dict[str, Any]:
    return {
        "sequence": letter.sequence,
        "subject": letter.subject,
        "reason": letter.reason,
        "headers": dict(letter.headers),
        "data": letter.data.decode(errors="replace"),
    }


@events.command()
@click.option("--payment", "payment_id", metavar="ID", default="", help="All of this payment.")
@click.option("--event", "event_id", metavar="ID", default="", help="The one with this id.")
@since_option()
@click.option("--before", type=Time(), help="End of the span that --since begins.")
@json_option
@operator_options
def republish(
    payment_id: str,
    event_id: str,
    since: datetime | None,
    before: datetime | None,
    as_json: bool,
    **target: Any,
) -> None:
    """Publish events again, with the same ids: of a payment, or of a time. For operators.

    NATS drops an event whose id it saw within the stream's duplicate window. A consumer skips an
    event that it has already handled.
    """
    if [bool(payment_id), bool(event_id), since is not None].count(True) != 1:
        raise click.UsageError("pass one of --payment, --event and --since")
    if before is not None and since is None:
        raise click.UsageError("--before needs --since")
    result = run(
        find_operator(**target),
        lambda client: client.republish_events(
            payment_id=payment_id, event_id=event_id, since=since, before=before
        ),
        as_json,
    )
    if as_json:
        render.as_json({"stored": result.stored, "duplicates": result.duplicates})
        return
    click.echo(f"{_events(result.stored)} republished")
    if result.duplicates:
        click.echo(f"{_events(result.duplicates)} already in the stream, dropped as duplicates")


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"
