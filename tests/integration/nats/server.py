"""A real nats-server that a test can kill, stop, and rob of its memory."""

import os
import shutil
import signal
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import nats
import trio
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from payd.adapters.bridge import aio
from payd.adapters.nats.publisher import JetStreamPublisher
from payd.dev.ports import any_free
from payd.dev.servers import Command, Server, answers
from payd.ports import OutboxRow

T = TypeVar("T")

STREAM = "PAYMENTS"


class NatsServer:
    """One server on one port, with one folder, however often it is started."""

    def __init__(self, folder: Path) -> None:
        self.port = any_free()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._folder = folder
        self._config = folder / "nats.conf"
        self._store = folder / "store"
        self._server: Server | None = None

    async def start(self, config: str = "") -> None:
        """Returns once it answers."""
        self._config.write_text(config)
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        argv = [str(binary), "-js", "-sd", str(self._store), "-a", "127.0.0.1"]
        argv += ["-p", str(self.port), "-c", str(self._config)]
        command = Command(name="nats", argv=argv, stop_signal=signal.SIGTERM)
        self._server = Server(command, self._folder / "nats.log", self._folder / "nats.pid")
        self._server.start()
        await eventually(lambda: answers(self.port))

    def kill(self) -> None:
        """As by a power cut."""
        assert self._server is not None
        self._server.kill()

    async def stop(self) -> None:
        """In order; repeatable."""
        if self._server is not None:
            await self._server.stop()

    async def freeze(self) -> None:
        """It keeps its connections, and answers nothing."""
        assert self._server is not None
        os.kill(self._server.pid, signal.SIGSTOP)
        threads = Path(f"/proc/{self._server.pid}/task")
        await eventually(lambda: all(_is_stopped(thread) for thread in threads.iterdir()))

    def thaw(self) -> None:
        """It goes on where it was."""
        assert self._server is not None
        os.kill(self._server.pid, signal.SIGCONT)

    def reload(self, config: str) -> None:
        """It reads its configuration anew, and throws out whom that refuses."""
        assert self._server is not None
        self._config.write_text(config)
        os.kill(self._server.pid, signal.SIGHUP)

    def lose_everything(self) -> None:
        """Its disk was replaced; call it while it does not run."""
        shutil.rmtree(self._store)


@asynccontextmanager
async def running_nats(folder: Path) -> AsyncIterator[NatsServer]:
    """A server that answers."""
    server = NatsServer(folder)
    await server.start()
    try:
        yield server
    finally:
        with trio.CancelScope(shield=True):
            await server.stop()


def a_publisher(url: str, **overrides: Any) -> JetStreamPublisher:
    """As in development, and less patient."""
    settings: dict[str, Any] = {"stream": STREAM, "create_stream": True, "publish_timeout_s": 2.0}
    return JetStreamPublisher([url], **{**settings, **overrides})


@asynccontextmanager
async def connected(publisher: JetStreamPublisher) -> AsyncIterator[JetStreamPublisher]:
    """The publisher with its connection kept up beside the test."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(aio, publisher.run)
        yield publisher
        nursery.cancel_scope.cancel()


def is_ready(publisher: JetStreamPublisher) -> bool:
    """Connected to a stream that takes events."""
    state = publisher.state()
    return state.connected and state.problem is None


def an_event(**overrides: Any) -> OutboxRow:
    """A payment.completed of a payment of its own."""
    event_id: UUID = uuid4()
    payment_id = uuid4()
    fields: dict[str, Any] = {
        "id": 1,
        "event_id": event_id,
        "payment_id": payment_id,
        "subject": "payment.completed",
        "headers": {
            "ce-specversion": "1.0",
            "ce-id": str(event_id),
            "ce-source": f"//payd/test/payments/{payment_id}",
            "ce-type": "dev.payd.payment.completed.v1",
            "Content-Type": "application/json",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
        "body": b'{"status":"PAYMENT_STATUS_COMPLETED"}',
    }
    return OutboxRow(**{**fields, **overrides})


async def stored(url: str) -> list[Msg]:
    """Every message in the stream, oldest first, by a client that knows nothing of payd."""

    async def read() -> list[Msg]:
        client = await nats.connect(url)
        try:
            context = client.jetstream()
            left = (await context.stream_info(STREAM)).state.messages
            config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
            reader = await context.pull_subscribe("payment.>", stream=STREAM, config=config)
            messages: list[Msg] = []
            while len(messages) < left:
                messages += await reader.fetch(min(100, left - len(messages)), timeout=5)
            return messages
        finally:
            await client.close()

    return await aio(read)


async def eventually(holds: Callable[[], Awaitable[bool] | bool], timeout_s: float = 60.0) -> None:
    """Returns once it holds; a test that waits for ever fails."""
    with trio.fail_after(timeout_s):
        while True:
            now = holds()
            if now if isinstance(now, bool) else await now:
                return
            await trio.sleep(0.02)


def _is_stopped(thread: Path) -> bool:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"
