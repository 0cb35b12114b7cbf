"""A daemon with a NATS of its own, and the example application beside it."""

import uuid
from collections.abc import Callable, Iterator

import attrs
import pytest
from support.daemon import Daemon, Place, running_daemon
from support.event_stream import EventStream
from support.example_app import ExampleApp, Surroundings
from support.own_nats import OwnNats
from support.stack import Stack
from unit.cli.scripted_daemon import on_plain_asyncio


@pytest.fixture(scope="module")
def stream(own_nats: OwnNats) -> EventStream:
    """PAYMENTS, empty."""
    stream = EventStream(own_nats.url)
    on_plain_asyncio(stream.renew())
    return stream


@pytest.fixture(scope="module")
def daemon(new_place: Callable[[], Place], stream: EventStream) -> Iterator[Daemon]:
    with running_daemon(attrs.evolve(new_place(), nats=stream.url, forks=False)) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def surroundings(daemon: Daemon, stack: Stack) -> Surroundings:
    return Surroundings.of(daemon, stack.database(f"m{uuid.uuid4().hex}"))


@pytest.fixture(scope="module")
def app(surroundings: Surroundings) -> Iterator[ExampleApp]:
    with ExampleApp(surroundings) as app:
        yield app
