"""Verify Stripe's webhooks: signature, age, content. Pure functions without the SDK.

Stricter than the SDK's own check (stripe-python, _webhook.py): a time in the future is refused,
too, and so is what a careful reader would not call JSON.
docs.stripe.com/webhooks/signature
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import attrs

from payd.plugins import ProviderEvent, WebhookRefused, WebhookRequest
from stripe_provider.disputes import withdrawn
from stripe_provider.ids import uuid_or_none
from stripe_provider.refunds import refund_id_of

SESSION_EVENTS = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
)
REFUND_EVENTS = ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")
DISPUTE_EVENTS = (
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)
#: Tell only the sum of a charge's refunds; REFUND_EVENTS tell each of them.
CHARGE_EVENTS = ("charge.refunded",)
#: Event types that the provider uses and that its scan requests; Stripe takes 20 at most.
EVENTS = (*SESSION_EVENTS, *REFUND_EVENTS, *DISPUTE_EVENTS)

_ID = re.compile(r"[A-Za-z0-9_]{1,255}")
_TYPE = re.compile(r"[a-z0-9_.]{1,100}")
_WORD = re.compile(r"[a-z_]{1,50}")
_ANY = re.compile(r".*", re.DOTALL)
_CURRENCY = re.compile(r"[a-z]{3}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_AMOUNT_MAX = 2**63 - 1
#: The year 2100.
_TIME_MAX = 4_102_444_800


def verify(
    request: WebhookRequest, secrets: Sequence[str], now: datetime, tolerance_s: int
) -> ProviderEvent:
    """Verify a webhook and return the event that evidence needs. Raises WebhookRefused."""
    stamp = _read_header(request.headers.get("stripe-signature", ""))
    signed = f"{stamp.time}.".encode() + request.body
    if not any(_is_signed(stamp, secret, signed) for secret in secrets if secret.strip()):
        raise WebhookRefused("signature", "no signature matches a current secret")
    age_s = now.timestamp() - stamp.time
    if age_s > tolerance_s:
        raise WebhookRefused("too_old", "signed too long ago: check tolerance_s and the clock")
    if age_s < -tolerance_s:
        raise WebhookRefused("from_the_future", "signed in the future: check the clock")
    return reduced(_read_json(request.body))


@attrs.frozen
class _Stamp:
    time: int
    signatures: tuple[str, ...]


def _read_header(header: str) -> _Stamp:
    """Parse `t=…,v1=…,v1=…`: a time and one signature per secret; ignore other schemes."""
    parts = [part.partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signatures = tuple(value for name, _, value in parts if name == "v1")
    if len(times) != 1 or not _SECONDS.fullmatch(times[0]) or not header.isascii():
        raise WebhookRefused("signature", "missing or unreadable Stripe-Signature header")
    return _Stamp(int(times[0]), signatures)


def _is_signed(stamp: _Stamp, secret: str, signed: bytes) -> bool:
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(expected, signature) for signature in stamp.signatures)


# -- the body ----------------------------------------------------------------------------------


def _read_json(body: bytes) -> Mapping[str, Any]:
    try:
        event = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        _malformed("the body is no JSON")
    if not isinstance(event, dict):
        _malformed("the body is no object")
    if event.get("object") != "event":
        raise WebhookRefused(
            "unsupported",
            "payd reads snapshot events: at Stripe, set the endpoint's payload style to Snapshot",
        )
    return event


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate keys: two parsers could read different events from them."""
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("duplicate key")
    return read


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def reduced(event: Mapping[str, Any]) -> ProviderEvent:
    """Reduce an event: no personal data, and nothing that may differ between deliveries.

    The same from a webhook and from a list. Raises WebhookRefused.
    """
    kind = _text(event, "type", _TYPE)
    content: dict[str, Any] = {
        "created": _integer(event, "created", _TIME_MAX),
        "livemode": _flag(event, "livemode"),
        "account": _optional_text(event, "account", _ID),
    }
    if kind in (*EVENTS, *CHARGE_EVENTS):
        content["object"] = _reduced_object(kind, _mapping(_mapping(event, "data"), "object"))
    return ProviderEvent(id=_text(event, "id", _ID), type=kind, content=content)


