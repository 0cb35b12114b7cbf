"""A charge, the object of the remote side, as payd's facts. Pure."""

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
    """The charge as the answer to its creation; without a page when it is over."""
    is_open = charge["status"] == "open"
    return Created(
        reference=charge["id"],
        next_action=Redirect(url=charge["url"]) if is_open else None,
    )


def found(charge: Mapping[str, Any]) -> Found:
    """The charge as a look at it."""
    return Found(created=created(charge), snapshot=snapshot(charge))


def snapshot(charge: Mapping[str, Any]) -> Snapshot:
    """How it stood when it was told. Amounts are in the currency's minor units."""
    try:
        received = int(charge["received"])
        return Snapshot(
            status=_STATUS[charge["status"]],
            asset=charge["currency"],
            received=received,
            # Nobody takes this money back: all of it is final.
            confirmed=received,
            # All that went back so far, beside what came.
            refunded=int(charge["refunded"]),
            # The API's own time. One that tells none: when it was asked.
            as_of=datetime.fromtimestamp(charge["as_of"], UTC),
            due=int(charge["amount"]),
            reference=charge["id"],
        )
    except (LookupError, TypeError, ValueError) as error:
        raise OutcomeUnknown("a charge that cannot be read") from error
