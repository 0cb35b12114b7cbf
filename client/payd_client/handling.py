"""What happens to each event that is taken: in turn, claimed, handled, tried again, given up."""

import asyncio
import bisect
import contextlib
from collections.abc import Callable, Iterator
from logging import getLogger
from typing import Any
from uuid import UUID, uuid4

import attrs

from payd_client.claims import Claim, Claims
from payd_client.consumer import ConsumerSettings, Handler, Reject
from payd_client.island import go_on, is_ending
from payd_client.subscription import FAILURES, Subscription, acknowledge
from payd_client.values import Event, event_of

_log = getLogger("payd_client")

#: Between looks at a payment that another consumer holds, or whose earlier event is not done.
_LOOK_S = 0.5
_LEAVE_S = 3.0
#: Times the server's own patience, for an earlier event of the same payment.
_PATIENCE = 3
#: payd's own word for the event of the same payment before this one.
_PREVIOUS = "payd-previous-event-id"


@attrs.define(eq=False)
class _Held:
    """A message that was taken: it is kept from others until it is finished."""

    message: Any
    event: Event
    #: In the stream.
    sequence: int
    #: When it was taken, by the loop's clock.
    since: float = attrs.field(factory=lambda: asyncio.get_running_loop().time())
    attempts: int = 0
    is_claimed: bool = False


