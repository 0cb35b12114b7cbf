"""Convert a charge, the remote side's object, to payd's values. Pure functions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from payd.plugins import Created, Found, OutcomeUnknown, ProviderStatus, Redirect, Snapshot

_STATUS = {
    "open": ProviderStatus.OPEN,
    "paid": ProviderStatus.PAID,
    "canceled": ProviderStatus.CANCELED,
    "expired": ProviderStatus.EXPIRED,
}


def created(charge: Mapping[str, Any]) -> Created:
    """Convert a charge to the result of create; without a URL if it is closed."""
    is_open = charge["status"] == "open"
    return Created(
        reference=charge["id"],
        next_action=Redirect(url=charge["url"]) if is_open else None,
    )


def found(charge: Mapping[str, Any]) -> Found:
    """Convert a charge to the result of fetch."""
    return Found(created=created(charge), snapshot=snapshot(charge))


def snapshot(charge: Mapping[str, Any]) -> Snapshot:
    """Convert a charge to a snapshot. Amounts are in the currency's minor units."""
    try:
        received = int(charge["received"])
        return Snapshot(
            status=_STATUS[charge["status"]],
            asset=charge["currency"],
            received=received,
            # Payments by Acme are final at once.
            confirmed=received,
            # The sum of all refunds so far; `received` stays unchanged.
            refunded=int(charge["refunded"]),
            # The API's own time. Without one, use the time of the request.
            as_of=datetime.fromtimestamp(charge["as_of"], UTC),
            due=int(charge["amount"]),
            reference=charge["id"],
        )
    except (LookupError, TypeError, ValueError) as error:
        raise OutcomeUnknown("unreadable charge") from error
