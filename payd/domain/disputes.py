"""What becomes of a dispute: the same for every order and repetition of its reports. Pure."""

import attrs

from payd.domain.attention import Attention
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.payment import Payment, name_also

#: A report of a later stage wins over one of an earlier stage, whenever it was made.
_STAGES = (
    (DisputeStatus.INQUIRY,),
    (DisputeStatus.INQUIRY_CLOSED,),
    (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW),
    (DisputeStatus.WITHDRAWN, DisputeStatus.WON, DisputeStatus.LOST),
)
_STAGE = {status: number for number, stage in enumerate(_STAGES) for status in stage}
_ORDER = {status: number for number, status in enumerate(DisputeStatus)}


def learn_dispute(payment: Payment, dispute: Dispute) -> Payment:
    """Return the payment with the report of a dispute."""
    payment = name_also(payment, dispute.aliases)
    new = attrs.evolve(dispute, aliases=())
    known = {one.id: one for one in payment.disputes}
    old = known.get(new.id)
    if old is not None and _weight(old) >= _weight(new):
        return payment
    known[new.id] = new
    ordered = sorted(known.values(), key=lambda one: (one.open_time, one.id))
    return attrs.evolve(payment, disputes=tuple(ordered))


def _weight(dispute: Dispute) -> tuple[object, ...]:
    """Of two reports the one with more weight wins, in whatever order they came."""
    due = dispute.evidence_due_time
    return (
        _STAGE[dispute.status],
        dispute.as_of,
        _ORDER[dispute.status],
        dispute.amount,
        dispute.asset,
        dispute.reason,
        dispute.open_time,
        (due is not None, due),
    )


def is_disputed(payment: Payment) -> bool:
    """Whether a dispute is open or lost, so that the payment cannot be refunded."""
    if not payment.disputes:
        # From the time when payd did not yet keep each dispute.
        return Attention.DISPUTED in payment.attention
    return any(one.status.is_open or one.status is DisputeStatus.LOST for one in payment.disputes)
