"""Changes of a checkout session: a customer pays, is declined or leaves; the session expires."""

from typing import Any

from stripe_provider.companion import balance, objects
from stripe_provider.companion.account import NO_CAUSE, Account, Cause
from stripe_provider.companion.errors import ApiError
from stripe_provider.companion.objects import CHARGE, PAYMENT_INTENT, SESSION, Json

_BANK = "us_bank_account"


class Checkout:
    """Checkout sessions and their payments."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._state = account.state

    def create(self, params: Json) -> Json:
        """Create an open session; the control API may set further fields with `params`."""
        with self._state.transaction():
            livemode = params.get("livemode", self._account.livemode)
            session = objects.session(params, now=self._now(), livemode=livemode)
            self._state.add(session)
            sold = {
                "items": params["line_items"],
                "line_items": objects.line_items(params, session["id"]),
                "payment_intent_data": params.get("payment_intent_data", {}),
            }
            self._state.keep_sold(session["id"], sold)
        return self.shown(session)

    def shown(self, session: Json) -> Json:
        """Return a session as the API shows it: with its page's URL while it is open."""
        if session["status"] != "open":
            return session
        return {**session, "url": f"{self._account.url}/pay/{session['id']}"}

    def get(self, session_id: str) -> Json:
        """Return a session as the API shows it. Raises ApiError."""
        return self.shown(self._account.get(SESSION, session_id))

    def sweep(self) -> None:
        """Expire overdue sessions."""
        for session in self._state.overdue(self._state.now()):
            self.expire(session["id"])

    def expire(self, session_id: str, cause: Cause = NO_CAUSE) -> Json:
        """Expire an open session. Raises ApiError."""
        session = self._account.get(SESSION, session_id)
        if session["status"] != "open":
            message = (
                'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout '
                f"Session has a status of `{session['status']}`."
            )
            raise ApiError(message=message, param="session", saved=True)
        with self._state.transaction():
            expired = {**session, "status": "expired"}
            self._state.put(expired)
            if session["payment_intent"]:
                now = self._now()
                self._change(
                    self._account.get(PAYMENT_INTENT, session["payment_intent"]),
                    {"status": "canceled", "canceled_at": now, "cancellation_reason": "expired"},
                )
            self._account.emit("checkout.session.expired", expired, cause)
        return expired

    def pay(self, session_id: str) -> Json:
        """Pay by card, which succeeds at once."""
        session = self._open(session_id)
        with self._state.transaction():
            if session["amount_total"] == 0:
                return self._complete(session, {"payment_status": "no_payment_required"})
            intent = self._intent(session)
            self._succeed(intent, self._attempt(intent, "succeeded", "card"))
            changes = {"payment_status": "paid", "payment_intent": intent["id"]}
            return self._complete(session, changes)

    def pay_async(self, session_id: str) -> Json:
        """Pay by bank: the session completes, but the money is still pending."""
        session = self._open(session_id)
        with self._state.transaction():
            intent = self._intent(session)
            charge = self._attempt(intent, "pending", _BANK)
            changes = {
                "status": "processing",
                "latest_charge": charge["id"],
                "payment_method": charge["payment_method"],
                "last_payment_error": None,
            }
            self._change(intent, changes)
            return self._complete(session, {"payment_intent": intent["id"]})

    def async_succeed(self, session_id: str) -> Json:
        """Let a pending bank payment succeed."""
        session, intent, charge = self._processing(session_id)
        with self._state.transaction():
            self._succeed(intent, charge)
            paid = self._change(session, {"payment_status": "paid"})
            self._account.emit("checkout.session.async_payment_succeeded", paid)
        return paid

    def async_fail(self, session_id: str) -> Json:
        """Let a pending bank payment fail: the session stays complete and unpaid."""
        session, intent, charge = self._processing(session_id)
        with self._state.transaction():
            failure = {
                "status": "failed",
                "failure_code": "insufficient_funds",
                "failure_message": "The customer's account has insufficient funds.",
            }
            self._fail(intent, self._change(charge, failure))
            self._account.emit("checkout.session.async_payment_failed", session)
        return session

    def decline(self, session_id: str) -> Json:
        """Decline a card: the session stays open."""
        session = self._open(session_id)
        with self._state.transaction():
            intent = self._intent(session)
            charge = self._attempt(intent, "failed", "card")
            failure = {
                "failure_code": "card_declined",
                "failure_message": "Your card was declined.",
            }
            self._fail(intent, self._change(charge, failure))
            return self.shown(self._change(session, {"payment_intent": intent["id"]}))

    def paid_charge(self, session_id: str) -> Json:
        """Return the charge of a paid session. Raises ApiError."""
        session = self._account.get(SESSION, session_id)
        if session["payment_status"] != "paid" or not session["payment_intent"]:
            raise ApiError(message="The session is not paid.", status=409)
        intent = self._account.get(PAYMENT_INTENT, session["payment_intent"])
        return self._account.get(CHARGE, intent["latest_charge"])

    def declined(self, session: Json) -> bool:
        """Whether the last attempt to pay was declined."""
        intent = self._state.find(PAYMENT_INTENT, session["payment_intent"] or "")
        return intent is not None and intent["last_payment_error"] is not None

    def _now(self) -> int:
        return int(self._state.now())

    def _change(self, body: Json, changes: dict[str, Any]) -> Json:
        changed = {**body, **changes}
        self._state.put(changed)
        return changed

    def _open(self, session_id: str) -> Json:
        self.sweep()
        session = self._account.get(SESSION, session_id)
        if session["status"] != "open":
            raise ApiError(message=f"The session is {session['status']}, not open.", status=409)
        return session

    def _intent(self, session: Json) -> Json:
        """Return the payment intent of an earlier attempt, or create one."""
        if session["payment_intent"]:
            return self._account.get(PAYMENT_INTENT, session["payment_intent"])
        data = self._state.sold(session["id"]).get("payment_intent_data", {})
        intent = objects.payment_intent(session, data, now=self._now())
        self._state.add(intent)
        return intent

    def _attempt(self, intent: Json, status: str, method: str) -> Json:
        charge = objects.charge(intent, status, method, now=self._now())
        self._state.add(charge)
        return charge

    def _succeed(self, intent: Json, charge: Json) -> None:
        fee = balance.charge_fee(charge["amount"], charge["currency"])
        moved = balance.transaction(charge, "charge", charge["amount"], fee=fee, now=self._now())
        self._state.add(moved)
        paid = {
            "amount_captured": charge["amount"],
            "balance_transaction": moved["id"],
            "captured": True,
            "paid": True,
            "status": "succeeded",
        }
        self._change(charge, paid)
        changes = {
            "amount_received": intent["amount"],
            "last_payment_error": None,
            "latest_charge": charge["id"],
            "payment_method": charge["payment_method"],
            "status": "succeeded",
        }
        self._account.emit("payment_intent.succeeded", self._change(intent, changes))

    def _fail(self, intent: Json, charge: Json) -> None:
        error = objects.payment_failure(charge)
        changes = {
            "last_payment_error": error,
            "latest_charge": charge["id"],
            "payment_method": None,
            "status": "requires_payment_method",
        }
        self._account.emit("payment_intent.payment_failed", self._change(intent, changes))

    def _complete(self, session: Json, changes: dict[str, Any]) -> Json:
        details = objects.customer_details(session["customer_email"])
        changes = {**changes, "status": "complete", "customer_details": details}
        complete = self._change(session, changes)
        self._account.emit("checkout.session.completed", complete)
        return complete

    def _processing(self, session_id: str) -> tuple[Json, Json, Json]:
        session = self._account.get(SESSION, session_id)
        intent = self._state.find(PAYMENT_INTENT, session["payment_intent"] or "")
        if intent is None or intent["status"] != "processing":
            raise ApiError(message="No payment of this session is processing.", status=409)
        return session, intent, self._account.get(CHARGE, intent["latest_charge"])
