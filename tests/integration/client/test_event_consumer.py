"""The event consumer: each event once, in order within a payment, concurrently across payments."""

# ruff: noqa: ASYNC110 - what is waited for is in servers

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import attrs
import nats.errors
import pytest
import trio
import trio.lowlevel
from payd_client import ConsumerSettings, Event, EventConsumer, EventType, Reject
from support.event_stream import EventStream, a_payment
from support.own_nats import OwnNats
from support.stack import Stack
from unit.cli.scripted_daemon import on_plain_asyncio

from payd.adapters.nats.dead_letters import JetStreamDeadLetters
from payd.adapters.nats.publisher import JetStreamPublisher

PATIENCE_S = 180.0


@pytest.fixture(autouse=True)
def a_patient_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine Redis takes longer than a second, and events come twice, as documented."""
    monkeypatch.setattr("payd_client.redis_claims._TIMEOUT_S", PATIENCE_S)


def settings(stream: EventStream, redis: str = "", **overrides: Any) -> ConsumerSettings:
    """Impatient ones."""
    fields: dict[str, Any] = {"ack_wait_s": 1.0, "backoff_s": (0.05,)}
    return ConsumerSettings(**{"nats": stream.url, "redis": redis, **fields, **overrides})


@contextlib.asynccontextmanager
async def consuming(
    settings: ConsumerSettings, handler: Callable[[Event], Awaitable[None]]
) -> AsyncIterator[EventConsumer]:
    """On asyncio, until the end of the block."""
    consumer = EventConsumer(settings, handler)
    running = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.01)


async def eventually_nothing_is_left(stream: EventStream) -> None:
    """The consumer may not exist yet, nor NATS."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(nats.errors.Error, OSError):
                if await stream.unacknowledged() == 0:
                    return
            await asyncio.sleep(0.02)


class Handled:
    """Ids in the order in which they were handled; some of them fail at first."""

    def __init__(self, *, failures: int = 0, takes_s: float = 0.0) -> None:
        self.events: list[Event] = []
        self.failures = failures
        self._takes_s = takes_s
        self.at_once = self.at_once_max = 0

    async def __call__(self, event: Event) -> None:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            await asyncio.sleep(self._takes_s)
            if self.failures:
                self.failures -= 1
                raise RuntimeError("the database is away")
            self.events.append(event)
        finally:
            self.at_once -= 1

    @property
    def ids(self) -> list[UUID]:
        return [event.id for event in self.events]


# -- what comes --------------------------------------------------------------------------------


def test_an_event_is_handled_with_the_whole_payment_and_acknowledged(
    stream: EventStream, stack: Stack
) -> None:
    async def scenario() -> None:
        handled = Handled()
        payment = a_payment(subscription_ids=("s-1",), late=True)
        async with consuming(settings(stream, stack.redis), handled):
            event_id = await stream.publish(payment)
            await eventually(lambda: bool(handled.events))
            await eventually_nothing_is_left(stream)
        [event] = handled.events
        assert (event.id, event.type) == (event_id, EventType.COMPLETED)
        assert (event.payment.id, event.payment.customer_id) == (payment.id, "alice")
        assert event.payment.subscription_ids == ("s-1",)
        assert attrs.asdict(event.payment.amount) == attrs.asdict(payment.amount)
        assert event.payment.late
        assert event.delivery == 1

    on_plain_asyncio(scenario())


