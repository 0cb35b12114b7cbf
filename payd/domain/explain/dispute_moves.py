"""A sentence for each status that a dispute or an inquiry comes to."""

from collections.abc import Callable, Iterator

from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.explain.said import Move, Said
from payd.domain.explain.words import in_asset, when
from payd.domain.payment import Payment


def dispute_changes(move: Move) -> Iterator[Said]:
    """A sentence for each dispute that is new or has changed."""
    known = {dispute.id: dispute for dispute in move.before.disputes}
    for dispute in move.after.disputes:
        old = known.get(dispute.id)
        if old == dispute:
            continue
        if old is not None and old.status is dispute.status:
            yield Said(f"{_name(move.after, dispute)} was reported again, with more detail.")
        else:
            what, because = DISPUTES[dispute.status](move.after, dispute)
            yield Said(what, because)


def _name(payment: Payment, dispute: Dispute) -> str:
    return f"Dispute {dispute.id} of {in_asset(payment, dispute.asset, dispute.amount)}"


def _inquiry(payment: Payment, dispute: Dispute) -> tuple[str, str]:
    amount = in_asset(payment, dispute.asset, dispute.amount)
    return (
        f"The customer's bank asks about {amount} ({dispute.id}){_why(dispute)}.",
        "An inquiry moves no money and prevents no refund, but it may become a dispute.",
    )


def _inquiry_closed(payment: Payment, dispute: Dispute) -> tuple[str, str]:
    return f"The bank's inquiry {dispute.id} is settled.", "No money has moved."


def _needs_response(payment: Payment, dispute: Dispute) -> tuple[str, str]:
    return (
        f"{_name(payment, dispute)} is open{_why(dispute)} and has to be answered{_due(dispute)}.",
        "The customer's bank keeps the money back until it decides.",
    )


def _under_review(payment: Payment, dispute: Dispute) -> tuple[str, str]:
    return f"The bank examines dispute {dispute.id} and will decide it.", "It was answered."


def _withdrawn(payment: Payment, dispute: Dispute) -> tuple[str, str]:
    return (
        f"{_name(payment, dispute)} was withdrawn: the money stays ours.",
        "The customer or the bank gave it up.",
    )


def _won(payment: Payment, dispute: Dispute) -> tuple[str, str]:
    return f"{_name(payment, dispute)} is won: the money stays ours.", "The bank decided so."


def _lost(payment: Payment, dispute: Dispute) -> tuple[str, str]:
    return (
        f"{_name(payment, dispute)} is lost: the money is gone.",
        "The bank decided for the customer.",
    )


def _why(dispute: Dispute) -> str:
    return f" because of {dispute.reason!r}" if dispute.reason else ""


def _due(dispute: Dispute) -> str:
    due = dispute.evidence_due_time
    return f" at the provider by {when(due)}, or it is lost" if due else " at the provider"


#: Status → what happened, and why it matters.
DISPUTES: dict[DisputeStatus, Callable[[Payment, Dispute], tuple[str, str]]] = {
    DisputeStatus.INQUIRY: _inquiry,
    DisputeStatus.INQUIRY_CLOSED: _inquiry_closed,
    DisputeStatus.NEEDS_RESPONSE: _needs_response,
    DisputeStatus.UNDER_REVIEW: _under_review,
    DisputeStatus.WITHDRAWN: _withdrawn,
    DisputeStatus.WON: _won,
    DisputeStatus.LOST: _lost,
}
