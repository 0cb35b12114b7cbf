"""Refunds: made by the API or in the dashboard, and what becomes of them at the bank."""

from collections import deque
from typing import Any

from stripe_provider.companion import balance
from stripe_provider.companion.account import NO_CAUSE, Account, Cause
from stripe_provider.companion.currencies import step, written
from stripe_provider.companion.errors import ApiError, no_such
from stripe_provider.companion.objects import (
    CHARGE,
    DISPUTE,
    PAYMENT_INTENT,
    REFUND,
    Json,
    new_id,
)

#: Statuses in which the money has not come back to the account.
_LIVE = ("pending", "requires_action", "succeeded")
#: Statuses that a refund may begin with.
BEGINNINGS = (*_LIVE, "failed")
_NULLS = (
    "balance_transaction customer customer_account reason receipt_number source_transfer_reversal "
    "transfer_reversal"
)


class Refunds:
    """The account's refunds."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._state = account.state
        #: The statuses of the next refunds; afterwards each succeeds.
        self._ordered: deque[str] = deque()

    def order(self, status: str, times: int) -> None:
        """Let the next refunds begin with this status. Raises ValueError."""
        _check(status)
        self._ordered.extend([status] * times)

    def create(self, params: Json, cause: Cause) -> Json:
        """Refund as the API does. Raises ApiError."""
        charge = self._charge(params)
        status = self._ordered.popleft() if self._ordered else "succeeded"
        return self.refund(charge, params, status, cause)

    def refund(self, charge: Json, params: Json, status: str, cause: Cause = NO_CAUSE) -> Json:
        """Refund a charge: what `params` says, or all that is left. Raises ApiError, ValueError."""
        _check(status)
        amount = self._amount(charge, params.get("amount"))
        with self._state.transaction():
            refund = _refund(charge, amount, params, now=self._now())
            self._state.add(refund)
            refund = self._change(refund, self._details(refund, status))
            charge = self._count(charge)
            self._account.emit("refund.created", refund, cause)
            previous = {"amount_refunded": charge["amount_refunded"] - amount}
            if status in _LIVE:
                self._account.emit("charge.refunded", charge, cause, previous)
            else:
                self._account.emit("refund.failed", refund, cause)
        return refund

    def succeed(self, refund_id: str) -> Json:
        """Let a pending refund succeed. Raises ApiError."""
        return self._move(refund_id, "succeeded", ("pending", "requires_action"))

    def fail(self, refund_id: str, reason: str = "expired_or_canceled_card") -> Json:
        """Let a refund fail, also one that has succeeded. Raises ApiError."""
        return self._move(refund_id, "failed", _LIVE, failure_reason=reason)

    def cancel(self, refund_id: str) -> Json:
        """Cancel a refund in the dashboard. Raises ApiError."""
        return self._move(
            refund_id, "canceled", ("pending", "requires_action"), failure_reason="merchant_request"
        )

    def cancel_by_api(self, refund_id: str, cause: Cause) -> Json:
        """Cancel a refund that waits for the customer. Raises ApiError."""
        return self._move(refund_id, "canceled", ("requires_action",), cause)

    def of_charge(self, charge_id: str) -> list[Json]:
        """Return a charge's refunds, newest first."""
        return self._state.with_value(REFUND, "charge", charge_id)[::-1]

    def _charge(self, params: Json) -> Json:
        charge_id = params.get("charge")
        if (intent_id := params.get("payment_intent")) is not None:
            intent = self._state.find(PAYMENT_INTENT, intent_id)
            if intent is None:
                raise no_such(PAYMENT_INTENT, intent_id, "payment_intent")
            charge_id = intent["latest_charge"]
            if intent["status"] != "succeeded":
                message = (
                    f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
                )
                raise ApiError(message=message, param="payment_intent", saved=True)
        charge = self._state.find(CHARGE, charge_id or "")
        if charge is None:
            raise no_such(CHARGE, charge_id or "", "charge")
        return charge

    def _amount(self, charge: Json, wanted: int | None) -> int:
        """Return the amount to refund. Raises ApiError."""
        name = charge["id"]
        disputes = self._state.with_value(DISPUTE, "charge", name)
        if any(not one["is_charge_refundable"] for one in disputes):
            message = f"Charge {name} has been charged back; cannot issue a refund."
            raise ApiError(message=message, code="charge_disputed", saved=True)
        left: int = charge["amount"] - charge["amount_refunded"]
        if left == 0:
            message = f"Charge {name} has already been refunded."
            raise ApiError(message=message, code="charge_already_refunded", saved=True)
        amount = left if wanted is None else wanted
        currency = charge["currency"]
        if amount % step(currency):
            message = f"Amounts in {currency.upper()} must be evenly divisible by {step(currency)}."
            raise ApiError(message=message, param="amount", saved=True)
        if not 0 < amount <= left:
            message = (
                f"Refund amount ({written(amount, currency)}) is greater than unrefunded amount on "
                f"charge ({written(left, currency)})"
            )
            raise ApiError(message=message, param="amount", saved=True)
        return amount

    def _move(
        self,
        refund_id: str,
        status: str,
        allowed: tuple[str, ...],
        cause: Cause = NO_CAUSE,
        **more: Any,
    ) -> Json:
        refund = self._account.get(REFUND, refund_id)
        if refund["status"] not in allowed:
            message = f"The refund is {refund['status']}: it cannot become {status}."
            raise ApiError(message=message, saved=True)
        with self._state.transaction():
            before = {name: refund.get(name) for name in ("status", *more)}
            refund = self._change(refund, {**self._details(refund, status), **more})
            self._count(self._account.get(CHARGE, refund["charge"]))
            for event_type in ("refund.updated", "charge.refund.updated"):
                self._account.emit(event_type, refund, cause, before)
            if status == "failed":
                self._account.emit("refund.failed", refund, cause)
        return refund

    def _details(self, refund: Json, status: str) -> Json:
        """Return what a refund of this status shows; its balance transactions are stored."""
        shown: Json = {"status": status}
        shown |= {name: None for name in ("pending_reason", "next_action") if name in refund}
        if status == "pending":
            shown["pending_reason"] = "processing"
        if status == "requires_action":
            shown["next_action"] = _next_action(self._now())
        if status != "requires_action" and refund["balance_transaction"] is None:
            shown["balance_transaction"] = self._moved(refund, "refund", -refund["amount"])
        if status in ("failed", "canceled") and refund.get("balance_transaction"):
            back = self._moved(refund, "refund_failure", refund["amount"])
            shown["failure_balance_transaction"] = back
        if status == "failed":
            shown["failure_reason"] = "unknown"
        return shown

    def _moved(self, refund: Json, kind: str, amount: int) -> str:
        made = balance.transaction(refund, kind, amount, now=self._now())
        self._state.add(made)
        return str(made["id"])

    def _count(self, charge: Json) -> Json:
        """Write the sum of the charge's refunds into the charge."""
        live = [one for one in self.of_charge(charge["id"]) if one["status"] in _LIVE]
        refunded = sum(one["amount"] for one in live)
        changes = {"amount_refunded": refunded, "refunded": refunded == charge["amount"]}
        return self._change(charge, changes)

    def _now(self) -> int:
        return int(self._state.now())

    def _change(self, body: Json, changes: Json) -> Json:
        changed = {**body, **changes}
        self._state.put(changed)
        return changed


def _check(status: str) -> None:
    if status not in BEGINNINGS:
        raise ValueError(f"status: one of {', '.join(BEGINNINGS)}")


def _refund(charge: Json, amount: int, params: Json, *, now: int) -> Json:
    method = charge["payment_method_details"]["type"]
    destination = {"reference_status": "pending", "reference": None}
    if method == "card":
        destination |= {"reference_type": "acquirer_reference_number", "type": "refund"}
    kind = "card" if method == "card" else "us_bank_transfer"
    return {
        **dict.fromkeys(_NULLS.split()),
        "id": new_id("re_3", 23),
        "object": REFUND,
        "amount": amount,
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "destination_details": {"type": kind, kind: destination},
        "metadata": params.get("metadata", {}),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "status": None,
    }


def _next_action(now: int) -> Json:
    sent = {"email_sent_at": now, "email_sent_to": "jenny.rosen@example.com"}
    details = {"email_sent": sent, "expires_at": now + 45 * 24 * 3600}
    return {"type": "display_details", "display_details": details}