async def test_on_trio_the_handler_runs_on_trio_inside_the_callers_nursery(
    stream: EventStream, stack: Stack
) -> None:
    seen: list[Event] = []

    async def handle(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(event)

    await trio.to_thread.run_sync(on_plain_asyncio, stream.publish(a_payment()))
    consumer = EventConsumer(settings(stream, stack.redis), handle)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(consumer.run)
            while not seen:
                await trio.sleep(0.01)
            consumer.stop()


async def test_canceled_on_trio_it_gives_back_what_it_holds(stream: EventStream) -> None:
    began = trio.Event()

    async def never(event: Event) -> None:
        began.set()
        await trio.sleep_forever()

    await trio.to_thread.run_sync(on_plain_asyncio, stream.publish(a_payment()))
    consumer = EventConsumer(settings(stream, ack_wait_s=600.0), never)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(consumer.run)
            await began.wait()
            nursery.cancel_scope.cancel()

    def again() -> None:
        async def scenario() -> None:
            handled = Handled()
            async with consuming(settings(stream, ack_wait_s=600.0), handled):
                await eventually(lambda: bool(handled.events))
            assert handled.events[0].delivery == 2

        on_plain_asyncio(scenario())

    await trio.to_thread.run_sync(again)


# -- once --------------------------------------------------------------------------------------


def test_an_event_that_comes_twice_is_handled_once(stream: EventStream, stack: Stack) -> None:
    async def scenario() -> None:
        handled = Handled()
        payment = a_payment()
        async with consuming(settings(stream, stack.redis), handled):
            await stream.publish(payment)
            await stream.publish(payment)
            await eventually(lambda: bool(handled.events))
            await eventually_nothing_is_left(stream)
        assert len(handled.events) == 1

    on_plain_asyncio(scenario())


def test_two_consumers_share_the_work_and_double_none(stream: EventStream, stack: Stack) -> None:
    async def scenario() -> None:
        handled = Handled(takes_s=0.01)
        known = settings(stream, stack.redis, parallel=4, held_max=4)
        async with consuming(known, handled), consuming(known, handled):
            ids = [await stream.publish(a_payment()) for _ in range(60)]
            await eventually_nothing_is_left(stream)
        assert sorted(handled.ids) == sorted(ids)

    on_plain_asyncio(scenario())


def test_what_redis_remembers_of_a_handled_event_outlives_a_consumer(
    stream: EventStream, stack: Stack
) -> None:
    """It died between the handler's end and the acknowledgement."""

    async def scenario() -> None:
        handled = Handled()
        payment = a_payment()
        async with consuming(settings(stream, stack.redis), handled):
            await stream.publish(payment)
            await eventually_nothing_is_left(stream)
        again = Handled()
        async with consuming(settings(stream, stack.redis, durable="again"), again):
            await eventually(lambda: bool(again.events))
        await stream.renew()
        await stream.publish(payment)
        async with consuming(settings(stream, stack.redis), handled):
            await eventually_nothing_is_left(stream)
        assert len(handled.events) == 1

    on_plain_asyncio(scenario())


# -- in order ----------------------------------------------------------------------------------


def test_events_of_one_payment_come_in_order_even_when_the_first_fails(
    stream: EventStream, stack: Stack
) -> None:
    async def scenario() -> None:
        handled = Handled(failures=3)
        payment = a_payment()
        wanted = [
            await stream.publish(a_payment(id=payment.id, version=version), kind)
            for version, kind in enumerate(
                (EventType.CANCELED, EventType.ATTENTION, EventType.COMPLETED), start=2
            )
        ]
        async with consuming(settings(stream, stack.redis), handled):
            await eventually_nothing_is_left(stream)
        assert handled.ids == wanted

    on_plain_asyncio(scenario())


def test_a_payment_that_fails_holds_up_no_other(stream: EventStream, stack: Stack) -> None:
    async def scenario() -> None:
        stuck = a_payment()
        handled = Handled()

        async def handle(event: Event) -> None:
            if event.payment.id == stuck.id:
                raise RuntimeError("this one never")
            await handled(event)

        await stream.publish(stuck)
        known = settings(stream, stack.redis, parallel=1, attempts_max=1_000_000)
        async with consuming(known, handle):
            ids = [await stream.publish(a_payment()) for _ in range(5)]
            await eventually(lambda: len(handled.ids) == 5)
        assert sorted(handled.ids) == sorted(ids)

    on_plain_asyncio(scenario())


def test_payments_are_handled_side_by_side_as_many_as_allowed(
    stream: EventStream, stack: Stack
) -> None:
    async def scenario() -> None:
        handled = Handled(takes_s=0.1)
        for _ in range(12):
            await stream.publish(a_payment())
        async with consuming(settings(stream, stack.redis, parallel=4), handled):
            await eventually_nothing_is_left(stream)
        assert (len(handled.events), handled.at_once_max) == (12, 4)

    on_plain_asyncio(scenario())


def test_an_event_waits_for_the_one_before_it_that_another_consumer_took_to_its_grave(
    stream: EventStream, stack: Stack
) -> None:
    async def scenario() -> None:
        payment = a_payment()
        canceled = await stream.publish(a_payment(id=payment.id, version=2), EventType.CANCELED)
        async with stream.connected() as jetstream:
            # Taken by nobody in particular, and never acknowledged.
            handled = Handled()
            async with consuming(settings(stream, stack.redis), handled) as first:
                await eventually(lambda: bool(handled.events))
                await eventually_nothing_is_left(stream)
                first.stop()
            await stream.renew()
            del jetstream
        lost = await stream.publish(a_payment(id=payment.id, version=3), EventType.ATTENTION)
        async with stream.connected() as jetstream:
            from payd_client.subscription import _config

            await jetstream.add_consumer("PAYMENTS", _config(settings(stream)))
            pull = await jetstream.pull_subscribe_bind(
                durable="main-app-payment", stream="PAYMENTS"
            )
            await pull.fetch(1)
        completed = await stream.publish(
            a_payment(id=payment.id, version=4), EventType.COMPLETED, previous=lost
        )
        handled.events.clear()
        async with consuming(settings(stream, stack.redis), handled):
            await eventually_nothing_is_left(stream)
        assert handled.ids == [lost, completed]
        assert canceled not in handled.ids

    on_plain_asyncio(scenario())


def test_a_consumer_of_some_subjects_does_not_wait_for_an_event_of_another(
    stream: EventStream, stack: Stack
) -> None:
    async def scenario() -> None:
        handled = Handled()
        payment = a_payment()
        other = await stream.publish(payment, EventType.ATTENTION)
        completed = await stream.publish(
            a_payment(id=payment.id, version=4), EventType.COMPLETED, previous=other
        )
        # So long that a wait would outlast the test.
        known = settings(stream, stack.redis, subject="payment.completed", ack_wait_s=1000.0)
        async with consuming(known, handled):
            await eventually(lambda: bool(handled.events))
            await eventually_nothing_is_left(stream)
        assert handled.ids == [completed]

    on_plain_asyncio(scenario())


# -- when it fails -----------------------------------------------------------------------------


def test_a_handler_that_fails_is_tried_again(stream: EventStream, stack: Stack) -> None:
    async def scenario() -> None:
        handled = Handled(failures=2)
        async with consuming(settings(stream, stack.redis), handled):
            event_id = await stream.publish(a_payment())
            await eventually_nothing_is_left(stream)
        assert handled.ids == [event_id]

    on_plain_asyncio(scenario())


def test_one_that_takes_longer_than_the_server_waits_is_not_given_to_another(
    stream: EventStream, stack: Stack
) -> None:
    async def scenario() -> None:
        handled = Handled(takes_s=3.0)
        known = settings(stream, stack.redis)
        async with consuming(known, handled), consuming(known, handled):
            await stream.publish(a_payment())
            await eventually(lambda: bool(handled.events))
            await eventually_nothing_is_left(stream)
        assert (len(handled.events), handled.at_once_max) == (1, 1)

    on_plain_asyncio(scenario())


@pytest.mark.parametrize("how", ["fails", "rejects"])
def test_what_cannot_be_handled_becomes_a_dead_letter_with_its_reason(
    stream: EventStream, stack: Stack, how: str
) -> None:
    async def scenario() -> None:
        tries = 0

        async def handle(event: Event) -> None:
            nonlocal tries
            tries += 1
            raise Reject("no such user") if how == "rejects" else RuntimeError("no\nsuch user")

        async with consuming(settings(stream, stack.redis, attempts_max=3), handle):
            event_id = await stream.publish(a_payment())
            await eventually(lambda: tries > 0)
            await eventually_nothing_is_left(stream)
        assert tries == (1 if how == "rejects" else 3)
        [letter] = await stream.dead()
        assert letter.subject == "payment_dlq.main-app-payment.payment.completed"
        assert "such user" in letter.headers["payd-dead-reason"]
        assert letter.headers["ce-id"] == str(event_id)
        assert str(event_id).encode() in letter.data

    on_plain_asyncio(scenario())


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"event_id": 7}', b"\xff\xfe", b'{"id": "x"}']
)
def test_what_is_no_event_becomes_a_dead_letter(
    stream: EventStream, stack: Stack, data: bytes
) -> None:
    async def scenario() -> None:
        handled = Handled()
        async with stream.connected() as jetstream:
            await jetstream.publish("payment.completed", data)
        async with consuming(settings(stream, stack.redis), handled):
            event_id = await stream.publish(a_payment())
            await eventually(lambda: bool(handled.events))
            await eventually_nothing_is_left(stream)
        assert handled.ids == [event_id]
        [letter] = await stream.dead()
        assert (letter.data or b"") == data

    on_plain_asyncio(scenario())


