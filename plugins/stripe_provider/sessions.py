"""Convert Checkout sessions to payd's values. Pure functions.

A session is `open`, `complete` or `expired`; whether money came is its `payment_status`, and
for money on its way the status of its payment intent (docs.stripe.com/api/checkout/sessions).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import attrs

from payd.plugins import (
    Created,
    Dispute,
    Found,
    OutcomeUnknown,
    ProviderStatus,
    Redirect,
    RefundSnapshot,
    Snapshot,
)
from stripe_provider.currencies import to_iso
from stripe_provider.ids import names_of, uuid_or_none

_PAID = ("paid", "no_payment_required")
#: Statuses of a payment intent whose attempt has failed for good.
_FAILED = ("requires_payment_method", "canceled")


@attrs.frozen(kw_only=True)
class Intent:
    """Known state of a session's payment intent."""

    id: str | None = None
    #: None if the session has only the intent's id.
    status: str | None = None
    failure_code: str | None = None
    #: The last attempt to pay: the object if it is expanded, else its id, if there is one.
    charge: Mapping[str, Any] | str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of the intent and of its charge, as aliases."""
        charge = self.charge["id"] if isinstance(self.charge, Mapping) else self.charge
        return names_of(self.id, charge)

    @property
    def expanded_charge(self) -> Mapping[str, Any] | None:
        """The charge, if it is expanded."""
        return self.charge if isinstance(self.charge, Mapping) else None


def created(session: Mapping[str, Any]) -> Created:
    """Convert a session to the result of create; without a URL if it is closed."""
    url = session.get("url")
    return Created(
        reference=session["id"],
        next_action=Redirect(url=url) if url else None,
        aliases=intent_of(session).names,
        expire_time=datetime.fromtimestamp(session["expires_at"], UTC),
    )


def found(
    session: Mapping[str, Any],
    as_of: datetime,
    refunds: tuple[RefundSnapshot, ...] = (),
    disputes: tuple[Dispute, ...] = (),
) -> Found:
    """Convert a session to the result of fetch."""
    stands = attrs.evolve(snapshot(session, as_of), refunds=refunds, disputes=disputes)
    return Found(created=created(session), snapshot=stands)


def snapshot(session: Mapping[str, Any], as_of: datetime, *, has_failed: bool = False) -> Snapshot:
    """Convert a session to a snapshot. `has_failed`: an event reported its payment as failed."""
    intent = intent_of(session)
    status = ProviderStatus.DECLINED if has_failed else _status(session, intent)
    asset = session["currency"].upper()
    total = to_iso(session["amount_total"], asset)
    is_paid = status is ProviderStatus.PAID
    on_its_way = status is ProviderStatus.PROCESSING
    is_declined = status is ProviderStatus.DECLINED
    return Snapshot(
        status=status,
        asset=asset,
        received=total if is_paid or on_its_way else 0,
        confirmed=total if is_paid else 0,
        as_of=as_of,
        due=total,
        reference=session["id"],
        aliases=intent.names,
        fee=_fee(intent, asset),
        failure_code=(intent.failure_code or "payment_failed") if is_declined else None,
        failure_message="The bank did not send the money." if is_declined else None,
    )


def intent_of(session: Mapping[str, Any]) -> Intent:
    """Read the payment intent: an object if expanded, else an id or nothing."""
    intent = session.get("payment_intent")
    if isinstance(intent, Mapping):
        error = intent.get("last_payment_error") or {}
        return Intent(
            id=intent["id"],
            status=intent.get("status"),
            failure_code=error.get("code"),
            charge=intent.get("latest_charge"),
        )
    return Intent(id=intent)


def payment_id_of(session: Mapping[str, Any]) -> UUID | None:
    """Id of the payment that the session is for; None if payd did not create the session."""
    named = session.get("client_reference_id")
    if not isinstance(named, str) or named != (session.get("metadata") or {}).get("payment_id"):
        return None
    return uuid_or_none(named)


def _status(session: Mapping[str, Any], intent: Intent) -> ProviderStatus:
    match session["status"], session["payment_status"]:
        case "open", _:
            return ProviderStatus.OPEN
        case "complete", paid if paid in _PAID:
            return ProviderStatus.PAID
        case "complete", "unpaid":
            return (
                ProviderStatus.DECLINED if intent.status in _FAILED else ProviderStatus.PROCESSING
            )
        case "expired", "unpaid":
            return _of_expired(intent)
        case "expired", paid if paid in _PAID:
            return ProviderStatus.PAID
        case status, payment_status:
            raise OutcomeUnknown(f"a session that is {status} and {payment_status}")


def _of_expired(intent: Intent) -> ProviderStatus:
    """Status of an expired session; a payment that began before the expiry may still settle."""
    if intent.status == "processing":
        return ProviderStatus.PROCESSING
    return ProviderStatus.PAID if intent.status == "succeeded" else ProviderStatus.EXPIRED


def _fee(intent: Intent, asset: str) -> int | None:
    """What Stripe keeps of the payment; None if it is not known in the payment's currency."""
    transaction = (intent.expanded_charge or {}).get("balance_transaction")
    if not isinstance(transaction, Mapping) or transaction["currency"].upper() != asset:
        # In the account's own currency, and at a rate of Stripe's.
        return None
    fee = to_iso(transaction["fee"], asset, round_up=True)
    return fee if fee >= 0 else None
