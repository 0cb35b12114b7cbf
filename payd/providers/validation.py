"""Checks of what a plugin returns, beyond what its value classes check by themselves.

Each may raise anything: a plugin may return objects that break while they are inspected. Callers
run them where they run the plugin's own code.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from payd.domain.evidence import Observation, Outflow
from payd.domain.refund import RefundSnapshot
from payd.domain.text import TEXT_MAX, is_text
from payd.plugins.interface import (
    EVENTS_MAX,
    PUT_MAX,
    Holding,
    Page,
    ProviderEvent,
)

__all__ = [
    "InvalidBatch",
    "check_put",
    "events_of",
    "is_event",
    "is_holdings",
    "is_json",
    "is_observations",
    "is_page",
    "is_refund_of",
]

#: What is read and written recursively, here and in the database, must not exhaust a stack.
JSON_DEPTH_MAX = 100
#: Neither a database nor Python's own JSON reads an integer of more digits.
DIGITS_MAX = 1000
_INTEGER_MAX = 10**DIGITS_MAX


def is_event(value: object) -> bool:
    """Whether it is a ProviderEvent whose content PostgreSQL can store."""
    return type(value) is ProviderEvent and is_json(value.content)


class InvalidBatch(ValueError):
    """The events of one webhook request cannot be stored together. `why` labels a metric."""

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


def events_of(returned: object) -> tuple[ProviderEvent, ...] | None:
    """Return as a tuple what `verify` returned: one event, or the several of one request.

    None when it is neither. Raises InvalidBatch for too many events and for one id twice.
    """
    if is_event(returned):
        return (cast(ProviderEvent, returned),)
    if not isinstance(returned, Sequence) or isinstance(returned, str | bytes):
        return None
    events = tuple(returned)
    if len(events) > EVENTS_MAX:
        raise InvalidBatch(
            "too_many_events",
            f"verify returned {len(events)} events; at most {EVENTS_MAX} are stored at once",
        )
    if not all(map(is_event, events)):
        return None
    if len({event.id for event in events}) < len(events):
        raise InvalidBatch("repeated_event_id", "verify returned two events with one id")
    return events


def is_page(page: Page) -> bool:
    """Whether PostgreSQL can store every event of the page."""
    return all(map(is_event, page.events))


def is_refund_of(refund_id: UUID, value: object) -> bool:
    """Whether an answer about this refund does not say that it is about another one."""
    return not isinstance(value, RefundSnapshot) or value.refund_id in (None, refund_id)


def is_holdings(value: object) -> bool:
    """Whether it is a sequence of holdings."""
    return _is_sequence_of(Holding, value)


def is_observations(value: object) -> bool:
    """Whether it is a sequence of observations."""
    return _is_sequence_of(Observation, value)


def _is_sequence_of(kind: type, value: object) -> bool:
    return isinstance(value, Sequence) and all(type(one) is kind for one in value)


def is_json(value: object, depth: int = JSON_DEPTH_MAX) -> bool:
    """Whether PostgreSQL can store the value as JSON. Floats are refused: they lose digits."""
    match value:
        case None | bool():
            return True
        case int():
            return bool(-_INTEGER_MAX < value < _INTEGER_MAX)
        case str():
            return is_text(value)
        case Mapping() if depth:
            keys = all(is_text(key) and len(key) <= TEXT_MAX for key in value)
            return keys and all(is_json(v, depth - 1) for v in value.values())
        case list() | tuple() if depth:
            return all(is_json(v, depth - 1) for v in value)
        case _:
            return False


def check_put(observations: Any, outflows: Any, cursor: object) -> None:
    """Check what a watch puts; raises ValueError for too much, TypeError for a wrong type."""
    if len(observations) + len(outflows) > PUT_MAX:
        raise ValueError(f"more than {PUT_MAX} at once: put them in parts")
    if not (is_observations(observations) and _is_sequence_of(Outflow, outflows)):
        raise TypeError("only an Observation or an Outflow can be stored")
    if cursor is not None and not (is_text(cursor) and len(str(cursor)) <= TEXT_MAX):
        raise TypeError(
            f"the cursor cannot be stored: text of at most {TEXT_MAX} characters, no NUL"
        )
