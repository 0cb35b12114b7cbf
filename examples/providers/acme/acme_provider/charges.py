"""Convert a charge and its refunds, the remote side's objects, to payd's values. Pure functions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from payd.plugins import (
    Created,
    Dispute,
    DisputeStatus,
    Found,
    OutcomeUnknown,
    ProviderStatus,
    Redirect,
    RefundSnapshot,
    RefundState,
    RemoteUnits,
    Snapshot,
)

#: Its amounts are in minor units, as whole numbers. Name the currencies with other decimals here.
UNITS = RemoteUnits()

_STATUS = {
    "open": ProviderStatus.OPEN,
    "paid": ProviderStatus.PAID,
    "canceled": ProviderStatus.CANCELED,
    "expired": ProviderStatus.EXPIRED,
}
_REFUND_STATE = {
    "pending": RefundState.PENDING,
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
}
_DISPUTE_STATUS = {
    "needs_response": DisputeStatus.NEEDS_RESPONSE,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
}


def created(charge: Mapping[str, Any]) -> Created:
    """Convert a charge to the result of create; without a URL if it is closed."""
    is_open = charge["status"] == "open"
    return Created(
        reference=charge["id"],
        next_action=Redirect(url=charge["url"]) if is_open else None,
        expire_time=datetime.fromtimestamp(charge["expire_time"], UTC),
    )


def found(charge: Mapping[str, Any]) -> Found:
    """Convert a charge to the result of fetch."""
    return Found(created=created(charge), snapshot=snapshot(charge))


def snapshot(charge: Mapping[str, Any]) -> Snapshot:
    """Convert a charge to a snapshot. Amounts are in the currency's minor units."""
    try:
        received = UNITS.from_remote(charge["received"], charge["currency"])
        return Snapshot(
            status=_STATUS[charge["status"]],
            asset=charge["currency"],
            received=received,
            # Payments by Acme are final at once.
            confirmed=received,
            # Refunds leave `received` as it is.
            refunds=tuple(refund(one) for one in charge["refunds"]),
            disputes=_disputes(charge),
            # The API's own time. Without one, use the time of the request.
            as_of=datetime.fromtimestamp(charge["as_of"], UTC),
            due=UNITS.from_remote(charge["amount"], charge["currency"]),
            reference=charge["id"],
        )
    except (LookupError, TypeError, ValueError) as error:
        raise OutcomeUnknown("unreadable charge") from error


def refund(document: Mapping[str, Any]) -> RefundSnapshot:
    """Convert a refund. Without payd's id it was made in the dashboard."""
    try:
        ours = str(document["refund_id"])
        has_failed = document["status"] == "failed"
        return RefundSnapshot(
            reference=document["id"],
            state=_REFUND_STATE[document["status"]],
            asset=document["currency"],
            amount=UNITS.from_remote(document["amount"], document["currency"]),
            time=datetime.fromtimestamp(document["create_time"], UTC),
            refund_id=UUID(ours) if ours else None,
            failure_code="refused_by_bank" if has_failed else None,
            failure_message="The customer's bank refused it." if has_failed else None,
        )
    except (LookupError, TypeError, ValueError) as error:
        raise OutcomeUnknown("unreadable refund") from error


def _disputes(charge: Mapping[str, Any]) -> tuple[Dispute, ...]:
    if (dispute := charge["dispute"]) is None:
        return ()
    return (
        Dispute(
            id=dispute["id"],
            status=_DISPUTE_STATUS[dispute["status"]],
            asset=charge["currency"],
            amount=UNITS.from_remote(dispute["amount"], charge["currency"]),
            reason=dispute["reason"],
            open_time=datetime.fromtimestamp(dispute["open_time"], UTC),
            as_of=datetime.fromtimestamp(charge["as_of"], UTC),
        ),
    )