def _reduced_object(kind: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind in SESSION_EVENTS:
        return _reduced_session(fields)
    if kind in CHARGE_EVENTS:
        return {
            "id": _text(fields, "id", _ID),
            "payment_intent": _reference(fields, "payment_intent"),
            "amount_refunded": _integer(fields, "amount_refunded", _AMOUNT_MAX),
            "currency": _text(fields, "currency", _CURRENCY),
            "payment_id": _payment_id(fields),
        }
    return _reduced_refund(fields) if kind in REFUND_EVENTS else _reduced_dispute(fields)


def _reduced_refund(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    payment_id = _payment_id(fields)
    refund_id = refund_id_of(fields) if payment_id else None
    return {
        "id": _text(fields, "id", _ID),
        "charge": _reference(fields, "charge"),
        "payment_intent": _reference(fields, "payment_intent"),
        "amount": _integer(fields, "amount", _AMOUNT_MAX),
        "currency": _text(fields, "currency", _CURRENCY),
        "created": _integer(fields, "created", _TIME_MAX),
        "status": _optional_text(fields, "status", _WORD),
        "failure_reason": _optional_text(fields, "failure_reason", _WORD),
        "payment_id": payment_id if refund_id else None,
        "refund_id": str(refund_id) if refund_id else None,
    }


def _reduced_dispute(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    details = fields.get("evidence_details") or {}
    moves = fields.get("balance_transactions") or ()
    if not isinstance(details, Mapping) or not isinstance(moves, Sequence):
        _malformed("evidence_details or balance_transactions")
    amounts = [one["amount"] for one in moves if isinstance(one, Mapping) and "amount" in one]
    if len(amounts) < len(moves) or any(type(amount) is not int for amount in amounts):
        _malformed("balance_transactions")
    return {
        "id": _text(fields, "id", _ID),
        "charge": _reference(fields, "charge"),
        "payment_intent": _reference(fields, "payment_intent"),
        "amount": _integer(fields, "amount", _AMOUNT_MAX),
        "currency": _text(fields, "currency", _CURRENCY),
        "created": _integer(fields, "created", _TIME_MAX),
        "status": _text(fields, "status", _WORD),
        "reason": _optional_text(fields, "reason", _WORD),
        "due_by": None if details.get("due_by") is None else _integer(details, "due_by", _TIME_MAX),
        "withdrawn": withdrawn(amounts),
    }


def _reduced_session(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    payment_id = _payment_id(fields)
    mode = _text(fields, "mode", _WORD)
    named = _optional_text(fields, "client_reference_id", _ANY)
    is_ours = mode == "payment" and payment_id == named
    if payment_id is None or not is_ours:
        # Not created by payd: nothing of it is needed, and fields may be missing.
        return {"id": _text(fields, "id", _ID)}
    return {
        "id": _text(fields, "id", _ID),
        "status": _text(fields, "status", _WORD),
        "payment_status": _text(fields, "payment_status", _WORD),
        "amount_total": _integer(fields, "amount_total", _AMOUNT_MAX),
        "currency": _text(fields, "currency", _CURRENCY),
        "livemode": _flag(fields, "livemode"),
        "client_reference_id": payment_id,
        "metadata": {"payment_id": payment_id},
        "payment_intent": _reference(fields, "payment_intent"),
    }


def _payment_id(fields: Mapping[str, Any]) -> str | None:
    if fields.get("metadata") is None:
        return None
    named = uuid_or_none(_mapping(fields, "metadata").get("payment_id"))
    return str(named) if named else None


# -- values, each of its type or refused -------------------------------------------------------


def _malformed(what: str) -> NoReturn:
    raise WebhookRefused("malformed", f"not a readable event: {what}")


def _mapping(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    if not isinstance(value, Mapping):
        _malformed(name)
    return value


def _text(fields: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        _malformed(name)
    return value


def _optional_text(fields: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str | None:
    return None if fields.get(name) is None else _text(fields, name, form)


def _reference(fields: Mapping[str, Any], name: str) -> str | None:
    """Id of a referenced object, which may be expanded to the whole object."""
    value = fields.get(name)
    return (
        _text(value, "id", _ID) if isinstance(value, Mapping) else _optional_text(fields, name, _ID)
    )


def _integer(fields: Mapping[str, Any], name: str, most: int) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        _malformed(name)
    return value


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        _malformed(name)
    return value