def test_a_message_that_ended_too_many_consumers_is_not_handled_any_more(
    stream: EventStream, stack: Stack
) -> None:
    async def scenario() -> None:
        handled = Handled()
        await stream.publish(a_payment())
        async with consuming(settings(stream, stack.redis, deliveries_max=0), handled):
            await eventually_nothing_is_left(stream)
        assert handled.events == []
        assert len(await stream.dead()) == 1

    on_plain_asyncio(scenario())


def test_dead_letters_are_shown_and_once_mended_handled_after_all(
    stream: EventStream, stack: Stack
) -> None:
    ids: list[UUID] = []

    async def give_up() -> None:
        async def handle(event: Event) -> None:
            raise Reject("no such user")

        async with consuming(settings(stream, stack.redis), handle):
            ids.extend([await stream.publish(a_payment()) for _ in range(2)])
            await eventually_nothing_is_left(stream)

    async def mended() -> None:
        handled = Handled()
        async with consuming(settings(stream, stack.redis), handled):
            await eventually_nothing_is_left(stream)
        assert sorted(handled.ids) == sorted(ids)

    async def put_back() -> None:
        """As the daemon does for an operator."""
        publisher = JetStreamPublisher([stream.url], stream="PAYMENTS", create_stream=False)
        letters = JetStreamDeadLetters(publisher, "PAYMENTS")
        running = asyncio.create_task(publisher.run())
        await eventually(lambda: publisher.state().connected)
        found = await letters.read(0, 10)
        assert {one.event_id for one in found.letters} == set(map(str, ids))
        assert {one.reason for one in found.letters} == {"rejected: no such user"}
        bodies = {one.sequence: one.data for one in found.letters}
        assert await letters.replay(bodies) == list(bodies)
        assert (await letters.read(0, 10)).letters == ()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    on_plain_asyncio(give_up())
    on_plain_asyncio(put_back())
    on_plain_asyncio(mended())


