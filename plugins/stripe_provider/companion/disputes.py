"""Disputes and inquiries: opened by a customer's bank, answered, and decided."""

from typing import Any

from stripe_provider.companion import balance
from stripe_provider.companion.account import Account
from stripe_provider.companion.errors import ApiError
from stripe_provider.companion.objects import DISPUTE, Json, new_id

#: The statuses of an inquiry: no money has moved.
_INQUIRY = ("warning_needs_response", "warning_under_review", "warning_closed")
#: The statuses in which nothing is left to do.
_CLOSED = ("warning_closed", "won", "lost", "prevented")
STATUSES = (
    *_INQUIRY,
    "needs_response",
    "under_review",
    "appeal_needs_response",
    "appeal_under_review",
    "won",
    "lost",
    "prevented",
)
_CASES = {"prevented": "resolution", **dict.fromkeys(_INQUIRY, "inquiry")}


class Disputes:
    """The account's disputes."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._state = account.state

    def open(
        self,
        charge: Json,
        amount: int | None = None,
        reason: str = "fraudulent",
        status: str = "needs_response",
    ) -> Json:
        """Open a dispute, an inquiry or one that is prevented. Raises ApiError, ValueError."""
        _check(status)
        if charge["refunded"]:
            raise ApiError(message="What was refunded in full cannot be disputed.")
        if any(one["status"] not in _CLOSED for one in self._of(charge)):
            raise ApiError(message="The charge is disputed already.")
        amount = charge["amount"] if amount is None else amount
        with self._state.transaction():
            self._change(charge, {"disputed": True})
            dispute = _dispute(charge, amount, reason, status, now=self._now())
            self._state.add(dispute)
            self._account.emit("charge.dispute.created", dispute)
            return self._follow(dispute)

    def update(self, charge: Json, status: str) -> Json:
        """Bring the charge's newest dispute to a status. Raises ApiError, ValueError."""
        _check(status)
        found = self._of(charge)
        if not found:
            raise ApiError(message="The charge has no dispute.")
        return self._to(found[-1], status)

    def close(self, charge: Json, status: str = "lost") -> Json:
        """Close the charge's open dispute. Raises ApiError, ValueError."""
        _check(status)
        for dispute in self._of(charge):
            if dispute["status"] not in _CLOSED:
                return self._to(dispute, status)
        raise ApiError(message="The charge has no open dispute.")

    def _to(self, dispute: Json, status: str) -> Json:
        with self._state.transaction():
            changed = self._change(dispute, {"status": status, **_rights(status)})
            if status not in _CLOSED:
                previous = {"status": dispute["status"]}
                self._account.emit("charge.dispute.updated", changed, previous=previous)
            return self._follow(changed)

    def _follow(self, dispute: Json) -> Json:
        """Move the money of a dispute that has just got its status, and close it where it ends."""
        status = dispute["status"]
        moved = sum(one["amount"] for one in dispute["balance_transactions"])
        if status not in (*_INQUIRY, "prevented", "won") and moved == 0:
            fee = balance.dispute_fee(dispute["currency"])
            dispute = self._move(dispute, "dispute", -dispute["amount"], fee)
            self._account.emit("charge.dispute.funds_withdrawn", dispute)
        if status in _CLOSED:
            self._account.emit("charge.dispute.closed", dispute)
        if status == "won" and moved < 0:
            dispute = self._move(dispute, "dispute_reversal", -moved)
            self._account.emit("charge.dispute.funds_reinstated", dispute)
        return dispute

    def _move(self, dispute: Json, kind: str, amount: int, fee: int = 0) -> Json:
        made = balance.transaction(dispute, kind, amount, fee=fee, now=self._now())
        self._state.add(made)
        moved = [*dispute["balance_transactions"], made]
        return self._change(dispute, {"balance_transactions": moved})

    def _of(self, charge: Json) -> list[Json]:
        return self._state.with_value(DISPUTE, "charge", charge["id"])

    def _now(self) -> int:
        return int(self._state.now())

    def _change(self, body: Json, changes: dict[str, Any]) -> Json:
        changed = {**body, **changes}
        self._state.put(changed)
        return changed


def _check(status: str) -> None:
    if status not in STATUSES:
        raise ValueError(f"status: one of {', '.join(STATUSES)}")


def _rights(status: str) -> Json:
    """Return whether the charge may still be refunded: not while a dispute is open, or lost."""
    return {"is_charge_refundable": status in (*_INQUIRY, "won")}


def _dispute(charge: Json, amount: int, reason: str, status: str, *, now: int) -> Json:
    return {
        "id": new_id("du_1"),
        "object": DISPUTE,
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": _evidence(),
        "evidence_details": _evidence_details(now),
        "livemode": charge["livemode"],
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "type": "card",
            "card": {
                "brand": "visa",
                "case_type": _CASES.get(status, "chargeback"),
                "network": "visa",
                "network_reason_code": "10.4",
            },
        },
        "reason": reason,
        "status": status,
        **_rights(status),
    }


def _evidence_details(now: int) -> Json:
    return {
        "due_by": now + 7 * 24 * 3600,
        "enhanced_eligibility": {},
        "has_evidence": False,
        "past_due": False,
        "submission_count": 0,
        "submission_method": "not_submitted",
    }


def _evidence() -> Json:
    names = (
        "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure "
        "cancellation_rebuttal customer_communication customer_email_address customer_name "
        "customer_purchase_ip customer_signature duplicate_charge_documentation "
        "duplicate_charge_explanation duplicate_charge_id product_description receipt "
        "refund_policy refund_policy_disclosure refund_refusal_explanation "
        "service_date service_documentation "
        "shipping_address shipping_carrier shipping_date shipping_documentation "
        "shipping_tracking_number uncategorized_file uncategorized_text"
    )
    return {**dict.fromkeys(names.split()), "enhanced_evidence": {}}
