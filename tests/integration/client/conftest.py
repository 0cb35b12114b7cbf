"""A NATS server of these tests' own: they lose it, and what is in it."""

import pytest
from support.event_stream import EventStream
from support.own_nats import OwnNats
from unit.cli.scripted_daemon import on_plain_asyncio


@pytest.fixture
def stream(own_nats: OwnNats) -> EventStream:
    """PAYMENTS, new and empty, without dead letters."""
    stream = EventStream(own_nats.url)
    on_plain_asyncio(stream.renew())
    return stream
