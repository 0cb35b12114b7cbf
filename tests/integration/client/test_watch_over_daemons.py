"""The client's watch while daemons of one database are killed, and others serve meanwhile."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from uuid import UUID

import attrs
import pytest
import trio
from integration.client.test_client_watch import FINAL
from integration.client.test_payment_client_for_real import a_wish, files
from payd_client import PaymentClient, Unavailable
from support.daemon import Daemon, Place
from support.waiting import PATIENCE_S

from payd.dev.ports import any_free

#: Each client has a connection of its own, which the kernel gives to one of the daemons.
CLIENTS = 8


@attrs.define
class Fleet:
    """Daemons that share their ports."""

    place: Place
    shared: dict[str, str]
    #: The one that has served longest comes first.
    serving: list[Daemon] = attrs.field(factory=list)
    every: list[Daemon] = attrs.field(factory=list)

    async def add(self) -> None:
        """Start one more; return when it serves."""
        daemon = Daemon(self.place, **self.shared)
        self.every.append(daemon)
        await trio.to_thread.run_sync(daemon.wait_started)
        self.serving.append(daemon)

    async def kill_one(self) -> None:
        """Kill one while at least one other serves."""
        while len(self.serving) < 2:  # noqa: ASYNC110 - a daemon's start is no event of ours
            await trio.sleep(0.05)
        victim = self.serving.pop(0)
        victim.process.kill()
        await trio.to_thread.run_sync(victim.wait_ended)


@pytest.fixture
def fleet(place: Place) -> Iterator[Fleet]:
    ports = {"GRPC_PORT": str(any_free()), "HTTP_PORT": str(any_free())}
    fleet = Fleet(place, {"PAYD_SHARE_PORTS": "true", **ports})
    yield fleet
    for daemon in fleet.every:
        daemon.process.kill()
        daemon.wait_ended()


@pytest.mark.parametrize(
    ("daemons", "watchers", "kills"),
    [(2, 16, 3), pytest.param(4, 200, 60, marks=pytest.mark.campaign)],
    ids=["slice", "campaign"],
)
async def test_while_daemons_are_killed_versions_rise_and_the_newest_always_arrives(
    fleet: Fleet, daemons: int, watchers: int, kills: int
) -> None:
    """One is killed every second, and starts again while the others serve."""
    seen: dict[UUID, list[int]] = {}
    async with trio.open_nursery() as starting:
        for _ in range(daemons):
            starting.start_soon(fleet.add)
    address = f"127.0.0.1:{fleet.shared['GRPC_PORT']}"

    async def watch(client: PaymentClient, payment_id: UUID) -> None:
        async for version in client.watch(payment_id, patience_s=PATIENCE_S):
            seen.setdefault(payment_id, []).append(version.version)

    async def cancel(client: PaymentClient, payment_id: UUID) -> None:
        """Repeat it as a main app does: a busy daemon may be killed before it answers."""
        with trio.fail_after(3 * PATIENCE_S):
            while True:
                try:
                    await client.cancel(payment_id, deadline_s=PATIENCE_S / 10)
                except Unavailable:
                    continue
                return

    async with AsyncExitStack() as opened:
        clients = [
            await opened.enter_async_context(
                PaymentClient(address, files(fleet.place.pki), attempts_max=1000)
            )
            for _ in range(CLIENTS)
        ]
        payments = [
            await clients[number % CLIENTS].initiate(a_wish()) for number in range(watchers)
        ]
        async with trio.open_nursery() as nursery:
            for number, payment in enumerate(payments):
                nursery.start_soon(watch, clients[number % CLIENTS], payment.id)
            for second in range(kills):
                for number in range(second, watchers, kills):
                    # On another connection, and so mostly at another daemon than its watch.
                    other = clients[(number + 1) % CLIENTS]
                    nursery.start_soon(cancel, other, payments[number].id)
                await trio.sleep(1)
                await fleet.kill_one()
                nursery.start_soon(fleet.add)

        for payment in payments:
            last = await clients[0].get(payment.id)
            versions = seen[payment.id]
            assert last.status in FINAL
            assert versions == sorted(set(versions))
            assert versions[-1] == last.version
