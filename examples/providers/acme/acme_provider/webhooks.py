"""Verify Acme's webhooks, and convert its events to observations. Pure functions.

`acme-signature: t=<seconds>,v1=<hex>`, an HMAC-SHA256 over `<seconds>.<body>`.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from acme_provider import charges
from payd.plugins import (
    Observation,
    OutcomeUnknown,
    ProviderEvent,
    WebhookRefused,
    WebhookRequest,
)

SIGNATURE = "acme-signature"

_STAMP = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")
#: The fields of a charge that are kept; none is personal data.
_KEPT = (
    "id",
    "payment_id",
    "status",
    "amount",
    "currency",
    "received",
    "refunds",
    "dispute",
    "as_of",
)


def verify(
    request: WebhookRequest, secrets: Sequence[str], now: datetime, tolerance_s: int
) -> ProviderEvent:
    """Verify a webhook and return its event. Raises WebhookRefused."""
    stamp = _STAMP.fullmatch(request.headers.get(SIGNATURE, ""))
    if stamp is None:
        raise WebhookRefused("signature", f"missing or unreadable header {SIGNATURE}")
    time, signature = int(stamp[1]), stamp[2]
    # During a rotation, both secrets are valid.
    if not any(hmac.compare_digest(sign(request.body, time, one), signature) for one in secrets):
        raise WebhookRefused("signature", "no signature matches a current secret")
    age_s = now.timestamp() - time
    if age_s > tolerance_s:
        raise WebhookRefused("too_old", "signed too long ago")
    if age_s < -tolerance_s:
        raise WebhookRefused("from_the_future", "signed in the future")
    try:
        return event(json.loads(request.body))
    except (LookupError, TypeError, ValueError, RecursionError):
        raise WebhookRefused("malformed", "the body is not an event") from None


def event(received: Mapping[str, Any]) -> ProviderEvent:
    """Reduce an event; equal for webhook and scan. Raises LookupError or TypeError."""
    charge = received["charge"]
    content = {name: charge[name] for name in _KEPT}
    return ProviderEvent(
        id=str(received["id"]), type=str(received["type"]), content={"charge": content}
    )


def observations(event: ProviderEvent) -> Sequence[Observation]:
    """Convert an event to observations; empty for a charge that payd did not create."""
    charge = event.content["charge"]
    if not charge["payment_id"]:
        return ()
    try:
        fact = charges.snapshot(charge)
    except OutcomeUnknown:
        return ()
    return (Observation(id=event.id, reference=charge["payment_id"], fact=fact),)


def sign(body: bytes, time: int, secret: str) -> str:
    """Compute the signature as the remote side does, in lower-case hex."""
    return hmac.new(secret.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest()
