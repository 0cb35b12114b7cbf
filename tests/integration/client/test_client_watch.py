"""The client's watch: on both loops, over restarts of payd, and its end."""

import random
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
import trio
from integration.client.test_payment_client_for_real import a_wish, files
from payd_client import NotFound, PaymentClient, Status, Unavailable
from support.daemon import Daemon, Place, running_daemon
from support.waiting import PATIENCE_S
from unit.cli.scripted_daemon import on_plain_asyncio

from payd.dev.ports import any_free

FINAL = {Status.COMPLETED, Status.CANCELED, Status.EXPIRED, Status.FAILED}


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    with running_daemon(module_place) as daemon:
        yield daemon


async def follow_one(client: PaymentClient) -> None:
    """A payment that is paid while it is watched."""
    delayed = {"mock_scenario": "complete", "mock_delay_ms": "300"}
    payment = await client.initiate(a_wish(metadata=delayed))

    seen = [version async for version in client.watch(payment.id)]

    assert seen[-1] == await client.get(payment.id)
    assert seen[-1].status is Status.COMPLETED
    versions = [one.version for one in seen]
    assert versions == sorted(set(versions))
    # It ends at once for a caller that has the last version.
    assert [one async for one in client.watch(payment.id, after_version=versions[-1])] == []


async def test_on_trio(daemon: Daemon) -> None:
    async with PaymentClient(daemon.grpc, files(daemon.place.pki)) as client:
        await follow_one(client)


def test_on_asyncio(daemon: Daemon) -> None:
    async def scenario() -> None:
        async with PaymentClient(daemon.grpc, files(daemon.place.pki)) as client:
            await follow_one(client)

    on_plain_asyncio(scenario())


async def test_an_unknown_payment_is_not_found(daemon: Daemon) -> None:
    async with PaymentClient(daemon.grpc, files(daemon.place.pki)) as client:
        with pytest.raises(NotFound):
            await anext(client.watch(uuid4()))


async def test_leaving_a_watch_and_closing_the_client_end_the_stream(daemon: Daemon) -> None:
    async with PaymentClient(daemon.grpc, files(daemon.place.pki)) as client:
        payment = await client.initiate(a_wish())
        async with client.watch(payment.id) as left:
            assert (await anext(left)).id == payment.id
        with pytest.raises(Unavailable):
            await anext(left)
        forgotten = client.watch(payment.id)
        assert (await anext(forgotten)).id == payment.id


async def test_a_canceled_task_leaves_the_client_usable(daemon: Daemon) -> None:
    async with PaymentClient(daemon.grpc, files(daemon.place.pki)) as client:
        payment = await client.initiate(a_wish())
        with trio.move_on_after(0.5):
            async for _ in client.watch(payment.id):
                pass
        assert (await client.get(payment.id)).id == payment.id


async def test_it_gives_up_when_payd_stays_away(place: Place) -> None:
    with running_daemon(place) as daemon:
        async with PaymentClient(daemon.grpc, files(place.pki)) as client:
            payment = await client.initiate(a_wish())
            watched = client.watch(payment.id, patience_s=0.5)
            assert (await anext(watched)).id == payment.id
            daemon.stop()

            with pytest.raises(Unavailable), trio.fail_after(PATIENCE_S):
                await anext(watched)


@pytest.mark.parametrize(
    ("watchers", "restarts"),
    [(30, 5), pytest.param(200, 60, marks=pytest.mark.campaign)],
    ids=["slice", "campaign"],
)
async def test_over_restarts_versions_rise_and_the_newest_always_arrives(
    place: Place, watchers: int, restarts: int
) -> None:
    """Daemons are killed, or stopped, every second, while payments change and are watched."""
    chance = random.Random(7)
    port = str(any_free())
    seen: dict[UUID, list[int]] = {}
    daemon = Daemon(place, GRPC_PORT=port).wait_started()
    try:
        async with PaymentClient(
            f"127.0.0.1:{port}", files(place.pki), attempts_max=1000
        ) as client:
            payments = [await client.initiate(a_wish()) for _ in range(watchers)]

            async def watch(payment_id: UUID) -> None:
                async for version in client.watch(payment_id, patience_s=PATIENCE_S):
                    seen.setdefault(payment_id, []).append(version.version)

            async with trio.open_nursery() as nursery:
                for payment in payments:
                    nursery.start_soon(watch, payment.id)
                for number in range(restarts):
                    for payment in payments[number::restarts]:
                        nursery.start_soon(_cancel, client, payment.id)
                    await trio.sleep(1)
                    if chance.random() < 0.5:
                        daemon.process.kill()
                    await trio.to_thread.run_sync(daemon.stop)
                    daemon = Daemon(place, GRPC_PORT=port)
                    await trio.to_thread.run_sync(daemon.wait_started)

            for payment in payments:
                last = await client.get(payment.id)
                versions = seen[payment.id]
                assert last.status in FINAL
                assert versions == sorted(set(versions))
                assert versions[-1] == last.version
    finally:
        daemon.process.kill()
        daemon.wait_ended()


async def _cancel(client: PaymentClient, payment_id: UUID) -> None:
    await client.cancel(payment_id, deadline_s=PATIENCE_S)
