"""Convert Stripe events to observations about payments. Pure functions."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from payd.plugins import Conflict, Observation, ProviderEvent, Reversal
from stripe_provider.currencies import to_iso
from stripe_provider.sessions import payment_id_of, snapshot
from stripe_provider.webhooks import CHARGE_EVENTS, DISPUTE_EVENTS, SESSION_EVENTS


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


def _of_charge(
    event: ProviderEvent, charge: Mapping[str, Any], is_other_mode: bool
) -> Sequence[Observation]:
    reference = charge["payment_id"] or charge["payment_intent"]
    if reference is None:
        return ()
    if is_other_mode:
        return (Observation(id=event.id, reference=reference, fact=Conflict()),)
    asset = charge["currency"].upper()
    fact = Reversal(
        asset=asset,
        refunded=to_iso(charge["amount_refunded"], asset, round_up=True),
        aliases=_aliases(charge["id"], charge["payment_intent"]),
    )
    return (Observation(id=event.id, reference=reference, fact=fact),)


def _of_dispute(
    event: ProviderEvent, dispute: Mapping[str, Any], is_other_mode: bool
) -> Sequence[Observation]:
    reference = dispute["payment_intent"] or dispute["charge"]
    if reference is None:
        return ()
    fact: Reversal | Conflict = Conflict()
    if not is_other_mode:
        fact = Reversal(
            asset=dispute["currency"].upper(),
            disputed=True,
            aliases=_aliases(dispute["charge"], dispute["payment_intent"]),
        )
    return (Observation(id=event.id, reference=reference, fact=fact),)


def _aliases(*names: str | None) -> tuple[str, ...]:
    return tuple(name for name in names if name)
