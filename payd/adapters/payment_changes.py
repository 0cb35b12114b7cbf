"""Hands every watcher the newer versions of its payment, all with one statement a poll."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

from payd.adapters.wakeup import WakeUp
from payd.domain.errors import Overloaded, ShuttingDown
from payd.domain.payment import Payment

#: Seconds between two polls: how late a change of another daemon is seen that has no event. This
#: daemon's own changes, and those with events, wake the loop at once.
_POLL_S = 1.0
#: The least time between two statements: changes that come in a burst are read together.
_REST_S = 0.05

#: Payment id → the version that is known; returns the payments that have a newer one.
ReadNewer = Callable[[Mapping[UUID, int]], Awaitable[Sequence[Payment]]]


class PolledWatcher:
    """Implements the port Watcher: a slot for the newest version that was not taken yet."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._next: Payment | None = None
        self._news = asyncio.Event()
        self._has_ended = False

    @property
    def known(self) -> int:
        """The newest version that this watcher has, taken or not."""
        return self._version if self._next is None else self._next.version

    def offer(self, payment: Payment) -> None:
        """Put a version into the slot if it is newer."""
        if payment.version > self.known:
            self._next = payment
            self._news.set()

    def end(self) -> None:
        """Make `newer` raise ShuttingDown."""
        self._has_ended = True
        self._news.set()

    async def newer(self, timeout_s: float | None) -> Payment | None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return None
        if self._has_ended:
            raise _stopping()
        payment, self._next = self._next, None
        self._news.clear()
        if payment is not None:
            self._version = payment.version
        return payment


class PolledChanges:
    """Implements the port PaymentChanges; `run` must run beside the watchers."""

    def __init__(self, watchers_max: int) -> None:
        self._watchers_max = watchers_max
        self._watchers: defaultdict[UUID, set[PolledWatcher]] = defaultdict(set)
        self._count = 0
        self._news = WakeUp()
        self._has_ended = False

    @property
    def watchers(self) -> int:
        """How many watchers there are."""
        return self._count

    @property
    def uncounted(self) -> "UncountedChanges":
        """The same changes for watchers whose number is limited where they begin."""
        return UncountedChanges(self)

    @contextmanager
    def watch(self, payment_id: UUID, after_version: int) -> Iterator[PolledWatcher]:
        if self._count >= self._watchers_max:
            raise Overloaded(
                f"{self._count} payments are being watched, which is the limit; repeat the call",
                retry_after_s=1.0,
            )
        with self.open(payment_id, after_version) as watcher:
            self._count += 1
            try:
                yield watcher
            finally:
                self._count -= 1

    @contextmanager
    def open(self, payment_id: UUID, after_version: int) -> Iterator[PolledWatcher]:
        """Watch a payment, whatever the number of watchers. Raises ShuttingDown."""
        if self._has_ended:
            raise _stopping()
        watcher = PolledWatcher(after_version)
        self._watchers[payment_id].add(watcher)
        # It may have changed since the caller read it.
        self._news.set()
        try:
            yield watcher
        finally:
            self._watchers[payment_id].remove(watcher)
            if not self._watchers[payment_id]:
                del self._watchers[payment_id]

    def note(self, payment_id: UUID) -> None:
        """Note that this daemon has changed a payment."""
        if payment_id in self._watchers:
            self._news.set()

    def wake(self) -> None:
        """Note that some daemon has changed some payment."""
        if self._watchers:
            self._news.set()

    async def run(self, read_newer: ReadNewer) -> None:
        """Read newer versions until cancelled. Raises StoreUnavailable; watchers go on waiting."""
        while True:
            await self._news.wait(_POLL_S)
            if self._watchers:
                await self._hand_out(read_newer)
            await asyncio.sleep(_REST_S)

    def end(self) -> None:
        """End every watcher, now and from now on."""
        self._has_ended = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.end()

    async def _hand_out(self, read_newer: ReadNewer) -> None:
        known = {
            payment_id: min(watcher.known for watcher in watchers)
            for payment_id, watchers in self._watchers.items()
        }
        for payment in await read_newer(known):
            # Its last watcher may have left meanwhile.
            for watcher in self._watchers.get(payment.id, ()):
                watcher.offer(payment)


class UncountedChanges:
    """Implements the port PaymentChanges beside the limit of PolledChanges, with its loop."""

    def __init__(self, changes: PolledChanges) -> None:
        self._changes = changes

    def watch(self, payment_id: UUID, after_version: int) -> AbstractContextManager[PolledWatcher]:
        return self._changes.open(payment_id, after_version)

    def end(self) -> None:
        self._changes.end()


def _stopping() -> ShuttingDown:
    return ShuttingDown("this daemon is stopping; watch again", retry_after_s=0.1)
