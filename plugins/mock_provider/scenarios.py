"""The script of a mock session: what happens to it, and when. Pure functions.

A scenario becomes a script of happenings when the session is created; everything reported
later follows from that script and the clock.
"""

import enum
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from mock_provider.config import DELAY_MAX_MS
from payd.plugins import InvalidRequest


class Scenario(enum.Enum):
    """The scenarios that a payment's metadata can request; the README describes them."""

    COMPLETE = "complete"
    DECLINE = "decline"
    PENDING = "pending"
    EXPIRE = "expire"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    PAY_LATE = "pay_late"
    PAY_TWICE = "pay_twice"
    UNDERPAY = "underpay"
    REFUNDED = "refunded"


@attrs.frozen(kw_only=True)
class Happening:
    """Money that arrives at `time`, or, without an amount, the end of the session."""

    #: Unique within the session.
    name: str
    time: datetime
    amount: int | None = None


#: Separates two happenings when the delay is zero.
STEP_MIN = timedelta(milliseconds=1)


def scenario_of(
    metadata: Mapping[str, str], operation_id: str, failure_rate: float, seed: int
) -> Scenario:
    """The requested scenario, or one drawn by the failure rate; the same at every retry."""
    asked = metadata.get("mock_scenario")
    if asked is None:
        return _drawn(operation_id, failure_rate, seed) if failure_rate else Scenario.COMPLETE
    try:
        return Scenario(asked)
    except ValueError:
        known = ", ".join(scenario.value for scenario in Scenario)
        raise InvalidRequest("metadata.mock_scenario", f"must be one of {known}") from None


def delay_of(metadata: Mapping[str, str], default_ms: int) -> timedelta:
    """The requested delay, or the configured one."""
    asked = metadata.get("mock_delay_ms")
    if asked is None:
        return timedelta(milliseconds=default_ms)
    # ASCII, and short enough to convert.
    if not (asked.isascii() and asked.isdigit() and len(asked) <= 9 and int(asked) <= DELAY_MAX_MS):
        wanted = f"must be whole milliseconds, {DELAY_MAX_MS} at most"
        raise InvalidRequest("metadata.mock_delay_ms", wanted)
    return timedelta(milliseconds=int(asked))


def script(
    scenario: Scenario, amount: int, now: datetime, delay: timedelta, expire_time: datetime
) -> tuple[Happening, ...]:
    """Plan what happens to a session created now, unless it is cancelled."""
    once = now + delay
    twice = once + max(delay, STEP_MIN)
    planned: tuple[Happening, ...] = ()
    match scenario:
        case Scenario.PENDING:
            pass
        case Scenario.EXPIRE:
            return (_expired(min(once, expire_time)),)
        case Scenario.PAY_LATE:
            return _expired(min(once, expire_time)), _paid(1, twice, amount)
        case Scenario.PAY_TWICE:
            planned = _paid(1, once, amount), _paid(2, twice, amount)
        case Scenario.UNDERPAY:
            half = amount // 2
            planned = (_paid(1, once, half),) if half else ()
            expire_time = min(twice, expire_time)
        case _:
            planned = (_paid(1, once, amount),)
    return _until(expire_time, amount, planned)


def _until(
    expire_time: datetime, amount: int, planned: tuple[Happening, ...]
) -> tuple[Happening, ...]:
    """Drop happenings after the expiry, and let a session that is not fully paid expire."""
    arrived = tuple(happening for happening in planned if happening.time <= expire_time)
    if sum(happening.amount or 0 for happening in arrived) >= amount and arrived:
        return arrived
    return (*arrived, _expired(expire_time))


def _paid(number: int, time: datetime, amount: int) -> Happening:
    return Happening(name=f"paid:{number}", time=time, amount=amount)


def _expired(time: datetime) -> Happening:
    return Happening(name="expired", time=time)


def _drawn(operation_id: str, failure_rate: float, seed: int) -> Scenario:
    digest = hashlib.blake2b(f"{seed}:{operation_id}".encode(), digest_size=8).digest()
    draw = int.from_bytes(digest) / 2**64
    if draw >= failure_rate:
        return Scenario.COMPLETE
    if draw < failure_rate / 2:
        return Scenario.DECLINE
    return Scenario.TIMEOUT_BEFORE if draw < failure_rate * 3 / 4 else Scenario.TIMEOUT_AFTER
