"""The contract of the port Publisher, over memory and over a real NATS server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
from integration.nats.server import (
    a_publisher,
    an_event,
    connected,
    eventually,
    is_ready,
    running_nats,
    stored,
)
from support.memory import MemoryPublisher

from payd.adapters.bridge import for_trio, open_loop
from payd.ports import OutboxRow, Publisher, PublishError

Published = tuple[str, dict[str, str], bytes]


@attrs.frozen(kw_only=True)
class Stream:
    """One implementation, and what its consumers see."""

    publisher: Publisher
    #: Subject, CloudEvents headers and body of each event, oldest first.
    events: Callable[[], Awaitable[list[Published]]]
    go_away: Callable[[], Awaitable[None]]
    come_back: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "nats"])
async def stream(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stream]:
    """An empty stream, of each kind in turn."""
    kinds: dict[str, Callable[[], AbstractAsyncContextManager[Stream]]] = {
        "memory": _memory_stream,
        "nats": partial(_nats_stream, tmp_path),
    }
    async with kinds[request.param]() as stream:
        yield stream


async def test_an_event_reaches_the_stream_as_it_was_written(stream: Stream) -> None:
    row = an_event(subject="payment.canceled")

    await stream.publisher.publish(row)

    assert await stream.events() == [as_published(row)]


async def test_an_event_that_the_stream_has_already_is_recognised(stream: Stream) -> None:
    row = an_event()

    assert await stream.publisher.publish(row)
    assert not await stream.publisher.publish(row)
    assert await stream.publisher.publish(an_event())


async def test_events_published_one_after_the_other_keep_their_order(stream: Stream) -> None:
    rows = [an_event(body=str(number).encode()) for number in range(20)]

    for row in rows:
        await stream.publisher.publish(row)

    assert await stream.events() == [as_published(row) for row in rows]


async def test_twenty_events_in_flight_all_arrive(stream: Stream) -> None:
    rows = [an_event(body=str(number).encode()) for number in range(20)]

    async with trio.open_nursery() as nursery:
        for row in rows:
            nursery.start_soon(stream.publisher.publish, row)

    assert sorted(body for _, _, body in await stream.events()) == sorted(row.body for row in rows)


async def test_an_event_is_refused_while_the_stream_is_away_and_taken_again_later(
    stream: Stream,
) -> None:
    row = an_event()
    await stream.go_away()
    with pytest.raises(PublishError):
        await stream.publisher.publish(row)
    await stream.come_back()

    await stream.publisher.publish(row)

    assert await stream.events() == [as_published(row)]


async def test_publishing_changes_nothing_in_the_row(stream: Stream) -> None:
    row = an_event()
    before = attrs.evolve(row, headers=dict(row.headers))

    await stream.publisher.publish(row)

    assert row == before


def as_published(row: OutboxRow) -> Published:
    return row.subject, dict(row.headers), row.body


@asynccontextmanager
async def _memory_stream() -> AsyncIterator[Stream]:
    publisher = MemoryPublisher()

    async def events() -> list[Published]:
        return [as_published(row) for row in publisher.published]

    async def set_away(away: bool) -> None:
        publisher.is_away = away

    yield Stream(
        publisher=publisher,
        events=events,
        go_away=partial(set_away, True),
        come_back=partial(set_away, False),
    )


@asynccontextmanager
async def _nats_stream(folder: Path) -> AsyncIterator[Stream]:
    escaped: list[str] = []
    async with (
        open_loop(lambda message, error: escaped.append(f"{message}: {error!r}")),
        running_nats(folder) as server,
        connected(a_publisher(server.url)) as publisher,
    ):

        async def events() -> list[Published]:
            return [
                (
                    m.subject,
                    {k: v for k, v in (m.headers or {}).items() if not k.startswith("Nats-")},
                    m.data,
                )
                for m in await stored(server.url)
            ]

        async def go_away() -> None:
            server.kill()
            await eventually(lambda: not publisher.state().connected)

        async def come_back() -> None:
            await server.start()
            await eventually(lambda: is_ready(publisher))

        await eventually(lambda: is_ready(publisher))
        yield Stream(
            publisher=for_trio(publisher), events=events, go_away=go_away, come_back=come_back
        )
    assert escaped == []
