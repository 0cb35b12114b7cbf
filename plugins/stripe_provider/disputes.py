"""Convert Stripe's disputes to payd's values. Pure functions.

docs.stripe.com/api/disputes, docs.stripe.com/disputes/how-disputes-work
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from payd.plugins import Dispute, DisputeStatus, OutcomeUnknown
from stripe_provider.currencies import to_iso
from stripe_provider.ids import id_of, names_of

_STATUSES = {
    "warning_needs_response": DisputeStatus.INQUIRY,
    "warning_under_review": DisputeStatus.INQUIRY,
    "warning_closed": DisputeStatus.INQUIRY_CLOSED,
    "needs_response": DisputeStatus.NEEDS_RESPONSE,
    "under_review": DisputeStatus.UNDER_REVIEW,
    # The decision is examined again (since API version 2026-10-28).
    "appeal_needs_response": DisputeStatus.NEEDS_RESPONSE,
    "appeal_under_review": DisputeStatus.UNDER_REVIEW,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
    "prevented": DisputeStatus.WITHDRAWN,
}


def dispute(body: Mapping[str, Any], as_of: datetime) -> Dispute:
    """Convert a dispute of the API. Raises OutcomeUnknown for a status that is not known.

    A dispute that gave the money back stands as it does since then, however often it is read.
    """
    found = dispute_of(
        {
            "id": body["id"],
            "amount": body["amount"],
            "currency": body["currency"],
            "created": body["created"],
            "status": body["status"],
            "reason": body.get("reason"),
            "due_by": (body.get("evidence_details") or {}).get("due_by"),
            "withdrawn": withdrawn(one["amount"] for one in body.get("balance_transactions") or ()),
            "payment_intent": id_of(body.get("payment_intent")),
            "charge": id_of(body.get("charge")),
        },
        as_of,
    )
    back = [one["created"] for one in body.get("balance_transactions") or () if one["amount"] > 0]
    if not back or found.status not in (DisputeStatus.WON, DisputeStatus.WITHDRAWN):
        return found
    return attrs.evolve(found, as_of=min(as_of, datetime.fromtimestamp(max(back), UTC)))


def withdrawn(amounts: Iterable[int]) -> bool:
    """Whether a dispute's balance transactions took more than they gave back."""
    return sum(amounts) < 0


def dispute_of(reduced: Mapping[str, Any], as_of: datetime) -> Dispute:
    """Convert the fields of a dispute that evidence needs."""
    word = reduced["status"]
    if word not in _STATUSES:
        raise OutcomeUnknown(f"a dispute that is {word}")
    status = _STATUSES[word]
    if status is DisputeStatus.WITHDRAWN and reduced["withdrawn"]:
        # Prevented because the customer was paid out of this dispute: the money is gone.
        status = DisputeStatus.LOST
    asset = reduced["currency"].upper()
    due_by = reduced["due_by"]
    return Dispute(
        id=reduced["id"],
        status=status,
        asset=asset,
        amount=to_iso(reduced["amount"], asset, round_up=True),
        reason=reduced["reason"] or "",
        open_time=datetime.fromtimestamp(reduced["created"], UTC),
        as_of=as_of,
        # Stripe writes 0 where the bank takes no answer.
        evidence_due_time=datetime.fromtimestamp(due_by, UTC) if due_by else None,
        aliases=names_of(reduced["payment_intent"], reduced["charge"]),
    )