# -- two on one durable consumer ----------------------------------------------------------------


@contextlib.asynccontextmanager
async def application(stream: EventStream, name: str, **overrides: Any) -> AsyncIterator[None]:
    """One that reads, from when the server knows so."""
    async with consuming(settings(stream, application=name, **overrides), Handled()):
        async with asyncio.timeout(PATIENCE_S):
            while await waiting(stream) == 0:
                await asyncio.sleep(0.02)
        yield


async def waiting(stream: EventStream) -> int:
    """Requests of readers for more; 0 also where there is no consumer yet."""
    async with stream.connected() as jetstream:
        with contextlib.suppress(nats.js.errors.NotFoundError):
            info = await jetstream.consumer_info("PAYMENTS", "main-app-payment")
            return int(info.num_waiting)
    return 0


def warnings_of_sharing(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in caplog.messages if "share the durable consumer" in text]


def test_two_applications_on_one_durable_consumer_are_warned_about(
    stream: EventStream, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with (
            application(stream, "shop"),
            consuming(settings(stream, application="bookkeeping"), Handled()),
        ):
            await eventually(lambda: bool(warnings_of_sharing(caplog)))

    on_plain_asyncio(scenario())
    [warning] = warnings_of_sharing(caplog)
    assert "main-app-payment: this one, bookkeeping, and shop." in warning
    assert "ConsumerSettings.durable" in warning


def test_two_that_start_together_are_warned_about_all_the_same(
    stream: EventStream, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with (
            consuming(settings(stream, application="shop"), Handled()),
            consuming(settings(stream, application="bookkeeping"), Handled()),
        ):
            await eventually(lambda: bool(warnings_of_sharing(caplog)))

    on_plain_asyncio(scenario())


def test_a_durable_consumer_that_another_program_made_and_reads_is_warned_about_and_kept(
    stream: EventStream, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> dict[str, Any]:
        async with stream.connected() as jetstream:
            config = nats.js.api.ConsumerConfig(
                durable_name="main-app-payment",
                ack_wait=7,
                max_waiting=9,
                description="theirs",
                metadata={"team": "books"},
            )
            await jetstream.add_consumer("PAYMENTS", config)
            theirs = await jetstream.pull_subscribe_bind("main-app-payment", stream="PAYMENTS")
            reading = asyncio.create_task(theirs.fetch(1, timeout=PATIENCE_S))
            async with asyncio.timeout(PATIENCE_S):
                while await waiting(stream) == 0:
                    await asyncio.sleep(0.02)
            async with application(stream, "shop"):
                await eventually(lambda: bool(warnings_of_sharing(caplog)))
                # The name is stored after the warning.
                found = config
                async with asyncio.timeout(PATIENCE_S):
                    while "payd-application" not in (found.metadata or {}):
                        await asyncio.sleep(0.02)
                        info = await jetstream.consumer_info("PAYMENTS", "main-app-payment")
                        found = info.config
            reading.cancel()
            return dict(found.as_dict())

    config = on_plain_asyncio(scenario())
    assert (config["ack_wait"], config["max_waiting"]) == (7_000_000_000, 9)
    assert config["description"] == "theirs"
    assert {**config["metadata"], "team": "books", "payd-application": "shop"} == config["metadata"]
    assert "and one without a name." in warnings_of_sharing(caplog)[0]


def test_processes_of_one_application_share_one_without_a_word(
    stream: EventStream, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with application(stream, "shop"), application(stream, "shop"):
            await stream.publish(a_payment())
            await eventually_nothing_is_left(stream)

    on_plain_asyncio(scenario())
    assert warnings_of_sharing(caplog) == []


def test_applications_with_durable_names_of_their_own_each_get_every_event(
    stream: EventStream, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        first, second = Handled(), Handled()
        async with (
            consuming(settings(stream, application="shop"), first),
            consuming(settings(stream, application="books", durable="books"), second),
        ):
            ids = [await stream.publish(a_payment()) for _ in range(6)]
            await eventually(lambda: len(first.ids) == len(second.ids) == 6)
        assert sorted(first.ids) == sorted(second.ids) == sorted(ids)

    on_plain_asyncio(scenario())
    assert warnings_of_sharing(caplog) == []


def test_a_new_name_takes_over_a_durable_consumer_that_nobody_reads(
    stream: EventStream, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with application(stream, "shop"):
            pass
        async with asyncio.timeout(PATIENCE_S):
            while await waiting(stream):
                await asyncio.sleep(0.02)
        async with application(stream, "the shop's new name"):
            pass

    on_plain_asyncio(scenario())
    assert warnings_of_sharing(caplog) == []


# -- when others are away ----------------------------------------------------------------------


def test_without_redis_events_are_handled(stream: EventStream, free_port: Any) -> None:
    async def scenario() -> None:
        handled = Handled()
        nowhere = f"redis://127.0.0.1:{free_port()}/0"
        async with consuming(settings(stream, nowhere), handled):
            event_id = await stream.publish(a_payment())
            await eventually_nothing_is_left(stream)
        assert handled.ids == [event_id]

    on_plain_asyncio(scenario())


def test_it_waits_for_nats_and_goes_on_when_nats_comes_back(
    own_nats: OwnNats, stream: EventStream, stack: Stack
) -> None:
    async def scenario() -> None:
        own_nats.stop()
        handled = Handled()
        async with consuming(settings(stream, stack.redis), handled):
            await asyncio.sleep(0.2)
            own_nats.start()
            first = await stream.publish(a_payment())
            await eventually(lambda: handled.ids == [first])
            own_nats.stop()
            await asyncio.sleep(0.2)
            own_nats.start()
            second = await stream.publish(a_payment())
            await eventually(lambda: handled.ids == [first, second])
            await eventually_nothing_is_left(stream)

    on_plain_asyncio(scenario())


def test_it_waits_until_nats_lets_it_in(
    own_nats: OwnNats, stream: EventStream, stack: Stack
) -> None:
    async def scenario() -> None:
        own_nats.stop()
        own_nats.start("--auth", "another-token")
        handled = Handled()
        mine = stream.url.replace("nats://", "nats://a-token@")
        try:
            async with consuming(settings(stream, stack.redis, nats=mine), handled):
                await asyncio.sleep(1.5)
                own_nats.stop()
                own_nats.start("--auth", "a-token")
                await EventStream(mine).publish(a_payment())
                await eventually(lambda: len(handled.events) == 1)
        finally:
            own_nats.stop()
            own_nats.start()

    on_plain_asyncio(scenario())


def test_a_handler_that_never_ends_is_ended_and_tried_again(
    stream: EventStream, stack: Stack
) -> None:
    async def scenario() -> None:
        handled = Handled()
        tries = 0

        async def handle(event: Event) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                await asyncio.sleep(3600)
            await handled(event)

        async with consuming(settings(stream, stack.redis, handler_timeout_s=0.2), handle):
            await stream.publish(a_payment())
            await eventually_nothing_is_left(stream)
        assert (tries, len(handled.events)) == (2, 1)

    on_plain_asyncio(scenario())


def test_a_deleted_consumer_is_created_again(stream: EventStream, stack: Stack) -> None:
    async def scenario() -> None:
        handled = Handled()
        async with consuming(settings(stream, stack.redis), handled):
            first = await stream.publish(a_payment())
            await eventually_nothing_is_left(stream)
            async with stream.connected() as jetstream:
                await jetstream.delete_consumer("PAYMENTS", "main-app-payment")
            second = await stream.publish(a_payment())
            await eventually(lambda: second in handled.ids)
        # Delivered from the beginning again; Redis knows the first.
        assert handled.ids == [first, second]

    on_plain_asyncio(scenario())


def test_when_stopped_it_lets_a_handler_end_and_takes_nothing_more(
    stream: EventStream, stack: Stack
) -> None:
    async def scenario() -> None:
        handled = Handled(takes_s=0.3)
        consumer = EventConsumer(settings(stream, stack.redis), handled)
        await stream.publish(a_payment())
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            group.create_task(consumer.run())
            await eventually(lambda: handled.at_once > 0)
            consumer.stop()
            began = time.monotonic()
        assert len(handled.events) == 1
        assert time.monotonic() - began < 20
        assert await stream.unacknowledged() == 0

    on_plain_asyncio(scenario())


@pytest.mark.parametrize("seed", range(2))
def test_when_stopped_at_any_moment_it_stops_and_loses_nothing(
    stream: EventStream, stack: Stack, seed: int
) -> None:
    moments = random.Random(seed)
    handled = Handled()

    async def run_a_moment() -> UUID:
        consumer = EventConsumer(settings(stream, stack.redis), handled)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            running = group.create_task(consumer.run())
            event_id = await stream.publish(a_payment())
            await asyncio.sleep(moments.choice((0, 0.002, 0.01, 0.03, 0.1)))
            if moments.random() < 0.5:
                consumer.stop()
            else:
                running.cancel()
        return event_id

    async def scenario() -> None:
        wanted = {await run_a_moment() for _ in range(40)}
        async with consuming(settings(stream, stack.redis), handled):
            await eventually_nothing_is_left(stream)
        assert set(handled.ids) == wanted

    on_plain_asyncio(scenario())
