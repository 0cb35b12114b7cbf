"""Handle each received event: wait for its turn, claim it, run the handler, retry, give up."""

import asyncio
import bisect
import contextlib
from collections.abc import Callable, Iterator
from logging import getLogger
from operator import attrgetter
from typing import Any
from uuid import UUID, uuid4

import attrs

from payd_client.bridge import check_cancelled, is_cancelled
from payd_client.claims import Claim, Claims, NoClaims
from payd_client.consumer import ALL_SUBJECTS, ConsumerSettings, Handler, Reject
from payd_client.messages import event_of
from payd_client.subscription import FAILURES, Subscription, acknowledge
from payd_client.values import Event

_log = getLogger("payd_client")

#: Seconds between attempts to claim an event whose payment or previous event is not free yet.
_CLAIM_AGAIN_S = 0.5
_CLOSE_S = 3.0
#: How long to wait for the previous event of a payment, in multiples of `ack_wait_s`.
_PREVIOUS_WAITS = 3
#: Header with the id of the payment's previous event.
_PREVIOUS = "payd-previous-event-id"


@attrs.define(eq=False)
class _Received:
    """A message that this process has received and not yet acknowledged."""

    message: Any
    event: Event
    #: Position in the stream.
    sequence: int
    #: When it was received, by the loop's clock.
    since: float = attrs.field(factory=lambda: asyncio.get_running_loop().time())
    attempts: int = 0
    is_claimed: bool = False


