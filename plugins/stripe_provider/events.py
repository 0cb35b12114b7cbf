"""Convert Stripe events to observations about payments. Pure functions."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from payd.plugins import Conflict, Dispute, Observation, ProviderEvent
from stripe_provider.disputes import dispute_of
from stripe_provider.ids import uuid_or_none
from stripe_provider.refunds import snapshot_of
from stripe_provider.sessions import payment_id_of, snapshot
from stripe_provider.webhooks import (
    CHARGE_EVENTS,
    DISPUTE_EVENTS,
    REFUND_EVENTS,
    SESSION_EVENTS,
)


def observations(event: ProviderEvent, *, livemode: bool) -> Sequence[Observation]:
    """Empty for what is not payd's: another type, another account, a session of other software.

    `livemode` is that of our own key.
    """
    content = event.content
    payload = content.get("object")
    if content["account"] is not None or payload is None:
        return ()
    is_other_mode = content["livemode"] is not livemode
    if event.type in SESSION_EVENTS:
        return _of_session(event, payload, is_other_mode)
    if event.type in REFUND_EVENTS:
        return _of_refund(event, payload, is_other_mode)
    if event.type in CHARGE_EVENTS:
        return _of_charge(event, payload, is_other_mode)
    if event.type in DISPUTE_EVENTS:
        return _of_dispute(event, payload, is_other_mode)
    return ()


def _of_session(
    event: ProviderEvent, session: Mapping[str, Any], is_other_mode: bool
) -> Sequence[Observation]:
    payment_id = payment_id_of(session)
    if payment_id is None:
        return ()
    reference = str(payment_id)
    if is_other_mode or session["livemode"] is not event.content["livemode"]:
        # Test money for a live payment, or the other way round: an operator must see it.
        return (Observation(id=event.id, reference=reference, fact=Conflict()),)
    as_of = datetime.fromtimestamp(event.content["created"], UTC)
    has_failed = event.type == "checkout.session.async_payment_failed"
    fact = snapshot(session, as_of, has_failed=has_failed)
    return (Observation(id=event.id, reference=reference, fact=fact),)


def _of_refund(
    event: ProviderEvent, refund: Mapping[str, Any], is_other_mode: bool
) -> Sequence[Observation]:
    reference = refund["payment_id"] or refund["payment_intent"] or refund["charge"]
    if reference is None:
        return ()
    if is_other_mode:
        return (Observation(id=event.id, reference=reference, fact=Conflict()),)
    fact = snapshot_of(refund, uuid_or_none(refund["refund_id"]))
    return (Observation(id=event.id, reference=reference, fact=fact),)


def _of_charge(
    event: ProviderEvent, charge: Mapping[str, Any], is_other_mode: bool
) -> Sequence[Observation]:
    """Nothing: each refund has its own events. Only the wrong mode is worth a look."""
    reference = charge["payment_id"] or charge["payment_intent"]
    if reference is None or not is_other_mode:
        return ()
    return (Observation(id=event.id, reference=reference, fact=Conflict()),)


def _of_dispute(
    event: ProviderEvent, reduced: Mapping[str, Any], is_other_mode: bool
) -> Sequence[Observation]:
    reference = reduced["payment_intent"] or reduced["charge"]
    if reference is None:
        return ()
    fact: Dispute | Conflict = Conflict()
    if not is_other_mode:
        as_of = datetime.fromtimestamp(event.content["created"], UTC)
        # An event that version 0.1 stored has the names and the currency only.
        before = {
            "amount": 0,
            "created": event.content["created"],
            "status": "needs_response",
            "reason": None,
            "due_by": None,
            "withdrawn": False,
        }
        fact = dispute_of({**before, **reduced}, as_of)
    return (Observation(id=event.id, reference=reference, fact=fact),)
