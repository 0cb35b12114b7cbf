"""The chain watch: read up to the final block, and report incoming and outgoing transfers.

Blocks above the final one are ignored. The cursor (a block's number and hash) is stored with the
receipts that it covers, so that a crash repeats reports but never skips one. If the chain later has
another hash at the cursor's height, the watch halts.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import attrs
import trio

from payd.plugins import PUT_MAX, Clock, Logger, Metrics, Observation, Outflow, Sink, WatchHalted
from tempo_provider.books import books_of, held_of
from tempo_provider.config import TempoConfig
from tempo_provider.cursor import Cursor, Opening, Point, cursor_of
from tempo_provider.nudge import Nudge
from tempo_provider.ranges import RangeLength
from tempo_provider.rpc import Endpoint, Paused, RangeTooLarge, RpcError
from tempo_provider.slices import Slice, Watched, read_ahead, read_point, read_slice
from tempo_provider.tokens import read_balances
from tempo_provider.transfers import Blocked, Transfer
from tempo_provider.witnesses import Witnesses

#: A transaction has more reports than this only to store a whole block.
PUT_USUAL = 500
#: A block with more transfers is divided; one transfer makes at most two reports.
PART_MAX = PUT_MAX // 2
#: Maximum back-off in seconds after consecutive failures.
BACKOFF_MAX_S = 30.0
#: Seconds after which the age of the final block is logged as a warning.
STALE_S = 30.0
#: Seconds between two log lines about the same lasting problem.
WARN_INTERVAL_S = 60.0

_Moved = Transfer | Blocked


class Watcher:
    """One run of the watch, from the stored cursor on."""

    def __init__(
        self,
        config: TempoConfig,
        witnesses: Witnesses,
        *,
        memo_keys: Callable[[], Sequence[str]],
        clock: Clock,
        log: Logger,
        metrics: Metrics,
        nudge: Nudge | None = None,
    ) -> None:
        """Keep what it needs; `memo_keys` returns the keys that are valid now."""
        self._config = config
        self._witnesses = witnesses
        self._memo_keys = memo_keys
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._nudge = nudge
        self._range = RangeLength(config.range_blocks_max)
        #: Reports stored by this run in blocks that the next overlap reads again.
        self._reported: dict[_Moved, None] = {}
        #: The endpoints' final blocks, as last read.
        self._heads: Sequence[tuple[Endpoint, Point]] = ()
        self._warn_times: dict[str, float] = {}
        self._rescan_time = trio.current_time() + config.rescan_interval_s
        self._rescans: Iterator[tuple[int, int]] = iter(())

    async def run(self, sink: Sink) -> None:
        """Run until cancelled. Raises WatchHalted, and what the sink raises."""
        cursor = None
        failures = 0
        while True:
            try:
                cursor = cursor or await self._begin(sink)
                cursor, behind = await self._step(sink, cursor)
                cursor = cursor if behind else await self._open_missing(sink, cursor)
                failures = 0
            except RpcError as error:
                # The range was too long: request a shorter one at once.
                is_learning = isinstance(error, RangeTooLarge) and self._range.length > 1
                failures = 0 if is_learning else failures + 1
                self._complain(error)
                # What is known of heads may be what was wrong.
                self._heads = ()
                await trio.sleep(max(self._backoff_s(failures), self._witnesses.rest_s()))
                continue
            await self._pause(at_once=behind or await self._rescan(sink, cursor))

    async def _pause(self, *, at_once: bool) -> None:
        """Wait for the next step: as long as configured, or longer if endpoints limit requests.

        A nudge ends the configured wait early, but never what a limit requires.
        """
        jitter = random.uniform(0.9, 1.1)  # noqa: S311
        usual_s = 0.0 if at_once else self._config.poll_interval_s * jitter
        required_s = self._witnesses.pause_s()
        pause_s = max(usual_s, required_s)
        self._metrics.set("poll_interval_seconds", pause_s)
        if self._nudge is None:
            await trio.sleep(pause_s)
        else:
            await self._nudge.wait(at_least_s=required_s, at_most_s=pause_s)

    def _complain(self, error: RpcError) -> None:
        if isinstance(error, RangeTooLarge):
            self._range.shorten(error.suggestion)
        elif self._range.length > 1 and not isinstance(error, Paused):
            # The range may have been too long to be answered in time.
            self._range.shorten(None)
        self._log.warning("chain_unread", error=str(error), range_blocks=self._range.length)
        self._metrics.count("watch_failures_total")

    def _backoff_s(self, failures: int) -> float:
        if failures == 0:
            return 0.0
        longest = min(BACKOFF_MAX_S, self._config.poll_interval_s * 2.0 ** min(failures - 1, 10))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret

    # -- the beginning -----------------------------------------------------------------------

    async def _begin(self, sink: Sink) -> Cursor:
        """Load the stored cursor; at the very first start, begin at the current final block."""
        config = self._config
        stored = await sink.cursor()
        if stored is None:
            cursor = Cursor(chain_id=config.chain_id, point=await self._start(), openings=())
        else:
            try:
                cursor = cursor_of(stored)
            except (KeyError, TypeError, ValueError) as error:
                raise WatchHalted(f"the stored cursor cannot be read: {error!r:.200}") from None
        if cursor.chain_id != config.chain_id:
            raise WatchHalted(
                f"the stored cursor is of chain {cursor.chain_id}, chain_id is {config.chain_id}"
            )
        try:
            return await self._open_missing(sink, cursor)
        except RpcError as error:
            if not cursor.openings:
                raise
            # Few endpoints keep the state of old blocks: those that are watched already go first.
            self._log.warning("watch_opens_later", block=cursor.point.number, error=str(error))
            return cursor

    async def _open_missing(self, sink: Sink, cursor: Cursor) -> Cursor:
        """Begin to watch what the configuration names and the cursor lacks, from its block on."""
        config = self._config
        missing = cursor.missing([config.receiver_address], config.watched)
        if not missing:
            return cursor
        openings = await self._open(cursor.point, missing)
        cursor = attrs.evolve(cursor, openings=(*cursor.openings, *openings))
        await sink.put((), cursor=cursor.dumps())
        self._log.info("watch_opened", block=cursor.point.number, pairs=len(missing))
        return cursor

    async def _start(self) -> Point:
        number = self._config.start_block
        if number is None:
            number = self._witnesses.final(await self._witnesses.heads())
        return await self._witnesses.agree(partial(read_point, number=number))

    async def _open(self, point: Point, pairs: Sequence[tuple[str, str]]) -> list[Opening]:
        read = partial(read_balances, pairs=pairs, block=point.number)
        return [
            Opening(account=account, token=token, block=point.number, units=units)
            for (account, token), units in zip(
                pairs, await self._witnesses.agree(read), strict=True
            )
        ]

    # -- one step ----------------------------------------------------------------------------

    async def _step(self, sink: Sink, cursor: Cursor) -> tuple[Cursor, bool]:
        """Read and store the next range; return the new cursor, and whether more is left.

        Each request for a range also asks for the newest final block. Where endpoints limit
        requests, that block is the next step's goal; elsewhere it is read at once.
        """
        is_limited = self._witnesses.interval_s() > self._config.poll_interval_s / 2
        if self._goal <= cursor.point.number:
            self._see(cursor, await self._witnesses.heads())
            if self._goal <= cursor.point.number:
                self._check_same_height(cursor, self._heads)
            if is_limited or self._goal <= cursor.point.number:
                return cursor, False
        goal = self._goal
        cursor = await self._advance(sink, cursor)
        if cursor.point.number == goal < self._goal and not is_limited:
            cursor = await self._advance(sink, cursor)
        return cursor, cursor.point.number < goal

    @property
    def _goal(self) -> int:
        """The newest block that is final for enough endpoints; -1 while it is not known."""
        enough = len(self._heads) >= self._witnesses.quorum
        return self._witnesses.final(self._heads) if enough else -1

    async def _advance(self, sink: Sink, cursor: Cursor) -> Cursor:
        """Read and store the next blocks up to the goal, as many as one request may have."""
        # Overlap and new blocks make one request, and an endpoint may allow a single block.
        overlap = min(self._config.overlap_blocks, self._range.length // 2)
        last = min(self._goal, cursor.point.number + self._range.length - overlap)
        among = [endpoint for endpoint, head in self._heads if head.number >= last]
        first = max(0, cursor.point.number + 1 - overlap)
        watched = Watched(accounts=cursor.accounts, tokens=cursor.tokens)
        anchor = cursor.point.number
        ahead = partial(read_ahead, watched=watched, anchor=anchor, first=first, last=last)
        only = partial(read_slice, watched=watched, anchor=anchor, first=first, last=last)
        heads, found = await self._witnesses.read_ahead(ahead, only, among)
        self._check_anchor(cursor, found)
        cursor = await self._store(sink, cursor, found)
        self._range.succeeded()
        self._see(cursor, heads)
        return cursor

    def _see(self, cursor: Cursor, heads: Sequence[tuple[Endpoint, Point]]) -> None:
        """Remember the endpoints' final blocks, and measure by them."""
        self._heads = heads
        if len(heads) >= self._witnesses.quorum:
            self._measure(cursor, heads, self._goal)

    def _check_same_height(self, cursor: Cursor, heads: Sequence[tuple[Endpoint, Point]]) -> None:
        others = [
            head
            for _, head in heads
            if head.number == cursor.point.number and head.hash != cursor.point.hash
        ]
        if len(others) >= self._witnesses.quorum:
            self._halt(cursor, others[0])

    def _halt(self, cursor: Cursor, instead: Point) -> None:
        self._metrics.count("finality_violations_total")
        raise WatchHalted(
            f"block {cursor.point.number} was final as {cursor.point.hash} and is now "
            f"{instead.hash}: no payment is credited until the chain has the first one again"
        )

    def _check_anchor(self, cursor: Cursor, found: Slice) -> None:
        if found.anchor.hash != cursor.point.hash:
            self._halt(cursor, found.anchor)

    # -- what is stored ----------------------------------------------------------------------

    async def _store(self, sink: Sink, cursor: Cursor, found: Slice) -> Cursor:
        """Store reports in bounded transactions, each with the cursor after its last block.

        A block that needs several transactions moves the cursor with the last of them.
        """
        new = [one for one in self._relevant(cursor, found) if one not in self._reported]
        *parts, rest = list(_parts(new)) or [[]]
        for part, after in pairwise([*parts, rest]):
            point = found.points[part[-1].block]
            is_whole = after[0].block != point.number
            if is_whole and point.number > cursor.point.number:
                cursor = attrs.evolve(cursor, point=point)
            await self._put(sink, part, found, cursor, moves_cursor=is_whole)
        cursor = attrs.evolve(cursor, point=found.last)
        await self._put(sink, rest, found, cursor)
        self._remember(new, cursor)
        return cursor

    def _relevant(self, cursor: Cursor, found: Slice) -> list[_Moved]:
        """Transfers after the watch of their pair began, in the order of blocks."""
        since = cursor.since()

        def counts(account: str, token: str, block: int) -> bool:
            return block > since.get((account, token), found.last.number)

        transfers = [
            one
            for one in found.transfers
            if counts(one.receiver, one.token, one.block)
            or counts(one.sender, one.token, one.block)
        ]
        start = min(since.values(), default=0)
        blocked = [one for one in found.blocked if one.block > start]
        return sorted([*transfers, *blocked], key=lambda one: (one.block, one.log_index))

    async def _put(
        self,
        sink: Sink,
        moved: Sequence[_Moved],
        found: Slice,
        cursor: Cursor,
        *,
        moves_cursor: bool = True,
    ) -> None:
        observations, outflows = self._reports(moved, found, cursor)
        stored = cursor.dumps() if moves_cursor else None
        await sink.put(observations, outflows=outflows, cursor=stored)

    def _reports(
        self, moved: Sequence[_Moved], found: Slice, cursor: Cursor
    ) -> tuple[list[Observation], list[Outflow]]:
        chain_id = self._config.chain_id
        times = {number: point.time for number, point in found.points.items()}
        books = books_of(
            [one for one in moved if isinstance(one, Transfer)],
            chain_id=chain_id,
            accounts=cursor.accounts,
            times=times,
            keys=self._memo_keys(),
        )
        held = held_of(
            [one for one in moved if isinstance(one, Blocked)],
            chain_id=chain_id,
            times=times,
            since=cursor.since(),
        )
        return [*books.arrivals, *books.refunds, *held], books.outflows

    def _remember(self, new: Iterable[_Moved], cursor: Cursor) -> None:
        oldest = cursor.point.number - self._config.overlap_blocks
        self._reported |= dict.fromkeys(new)
        self._reported = {one: None for one in self._reported if one.block >= oldest}

    # -- periodic rescan ---------------------------------------------------------------------

    async def _rescan(self, sink: Sink, cursor: Cursor) -> bool:
        """Read one older range again if it is due; return whether it did."""
        span = next(self._rescans, None)
        if span is None:
            if trio.current_time() < self._rescan_time:
                return False
            self._rescan_time = trio.current_time() + self._config.rescan_interval_s
            self._rescans = self._spans(cursor.point.number)
            return False
        watched = Watched(accounts=cursor.accounts, tokens=cursor.tokens)
        first, last = span
        anchor = cursor.point.number
        read = partial(read_slice, watched=watched, anchor=anchor, first=first, last=last)
        try:
            found = await self._witnesses.agree(read)
        except RpcError as error:
            self._complain(error)
            return False
        self._check_anchor(cursor, found)
        for part in _parts(self._relevant(cursor, found)):
            await self._put(sink, part, found, cursor, moves_cursor=False)
        return True

    def _spans(self, end: int) -> Iterator[tuple[int, int]]:
        start = max(0, end - self._config.rescan_blocks)
        length = self._range.length
        return iter([(n, min(n + length - 1, end)) for n in range(start, end + 1, length)])

    def _measure(self, cursor: Cursor, heads: Sequence[tuple[Endpoint, Point]], goal: int) -> None:
        newest = max((head for _, head in heads), key=lambda head: head.number)
        age_s = (self._clock.now() - newest.time).total_seconds()
        self._metrics.set("cursor_lag_blocks", goal - cursor.point.number)
        self._metrics.set("cursor_block", cursor.point.number)
        self._metrics.set("finalized_age_seconds", age_s)
        self._metrics.set("range_blocks", self._range.length)
        if age_s > STALE_S:
            self._warn("finality_stale", age_s=round(age_s), block=newest.number)
        if goal < cursor.point.number:
            self._warn("chain_behind_cursor", final=goal, cursor=cursor.point.number)

    def _warn(self, event: str, **fields: object) -> None:
        """Log a lasting problem at most once per interval."""
        now = trio.current_time()
        if now >= self._warn_times.get(event, now):
            self._warn_times[event] = now + WARN_INTERVAL_S
            self._log.warning(event, **fields)


def _parts(moved: Sequence[_Moved]) -> Iterator[list[_Moved]]:
    """Split into bounded parts, which divide a block only if it is too large for one."""
    part: list[_Moved] = []
    for one in moved:
        is_whole = len(part) >= PUT_USUAL and one.block != part[-1].block
        if is_whole or len(part) >= PART_MAX:
            yield part
            part = []
        part.append(one)
    if part:
        yield part
