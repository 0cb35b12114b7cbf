"""Two applications on one durable consumer are warned, whenever the second one looks."""

import asyncio
import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from payd_client.sharing import warn_if_shared


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