class Handling:
    """Of one running consumer; on asyncio. `handler` is awaited there, too."""

    def __init__(self, settings: ConsumerSettings, handler: Handler) -> None:
        self._settings = settings
        self._handler = handler
        self._subscription = Subscription(settings)
        self._claims = Claims(
            url=settings.redis,
            durable=settings.durable,
            token=uuid4().hex,
            claim_s=settings.ack_wait_s,
            remember_s=settings.remember_s,
        )
        self._stopped = asyncio.Event()
        #: Payment → its messages, in their order.
        self._queues: dict[UUID, list[_Held]] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(settings.held_max)
        self._hands = asyncio.Semaphore(settings.parallel)

    def stop(self) -> None:
        """Take nothing more; end when the handlers under way have ended."""
        self._stopped.set()

    async def run(self, started: Callable[[], None]) -> None:
        """Until stopped."""
        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(self._keep())
                taking = group.create_task(self._take(group, started))
                await self._stopped.wait()
                taking.cancel()
                await asyncio.wait([taking, *self._working])
                keeping.cancel()
        finally:
            with contextlib.suppress(*FAILURES):
                async with asyncio.timeout(_LEAVE_S):
                    await self._leave()

    async def _leave(self) -> None:
        """The connections are closed even where nothing can be given back any more."""
        with contextlib.suppress(*FAILURES):
            await self._give_back()
        await self._claims.close()
        await self._subscription.close()

    async def _take(self, group: asyncio.TaskGroup, started: Callable[[], None]) -> None:
        await self._subscription.open()
        started()
        while True:
            go_on()
            await self._room.acquire()
            self._hold(group, await self._subscription.next())

    def _hold(self, group: asyncio.TaskGroup, message: Any) -> None:
        """In the order of the stream: what was given back comes before what came after it."""
        delivery = message.metadata.num_delivered
        try:
            event = event_of(message.data, message.headers or {}, delivery=delivery)
        except ValueError as error:
            self._begin(group, self._bury, message, f"unreadable: {error}")
            return
        held = _Held(message, event, message.metadata.sequence.stream)
        queue = self._queues.get(event.payment.id)
        if queue is None:
            self._queues[event.payment.id] = [held]
            self._begin(group, self._work, event.payment.id)
        elif held.sequence in (other.sequence for other in queue):
            # The server gave up on us too early. It will come again, or be acknowledged.
            self._room.release()
        else:
            bisect.insort(queue, held, key=_sequence)

    def _begin(self, group: asyncio.TaskGroup, work: Callable[..., Any], *args: Any) -> None:
        if is_ending():
            # It came together with the end: given back with the others.
            return
        working = group.create_task(work(*args))
        self._working.add(working)
        working.add_done_callback(self._working.discard)

    def _held(self) -> Iterator[_Held]:
        return (held for queue in tuple(self._queues.values()) for held in tuple(queue))

    async def _keep(self) -> None:
        """Say that held messages are being worked on, so that nobody else gets them."""
        while True:
            go_on()
            await asyncio.sleep(self._subscription.ack_wait_s / 3)
            for held in self._held():
                with contextlib.suppress(*FAILURES):
                    await held.message.in_progress()
                if held.is_claimed:
                    await self._claims.extend(held.event)

    async def _give_back(self) -> None:
        """At once, so that nobody waits for us."""
        await self._subscription.end()
        for held in self._held():
            await self._release(held)
            await held.message.nak()

    async def _bury(self, message: Any, reason: str) -> None:
        await self._subscription.bury(message, reason)
        self._room.release()

    # -- one payment -------------------------------------------------------------------------------

    async def _work(self, payment_id: UUID) -> None:
        """Its events, one after the other, until there is no more."""
        queue = self._queues[payment_id]
        while queue and not self._stopped.is_set():
            go_on()
            held = queue[0]
            if await self._finish(held):
                queue.remove(held)
                self._room.release()
        if not queue:
            del self._queues[payment_id]

    async def _finish(self, held: _Held) -> bool:
        """Whether it is: done, known as done, or dead. If not, it has waited before another try."""
        settings = self._settings
        if held.event.delivery > settings.deliveries_max:
            reason = f"delivered {held.event.delivery} times"
            await self._subscription.bury(held.message, reason)
            return True
        claim = await self._claim(held)
        if claim is Claim.TAKEN:
            await self._wait(_LOOK_S)
            return False
        failure = None if claim is Claim.DONE else await self._try(held)
        if failure is not None:
            await self._release(held)
            if held.attempts >= settings.attempts_max:
                await self._subscription.bury(held.message, failure)
                return True
            await self._wait(self._backoff_s(held, failure))
            return False
        await acknowledge(held.message)
        return True

    async def _claim(self, held: _Held) -> Claim:
        """TAKEN, too, while the event before it is not done."""
        claim = await self._claims.claim(held.event)
        held.is_claimed = claim is Claim.MINE
        if claim in (Claim.DONE, Claim.TAKEN) or await self._is_its_turn(held):
            return claim
        await self._release(held)
        return Claim.TAKEN

    async def _is_its_turn(self, held: _Held) -> bool:
        """Whether the event before it, of the same payment, is done as far as anybody knows.

        It is waited for as long as a consumer that died keeps it, and no longer: it may have been
        before this consumer's time, or forgotten.
        """
        previous = (held.message.headers or {}).get(_PREVIOUS)
        patience_s = _PATIENCE * self._settings.ack_wait_s
        if not previous or asyncio.get_running_loop().time() > held.since + patience_s:
            return True
        return await self._claims.is_done(previous) is not False

    async def _try(self, held: _Held) -> str | None:
        """Why it failed; None when it is done."""
        async with self._hands:
            held.attempts += 1
            try:
                async with asyncio.timeout(self._settings.handler_timeout_s):
                    await self._handler(held.event)
            except Reject as error:
                held.attempts = self._settings.attempts_max
                return f"rejected: {error}"
            except Exception as error:  # noqa: BLE001 - the caller's: a reason to try again
                payment = held.event.payment.id
                _log.exception("%s of %s was not handled", held.event.type.value, payment)
                return f"{type(error).__name__}: {error}"
        await self._claims.confirm(held.event)
        held.is_claimed = False
        return None

    async def _release(self, held: _Held) -> None:
        if held.is_claimed:
            held.is_claimed = False
            await self._claims.release(held.event)

    def _backoff_s(self, held: _Held, reason: str) -> float:
        """The message stays with us meanwhile, so that its order is kept."""
        waits = self._settings.backoff_s
        wait_s = waits[min(held.attempts, len(waits)) - 1] if waits else 0.0
        _log.info("trying again in %g s: %s", wait_s, reason)
        return wait_s

    async def _wait(self, wait_s: float) -> None:
        """Or until it is told to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), wait_s)


def _sequence(held: _Held) -> int:
    return held.sequence
