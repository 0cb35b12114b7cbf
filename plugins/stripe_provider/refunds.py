"""Convert refunds: payd's request to Stripe's parameters, Stripe's refunds to payd's values. Pure.

docs.stripe.com/api/refunds
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from payd.plugins import (
    InvalidRequest,
    Money,
    OutcomeUnknown,
    RefundOperation,
    RefundSnapshot,
    RefundState,
)
from stripe_provider.currencies import step, to_iso, to_stripe
from stripe_provider.ids import id_of, names_of, uuid_or_none

#: Stripe's reasons. Others that a person wrote stay in payd: they may contain personal data. Stripe
#: adds card and e-mail of a `fraudulent` payment to the account's block lists.
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
_STATES = {
    # Very old refunds have no status: nothing is proven.
    None: RefundState.PENDING,
    "pending": RefundState.PENDING,
    # The customer has to say where the money should go.
    "requires_action": RefundState.PENDING,
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.CANCELED,
}
#: docs.stripe.com/refunds#failed-refunds
_FAILURES = {
    "charge_for_pending_refund_disputed": "The customer disputed the payment meanwhile.",
    "declined": "The bank declined the refund.",
    "expired_or_canceled_card": "The card has expired or was canceled.",
    "insufficient_funds": "Stripe could not take the amount from your balance.",
    "lost_or_stolen_card": "The card was lost or stolen.",
    "merchant_request": "The refund was canceled in your Stripe account.",
}
_FAILED = "The bank did not accept the refund."


def refund_parameters(operation: RefundOperation, payment_intent: str) -> Mapping[str, Any]:
    """Compute a refund's parameters. Raises InvalidRequest.

    Stripe compares them at every attempt, also at one by a newer version of this provider: what is
    sent for an operation must never change.
    """
    try:
        units = to_stripe(Money(currency_code=operation.asset, minor_units=operation.amount))
    except InvalidRequest as error:
        raise InvalidRequest("amount", error.message) from None
    if units % (multiple := step(operation.asset)):
        raise InvalidRequest("amount", f"Stripe refunds {operation.asset} in steps of {multiple}")
    parameters: dict[str, Any] = {
        "payment_intent": payment_intent,
        # Also for all of it: a refund in the dashboard could otherwise change what is refunded.
        "amount": units,
        "metadata": {
            "payment_id": str(operation.payment_id),
            "refund_id": str(operation.refund_id),
        },
    }
    if (reason := operation.reason.strip().lower().replace(" ", "_")) in _REASONS:
        parameters["reason"] = reason
    return parameters


def refund_id_of(refund: Mapping[str, Any]) -> UUID | None:
    """Id of the refund in payd; None if payd did not request it."""
    metadata = refund.get("metadata") or {}
    if uuid_or_none(metadata.get("payment_id")) is None:
        return None
    return uuid_or_none(metadata.get("refund_id"))


def refund_snapshot(refund: Mapping[str, Any]) -> RefundSnapshot:
    """Convert a refund of the API. Raises OutcomeUnknown for a status that is not known."""
    return snapshot_of(
        {
            "id": refund["id"],
            "amount": refund["amount"],
            "currency": refund["currency"],
            "created": refund["created"],
            "status": refund.get("status"),
            "failure_reason": refund.get("failure_reason"),
            "payment_intent": id_of(refund.get("payment_intent")),
            "charge": id_of(refund.get("charge")),
        },
        refund_id_of(refund),
    )


def snapshot_of(reduced: Mapping[str, Any], refund_id: UUID | None) -> RefundSnapshot:
    """Convert the fields of a refund that evidence needs."""
    status = reduced["status"]
    if status not in _STATES:
        raise OutcomeUnknown(f"a refund that is {status}")
    state = _STATES[status]
    asset = reduced["currency"].upper()
    code = None
    if state in (RefundState.FAILED, RefundState.CANCELED):
        code = reduced["failure_reason"] or status
    return RefundSnapshot(
        reference=reduced["id"],
        state=state,
        asset=asset,
        amount=to_iso(reduced["amount"], asset, round_up=True),
        time=datetime.fromtimestamp(reduced["created"], UTC),
        refund_id=refund_id,
        failure_code=code,
        failure_message=_FAILURES.get(code, _FAILED) if code else None,
        aliases=names_of(reduced["payment_intent"], reduced["charge"]),
    )
