"""The test clock of `payd dev --clock`: moved by a person, kept beside the data it has dated."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import trio

#: Sets another clock: the time, and whether it runs on.
Follow = Callable[[datetime, bool], Awaitable[None]]
#: Lets a span pass for what does not read the clock.
PassTime = Callable[[timedelta], Awaitable[None]]

_NONE = timedelta(0)


class ClockRefused(Exception):
    """The clock cannot do this. The message says why, and what to do."""


@attrs.frozen(kw_only=True)
class Setting:
    """How the clock differs from the system's: by `ahead`, or it stands at `frozen_time`."""

    ahead: timedelta = _NONE
    frozen_time: datetime | None = None

    @property
    def is_moved(self) -> bool:
        """Whether the clock shows another time than the system's."""
        return self != Setting()

    def now(self) -> datetime:
        """The time that the clock shows."""
        return self.frozen_time or datetime.now(UTC) + self.ahead


class MovableClock:
    """Implements the port BusinessClock.

    It never goes back: what payd has written at a later time would lie in the future. Other clocks
    follow before it moves itself, so that a provider's clock is never behind payd's.
    """

    def __init__(self, file: Path) -> None:
        """`file` keeps the setting for the next run on the same data."""
        self._file = file
        self._setting = setting_in(file)
        self._followers: list[Follow] = []
        self._moved = asyncio.Event()
        #: One move after the other.
        self._moving = trio.Lock()

    @property
    def setting(self) -> Setting:
        """The present setting."""
        return self._setting

    def now(self) -> datetime:
        """The time of payments."""
        return self._setting.now()

    async def rest(self, seconds: float) -> None:
        """Wait on asyncio; return earlier when the clock is moved."""
        moved = self._moved
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await moved.wait()

    async def add_follower(self, follow: Follow) -> None:
        """Set another clock now, if this one was moved, and at every later move."""
        if self._setting.is_moved:
            await follow(self.now(), self._setting.frozen_time is None)
        self._followers.append(follow)

    async def advance(self, span: timedelta, pass_time: PassTime) -> None:
        """Move the clock forward; a frozen one stays frozen. Raises ClockRefused.

        `pass_time` is called before payd's loops are woken.
        """
        async with self._moving:
            later = _later(self._setting, span)
            await pass_time(span)
            await self._set(later)

    async def freeze(self) -> None:
        """Let the clock stand at the present time."""
        async with self._moving:
            await self._set(attrs.evolve(self._setting, frozen_time=self.now()))

    async def run(self) -> None:
        """Let a frozen clock run on from the time that it shows."""
        async with self._moving:
            frozen_time = self._setting.frozen_time
            if frozen_time is not None:
                await self._set(Setting(ahead=frozen_time - datetime.now(UTC)))

    async def _set(self, setting: Setting) -> None:
        for follow in self._followers:
            await follow(setting.now(), setting.frozen_time is None)
        self._setting = setting
        _keep(self._file, setting)
        # A new event for the next rest; those who wait have the old one.
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def setting_in(file: Path) -> Setting:
    """Read what an earlier run has kept; the system's time without a file."""
    try:
        kept: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return Setting()
    frozen = kept["frozen_time"]
    return Setting(
        ahead=timedelta(seconds=kept["ahead_s"]),
        frozen_time=datetime.fromisoformat(frozen) if frozen else None,
    )


def _later(setting: Setting, span: timedelta) -> Setting:
    if span < _NONE:
        raise ClockRefused("the clock does not go back: start payd dev with --ephemeral")
    frozen = setting.frozen_time
    try:
        later = Setting(ahead=setting.ahead + span, frozen_time=frozen and frozen + span)
        later.now()
    except OverflowError:
        raise ClockRefused(f"no time lies {span.days} days ahead") from None
    return later


def _keep(file: Path, setting: Setting) -> None:
    frozen = setting.frozen_time
    kept = {
        "ahead_s": setting.ahead.total_seconds(),
        "frozen_time": frozen.isoformat() if frozen else None,
    }
    draft = file.with_suffix(".tmp")
    draft.write_text(json.dumps(kept))
    draft.replace(file)
