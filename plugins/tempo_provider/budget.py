"""How often an endpoint may be asked: by its headers, and by what its refusals teach."""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

#: Seconds of pause after the first refusal that names no time; each further one doubles it.
REST_S = 10.0
REST_MAX_S = 300.0
#: Longest time between two requests to which refusals can lead.
_LEARNED_MAX_S = 60.0
#: A time between requests that refusals have taught gets shorter by this with each answer, so that
#: a limit that is gone is found out within some hundred requests.
_FORGETTING = 0.99
#: Length of a window before its first end is known.
_WINDOW_S = 60.0
_WINDOW_MAX_S = 3600.0
#: This part of a limit is left to other requests: checks of tokens, last looks, audits.
_RESERVED = 0.2
#: What is asked beside the watch leaves it this part of a limit.
_FOR_WATCH = 0.5
#: Larger numbers in RateLimit-Reset are points in time (Unix seconds), smaller ones are distances.
_EPOCH_MIN = 1_000_000_000

_NUMBER = re.compile(r"\s*(\d{1,12})\b")


class Budget:
    """The limit of one endpoint. Times are seconds of a monotonic clock, except for `now`."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self.remaining = 0
        self.rests_until = 0.0
        self._window_s = _WINDOW_S
        self._reset_time = 0.0
        self._learned_s = 0.0
        self._refusals = 0

    def answered(self, headers: Mapping[str, str], time: float, now: datetime) -> None:
        """Take in the headers of any response; `now` is the time of day."""
        limit, remaining = _number(headers, "limit"), _number(headers, "remaining")
        reset = _number(headers, "reset")
        if not limit or remaining is None or reset is None:
            return
        left_s = reset - _date(headers, now).timestamp() if reset >= _EPOCH_MIN else float(reset)
        left_s = min(_WINDOW_MAX_S, max(1.0, left_s))
        if time >= self._reset_time:
            self._window_s = max(left_s, _WINDOW_S)
        self.limit, self.remaining, self._reset_time = limit, remaining, time + left_s

    def succeeded(self) -> None:
        """Count an answer that was no refusal."""
        self._refusals = 0
        self._learned_s = self._learned_s * _FORGETTING if self._learned_s > 0.1 else 0.0

    def refused(self, headers: Mapping[str, str], time: float, now: datetime) -> float:
        """Rest after a refusal; return the seconds of rest."""
        rest_s = _retry_after_s(headers.get("retry-after", ""), now)
        if rest_s is None and self.limit is not None and time < self._reset_time:
            rest_s = self._reset_time - time
        if rest_s is None:
            rest_s = REST_S * 2.0 ** min(self._refusals, 10)
        rest_s = min(REST_MAX_S, max(1.0, rest_s))
        self._refusals += 1
        if self.limit is None:
            self._learned_s = min(_LEARNED_MAX_S, max(2.0, 2 * self._learned_s))
        self.rests_until = max(self.rests_until, time + rest_s)
        return rest_s

    def interval_s(self, time: float) -> float:
        """Seconds between requests that what is left of the limit allows; 0 without a limit."""
        left_s = self._reset_time - time
        if self.limit is None or left_s <= 0:
            return self.usual_interval_s()
        usable = self.remaining - _reserve(self.limit)
        return left_s / usable if usable > 0 else left_s

    def pause_s(self, cost: int, time: float) -> float:
        """Seconds to wait after `cost` requests; a window later, a limit is whole again."""
        longest_s = REST_MAX_S if self.limit is None else self._window_s
        return min(longest_s, cost * self.interval_s(time))

    def has_spare(self, time: float) -> bool:
        """Whether a request that nobody needs for money that came may be made now."""
        if time < self.rests_until:
            return False
        if self.limit is None:
            # A refusal has taught a limit of unknown size, which may be used up.
            return self._learned_s == 0
        return time >= self._reset_time or self.remaining > self.limit * _FOR_WATCH

    def usual_interval_s(self) -> float:
        """Seconds between requests that the limit allows for long; 0 without a known limit."""
        if self.limit is None:
            return self._learned_s
        return self._window_s / max(1, self.limit - _reserve(self.limit))


def _reserve(limit: int) -> int:
    return max(1, round(limit * _RESERVED))


def _number(headers: Mapping[str, str], name: str) -> int | None:
    """The number of `RateLimit-…`, or of the older `X-RateLimit-…`; parameters are left out."""
    text = headers.get(f"ratelimit-{name}") or headers.get(f"x-ratelimit-{name}") or ""
    found = _NUMBER.match(text)
    return int(found[1]) if found else None


def _date(headers: Mapping[str, str], now: datetime) -> datetime:
    """The time at the endpoint: its clock may differ from ours."""
    try:
        return parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return now


def _retry_after_s(text: str, now: datetime) -> float | None:
    if text.isdecimal():
        return float(text[:12])
    try:
        return (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):
        return None
