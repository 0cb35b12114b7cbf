"""When a watch gives up: only when payd cannot be reached, however rarely the payment changes."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from payd_client import Unavailable, watching
from payd_client.errors import error_of
from payd_client.proto import payment_pb2 as pb
from payd_client.watching import Slot, read_on
from unit.cli.scripted_daemon import a_payment, on_plain_asyncio

PATIENCE_S = 0.05
Opened = Callable[[], None]
Put = Callable[[Any], None]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_LASTED_S", PATIENCE_S)
    monkeypatch.setattr(watching, "_PAUSE_FIRST_S", 0.001)


def unavailable() -> Exception:
    return error_of("UNAVAILABLE", "the connection was lost")


def followed(follow: watching.Follow) -> Slot:
    slot = Slot(version=0)
    on_plain_asyncio(read_on(follow, slot, "a payment", timedelta(0), PATIENCE_S))
    return slot


def test_a_payment_that_does_not_change_for_long_is_watched_over_a_restart() -> None:
    streams = 0

    async def follow(request: Any, opened: Opened, put: Put) -> None:
        nonlocal streams
        streams += 1
        opened()
        if streams < 3:
            await asyncio.sleep(3 * PATIENCE_S)
            raise unavailable()
        put(pb.WatchPaymentResponse(payment=a_payment(version=7)))

    slot = followed(follow)
    assert slot.payment is not None
    assert slot.version == 7
    assert isinstance(slot.end, StopAsyncIteration)


@pytest.mark.parametrize("answers", [True, False])
def test_it_gives_up_when_payd_cannot_be_reached_or_refuses_at_once(answers: bool) -> None:
    async def follow(request: Any, opened: Opened, put: Put) -> None:
        if answers:
            opened()
        raise unavailable()

    assert isinstance(followed(follow).end, Unavailable)


def test_a_connection_that_takes_long_to_fail_is_no_stream() -> None:
    async def follow(request: Any, opened: Opened, put: Put) -> None:
        await asyncio.sleep(3 * PATIENCE_S)
        raise unavailable()

    assert isinstance(followed(follow).end, Unavailable)