class Handling:
    """One run of a consumer. Runs on asyncio, and awaits `handler` there.

    A payment's events wait in a queue, in the order of the stream. Each queue has one task, which
    keeps an event until it is done or dead: a retry happens here, because an event that went back
    to NATS would arrive after its successors.
    """

    def __init__(self, settings: ConsumerSettings, handler: Handler) -> None:
        self._settings = settings
        self._handler = handler
        self._subscription = Subscription(settings)
        self._claims = _open_claims(settings)
        self._stopped = asyncio.Event()
        self._queues: dict[UUID, list[_Received]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._free_places = asyncio.Semaphore(settings.held_max)
        self._free_handlers = asyncio.Semaphore(settings.parallel)

    def stop(self) -> None:
        """Receive no more events, and end when the running handlers have ended."""
        self._stopped.set()

    async def run(self, started: Callable[[], None]) -> None:
        """Run until stopped or cancelled. `started` is called when the durable consumer exists."""
        try:
            async with asyncio.TaskGroup() as group:
                extending = group.create_task(self._extend())
                receiving = group.create_task(self._receive(group, started))
                await self._stopped.wait()
                receiving.cancel()
                await asyncio.wait([receiving, *self._tasks])
                extending.cancel()
        finally:
            with contextlib.suppress(*FAILURES):
                async with asyncio.timeout(_CLOSE_S):
                    await self._close()

    async def _close(self) -> None:
        """Close the connections, even when the events cannot be given back."""
        with contextlib.suppress(*FAILURES):
            await self._give_back()
        await self._claims.close()
        await self._subscription.close()

    async def _receive(self, group: asyncio.TaskGroup, started: Callable[[], None]) -> None:
        await self._subscription.open()
        started()
        while True:
            check_cancelled()
            await self._free_places.acquire()
            self._enqueue(group, await self._subscription.next())

    def _enqueue(self, group: asyncio.TaskGroup, message: Any) -> None:
        """Put a message into its payment's queue, in the order of the stream."""
        delivery = message.metadata.num_delivered
        try:
            event = event_of(message.data, message.headers or {}, delivery=delivery)
        except ValueError as error:
            self._start(group, self._bury, message, f"invalid event: {error}")
            return
        received = _Received(message, event, message.metadata.sequence.stream)
        queue = self._queues.get(event.payment.id)
        if queue is None:
            self._queues[event.payment.id] = [received]
            self._start(group, self._work, event.payment.id)
        elif received.sequence in (other.sequence for other in queue):
            # NATS has delivered it again too early: the queue has it already.
            self._free_places.release()
        else:
            bisect.insort(queue, received, key=attrgetter("sequence"))

    def _start(self, group: asyncio.TaskGroup, work: Callable[..., Any], *args: Any) -> None:
        if is_cancelled():
            # The message arrived together with the end: `_give_back` returns it.
            return
        task = group.create_task(work(*args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _all_received(self) -> Iterator[_Received]:
        return (received for queue in tuple(self._queues.values()) for received in tuple(queue))

    async def _extend(self) -> None:
        """Keep NATS and Redis from giving received events to another process."""
        while True:
            check_cancelled()
            await asyncio.sleep(self._subscription.ack_wait_s / 3)
            for received in self._all_received():
                with contextlib.suppress(*FAILURES):
                    await received.message.in_progress()
                if received.is_claimed:
                    await self._claims.extend(received.event)

    async def _give_back(self) -> None:
        """Return received events at once, so that another process need not wait for them."""
        await self._subscription.end()
        for received in self._all_received():
            await self._release(received)
            await received.message.nak()

    async def _bury(self, message: Any, reason: str) -> None:
        await self._subscription.bury(message, reason)
        self._free_places.release()

    # -- one payment -------------------------------------------------------------------------------

    async def _work(self, payment_id: UUID) -> None:
        """Handle the payment's events one after the other, until the queue is empty."""
        queue = self._queues[payment_id]
        while queue and not self._stopped.is_set():
            check_cancelled()
            received = queue[0]
            if await self._finish(received):
                queue.remove(received)
                self._free_places.release()
        if not queue:
            del self._queues[payment_id]

    async def _finish(self, received: _Received) -> bool:
        """Whether the event is done or dead. If not, wait before the next attempt."""
        settings = self._settings
        if received.event.delivery > settings.deliveries_max:
            reason = f"delivered {received.event.delivery} times"
            await self._subscription.bury(received.message, reason)
            return True
        claim = await self._claim(received)
        if claim is Claim.TAKEN:
            await self._wait(_CLAIM_AGAIN_S)
            return False
        failure = None if claim is Claim.DONE else await self._try(received)
        if failure is not None:
            await self._release(received)
            if received.attempts >= settings.attempts_max:
                await self._subscription.bury(received.message, failure)
                return True
            await self._wait(self._backoff_s(received, failure))
            return False
        await acknowledge(received.message)
        return True

    async def _claim(self, received: _Received) -> Claim:
        """Claim the event. TAKEN also while the payment's previous event is not done."""
        claim = await self._claims.claim(received.event)
        received.is_claimed = claim is Claim.MINE
        if claim in (Claim.DONE, Claim.TAKEN) or await self._is_next(received):
            return claim
        await self._release(received)
        return Claim.TAKEN

    async def _is_next(self, received: _Received) -> bool:
        """Whether the payment's previous event is done, or has been waited for long enough.

        The wait covers the time for which a process that died keeps the previous event. It ends,
        because the previous event may be older than this consumer, or forgotten by Redis.
        """
        if self._settings.subject != ALL_SUBJECTS:
            # The previous event may have a subject that this consumer does not receive.
            return True
        previous = (received.message.headers or {}).get(_PREVIOUS)
        wait_s = _PREVIOUS_WAITS * self._settings.ack_wait_s
        if not previous or asyncio.get_running_loop().time() > received.since + wait_s:
            return True
        return await self._claims.is_done(previous) is not False

    async def _try(self, received: _Received) -> str | None:
        """Run the handler. Return the reason of a failure, None after success."""
        async with self._free_handlers:
            received.attempts += 1
            try:
                async with asyncio.timeout(self._settings.handler_timeout_s):
                    await self._handler(received.event)
            except Reject as error:
                received.attempts = self._settings.attempts_max
                return f"rejected: {error}"
            except Exception as error:  # noqa: BLE001 - the main app's handler may raise anything
                payment = received.event.payment.id
                _log.exception(
                    "the handler failed: %s, payment %s", received.event.type.value, payment
                )
                return f"{type(error).__name__}: {error}"
        await self._claims.confirm(received.event)
        received.is_claimed = False
        return None

    async def _release(self, received: _Received) -> None:
        if received.is_claimed:
            received.is_claimed = False
            await self._claims.release(received.event)

    def _backoff_s(self, received: _Received, reason: str) -> float:
        waits = self._settings.backoff_s
        wait_s = waits[min(received.attempts, len(waits)) - 1] if waits else 0.0
        _log.info("next attempt in %g s: %s", wait_s, reason)
        return wait_s

    async def _wait(self, wait_s: float) -> None:
        """Wait, or return early when the consumer is stopped."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), wait_s)


def _open_claims(settings: ConsumerSettings) -> Claims:
    if not settings.redis:
        return NoClaims()
    from payd_client.redis_claims import RedisClaims

    return RedisClaims(
        url=settings.redis,
        durable=settings.durable,
        token=uuid4().hex,
        claim_s=settings.ack_wait_s,
        remember_s=settings.remember_s,
    )
