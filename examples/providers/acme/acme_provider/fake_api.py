"""A fake of Acme: charges, events and webhooks, with faults on demand.

`fake_server` puts it behind HTTP.
"""

import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from acme_provider.webhooks import SIGNATURE, sign

Json = dict[str, Any]

_CONFLICT = (409, {"code": "conflict", "message": "the key was used already"})
#: Faults that act instead of the request, and faults that act after it was executed.
FAULTS = ("lost_request", "unauthorized", "forbidden", "rate_limited", "decline", "hang")
FAULTS_AFTER = ("lost_answer", "server_error", "garbage")


class FakeAcme:
    """The state of the fake API. Its methods may be called from any thread."""

    def __init__(
        self,
        *,
        api_key: str,
        webhook_secret: str,
        webhook_url: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = ""
        self.api_key = api_key
        self.webhook_secret = webhook_secret
        self.webhook_url = webhook_url
        #: How many requests have arrived.
        self.requests = 0
        self.charges: dict[str, Json] = {}
        #: The fault of every request, from FAULTS or FAULTS_AFTER; None for none.
        self.fault: str | None = None
        #: Seconds that the fault `rate_limited` asks to wait.
        self.retry_after_s = 1
        #: Most events on a page.
        self.page_max = 100
        #: Charges whose events are kept back until `release`.
        self.held: set[str] = set()
        self._clock = clock
        self._events: list[Json] = []
        self._kept: list[Json] = []
        self.refunds: dict[str, Json] = {}
        #: Whether a refund stays on its way until `end_refund`.
        self.refunds_slowly = False
        self._by_key: dict[str, tuple[Json, str]] = {}
        self._lock = threading.RLock()

    # -- what the API does -------------------------------------------------------------------

    def create(self, order: Json, key: str) -> tuple[int, Json]:
        """Create one charge for a key; 409 for other parameters under the same key."""
        with self._lock:
            known, charge_id = self._by_key.get(key, (order, ""))
            if known != order:
                return _CONFLICT
            if not charge_id:
                charge_id = f"ch_{secrets.token_hex(8)}"
                self._by_key[key] = (order, charge_id)
                self.charges[charge_id] = {
                    **order,
                    "id": charge_id,
                    "url": f"{self.url}/pay/{charge_id}",
                    "status": "open",
                    "received": 0,
                    "dispute": None,
                }
            return 200, self.shown(charge_id)

    def shown(self, charge_id: str) -> Json:
        """Return the current state of a charge. Raises KeyError."""
        with self._lock:
            charge, now = self.charges[charge_id], self._clock()
            if charge["status"] == "open" and now >= charge["expire_time"]:
                charge["status"] = "expired"
            refunds = [one for one in self.refunds.values() if one["charge"] == charge_id]
            return {**charge, "refunds": [dict(one) for one in refunds], "as_of": int(now)}

    def of_payment(self, payment_id: str) -> list[Json]:
        """Return the charges of a payment."""
        with self._lock:
            return [self.shown(c) for c, v in self.charges.items() if v["payment_id"] == payment_id]

    def cancel(self, charge_id: str) -> Json:
        """Cancel a charge if it is open."""
        with self._lock:
            if self.shown(charge_id)["status"] == "open":
                self.charges[charge_id]["status"] = "canceled"
                self._report("charge.canceled", charge_id)
            return self.shown(charge_id)

    def pay(self, charge_id: str, amount: int | None = None) -> Json:
        """Pay an open charge as the customer would: an amount, by default all that is due."""
        with self._lock:
            charge = self.shown(charge_id)
            if charge["status"] == "open":
                left = charge["amount"] - charge["received"]
                charge["received"] += left if amount is None else amount
                is_paid = charge["received"] >= charge["amount"]
                self.charges[charge_id] |= {
                    "received": charge["received"],
                    "status": "paid" if is_paid else "open",
                }
                self._report("charge.paid" if is_paid else "charge.partly_paid", charge_id)
            return self.shown(charge_id)

    def refund(self, order: Json, key: str) -> tuple[int, Json]:
        """Refund once for a key; 402 for what cannot be refunded. Raises KeyError."""
        with self._lock:
            known, refund_id = self._by_key.get(key, (order, ""))
            if known != order:
                return _CONFLICT
            if not refund_id:
                if (why := self._wrong_with(order)) is not None:
                    return 402, why
                refund_id = self.refund_outside(order["charge"], order["amount"], order)
                self._by_key[key] = (order, refund_id)
            return 200, dict(self.refunds[refund_id])

    def _wrong_with(self, order: Json) -> Json | None:
        """Return why this cannot be refunded."""
        charge = self.shown(order["charge"])
        if charge["dispute"] is not None:
            return {"code": "charge_disputed", "message": "Its money is disputed."}
        live = sum(one["amount"] for one in charge["refunds"] if one["status"] != "failed")
        if (left := charge["received"] - live) < order["amount"]:
            code = "exceeds_paid" if charge["received"] else "not_paid"
            return {"code": code, "message": f"Only {left} is left to refund."}
        return None

    def refund_outside(self, charge_id: str, amount: int, order: Json | None = None) -> str:
        """Refund an amount, as in the dashboard; `received` stays unchanged. Return its id."""
        with self._lock:
            refund_id = f"re_{secrets.token_hex(8)}"
            self.refunds[refund_id] = {
                "id": refund_id,
                "charge": charge_id,
                "refund_id": (order or {}).get("refund_id", ""),
                "amount": amount,
                "currency": self.charges[charge_id]["currency"],
                "status": "pending" if order and self.refunds_slowly else "succeeded",
                "create_time": int(self._clock()),
            }
            self._report("charge.refunded", charge_id)
            return refund_id

    def end_refund(self, refund_id: str, *, failed: bool) -> None:
        """Let a refund arrive, or fail: the bank may refuse it days later."""
        with self._lock:
            refund = self.refunds[refund_id]
            refund["status"] = "failed" if failed else "succeeded"
            self._report("charge.refund_updated", refund["charge"])

    def refunds_of(self, refund_id: str) -> list[Json]:
        """Return the refunds that carry this id of payd's."""
        with self._lock:
            return [dict(one) for one in self.refunds.values() if one["refund_id"] == refund_id]

    def dispute(self, charge_id: str) -> None:
        """Let the customer's bank take the payment back."""
        with self._lock:
            charge, now = self.charges[charge_id], int(self._clock())
            charge["dispute"] = {
                "id": f"dp_{secrets.token_hex(8)}",
                "status": "needs_response",
                "amount": charge["received"],
                "reason": "fraudulent",
                "open_time": now,
            }
            self._report("charge.disputed", charge_id)

    def expire(self, charge_id: str) -> None:
        """Let a charge expire now."""
        with self._lock:
            self.charges[charge_id]["expire_time"] = self._clock()

    def events(self, after: int, limit: int) -> Json:
        """Return a page of all events."""
        with self._lock:
            page = self._events[after : after + min(limit, self.page_max)]
            cursor = after + len(page)
            return {"events": page, "cursor": cursor, "more": cursor < len(self._events)}

    def signed(self, event: Json, at: float, secret: str | None = None) -> tuple[bytes, str]:
        """Return a webhook's body and its signature."""
        body = json.dumps(event).encode()
        return body, f"t={int(at)},v1={sign(body, int(at), secret or self.webhook_secret)}"

    def newest_event(self, charge_id: str) -> Json | None:
        """Return the latest event of a charge."""
        with self._lock:
            about = [event for event in self._events if event["charge"]["id"] == charge_id]
            return about[-1] if about else None

    def event(self, kind: str, charge: Json) -> Json:
        """Build an event about a charge."""
        return {"id": f"ev_{secrets.token_hex(8)}", "type": kind, "charge": charge}

    def _report(self, kind: str, charge_id: str) -> None:
        event = self.event(kind, self.shown(charge_id))
        if charge_id in self.held:
            self._kept.append(event)
        else:
            self.publish(event)

    def release(self) -> None:
        """Report the events that were kept back, as they were."""
        with self._lock:
            self.held.clear()
            for event in self._kept:
                self.publish(event)
            self._kept.clear()

    def publish(self, event: Json) -> None:
        """Add an event to the list, and send its webhook."""
        self._events.append(event)
        if self.webhook_url:
            threading.Thread(target=self._send, args=(event,), daemon=True).start()

    def _send(self, event: Json) -> None:
        """Send a webhook, with a few retries; the scan finds an event that is never delivered."""
        for pause_s in (0.0, 1.0, 5.0, 30.0):
            time.sleep(pause_s)
            body, signature = self.signed(event, self._clock())
            request = urllib.request.Request(  # noqa: S310 - the operator's own URL
                self.webhook_url, body, {SIGNATURE: signature, "Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - as above
                    return
            except (urllib.error.URLError, OSError):
                continue
