"""Two applications on one durable consumer are warned, whenever the second one looks."""

import asyncio
import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from payd_client.sharing import OwnerChecks, warn_if_renamed, warn_if_shared


class _Nats:
    """Answers like a server whose consumer has these numbers of waiting requests, one by one."""

    def __init__(self, *waiting: int) -> None:
        self._waiting = list(waiting)
        self.stored: list[str] = []

    async def request(self, subject: str, payload: bytes, *, timeout: float) -> Any:
        if subject.startswith("$JS.API.CONSUMER.DURABLE.CREATE"):
            self.stored.append(json.loads(payload)["config"]["metadata"]["payd-application"])
            return SimpleNamespace(data=b"{}")
        waiting = self._waiting.pop(0) if self._waiting else 0
        document = {"config": {"metadata": {}}, "num_waiting": waiting}
        return SimpleNamespace(data=json.dumps(document).encode())


def _info(owner: str | None) -> Any:
    """A consumer for which no request waits at this moment."""
    metadata = {} if owner is None else {"payd-application": owner}
    return SimpleNamespace(
        config=SimpleNamespace(metadata=metadata),
        num_waiting=0,
        name="shop",
        stream_name="PAYMENTS",
    )


def test_a_reader_between_two_of_its_requests_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    nats = _Nats(0, 1)
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(warn_if_shared(nats, _info("shop"), "other"))
    assert "share the durable consumer shop" in caplog.text
    assert nats.stored == []


def test_a_consumer_that_nobody_reads_any_more_is_taken_over() -> None:
    nats = _Nats()
    assert not asyncio.run(warn_if_shared(nats, _info("old name"), "new name"))
    assert nats.stored == ["new name"]


def test_a_reader_whose_name_was_replaced_warns_and_puts_it_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nats = _Nats()
    with caplog.at_level(logging.WARNING):
        asyncio.run(warn_if_renamed(nats, _info("other"), "shop"))
    assert "share the durable consumer shop" in caplog.text
    assert nats.stored == ["shop"]


@pytest.mark.parametrize("name", ["shop", None])
def test_a_reader_whose_name_stands_there_says_nothing(
    name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    nats = _Nats()
    with caplog.at_level(logging.WARNING):
        asyncio.run(warn_if_renamed(nats, _info(name), "shop"))
    assert (caplog.text, nats.stored) == ("", [])


def test_the_name_is_checked_at_once_then_less_and_less_often_for_ever() -> None:
    checks = OwnerChecks()
    due = [second for second in range(400) if checks.is_due(second)]
    assert due == [0, 2, 6, 14, 30, 62, 122, 182, 242, 302, 362]
