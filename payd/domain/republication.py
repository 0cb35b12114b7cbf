"""What a payment keeps of an operator's wish to publish its events again: a row of its trail."""

from collections.abc import Iterable
from datetime import datetime

import attrs

from payd.domain.decide import Decision
from payd.domain.payment import Payment
from payd.domain.published import NamedEvent

#: event_type of the audit row.
REPUBLISHED = "events_republished"


def republication(payment: Payment, events: Iterable[NamedEvent], now: datetime) -> Decision:
    """Return a version that differs from `payment` in nothing but its number and time.

    It makes no event, and leaves the next status check where it is.
    """
    return Decision(
        payment=attrs.evolve(payment, version=payment.version + 1, update_time=now),
        audit_event=REPUBLISHED,
        republished=tuple(events),
    )
