"""What a payment went through that its present state no longer shows; read from its changes."""

from datetime import datetime
from itertools import pairwise

from payd.domain.history import Change, History
from payd.domain.payment import Status


def was_canceling(history: History) -> bool:
    """Whether canceling was requested at some time."""
    return any(change.payment.status is Status.CANCELING for change in history.changes)


def undone(history: History) -> tuple[int, datetime] | None:
    """Money that was seen and is gone: how much, and when it vanished. None if some is there."""
    gone = [
        (before.payment.received, after.time)
        for before, after in pairwise(history.changes)
        if before.payment.received > 0 and after.payment.received == 0
    ]
    return gone[-1] if gone and history.payment.received == 0 else None


def came_after_close(history: History) -> datetime | None:
    """When the first money came, for a payment that closed without any; otherwise None."""
    closed = [one for one in history.changes if one.payment.status is history.payment.status]
    if closed[0].payment.received > 0:
        return None
    return next((one.time for one in closed if _has_money(one)), None)


def _has_money(change: Change) -> bool:
    return change.payment.received > 0
