"""Acme's events: authentic, recent and readable, or refused; and what they say. Pure.

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
#: What of a charge is kept: no personal data.
_KEPT = ("id", "payment_id", "status", "amount", "currency", "received", "refunded", "as_of")


def verify(
    request: WebhookRequest, secrets: Sequence[str], now: datetime, tolerance_s: int
) -> ProviderEvent:
    """The event; raises WebhookRefused."""
    stamp = _STAMP.fullmatch(request.headers.get(SIGNATURE, ""))
    if stamp is None:
        raise WebhookRefused("signature", f"no readable {SIGNATURE}")
    time, signature = int(stamp[1]), stamp[2]
    # While a secret is replaced, either of the two counts.
    if not any(hmac.compare_digest(sign(request.body, time, one), signature) for one in secrets):
        raise WebhookRefused("signature", "no signature fits a secret")
    age_s = now.timestamp() - time
    if age_s > tolerance_s:
        raise WebhookRefused("too_old", "signed too long ago")
    if age_s < -tolerance_s:
        raise WebhookRefused("from_the_future", "signed in the future")
    try:
        return event(json.loads(request.body))
    except (LookupError, TypeError, ValueError, RecursionError):
        raise WebhookRefused("malformed", "the body is no event") from None


def event(told: Mapping[str, Any]) -> ProviderEvent:
    """The same from a webhook and from a scan. Raises LookupError, TypeError."""
    charge = told["charge"]
    content = {name: charge[name] for name in _KEPT}
    return ProviderEvent(id=str(told["id"]), type=str(told["type"]), content={"charge": content})


def observations(event: ProviderEvent) -> Sequence[Observation]:
    """How the charge stood, for the payment that it names; nothing for a charge of others."""
    charge = event.content["charge"]
    if not charge["payment_id"]:
        return ()
    try:
        fact = charges.snapshot(charge)
    except OutcomeUnknown:
        return ()
    return (Observation(id=event.id, reference=charge["payment_id"], fact=fact),)


def sign(body: bytes, time: int, secret: str) -> str:
    """As the remote side does; in lower-case hex."""
    return hmac.new(secret.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest()
