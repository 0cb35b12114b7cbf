"""A provider of instant transfers: receipts, several in one webhook, some not final at once.

It is the skeleton with another kind of events: each names payments of several charges, each payment
with an id, a state, and a time in a zone. Money after a charge's expiry is taken.
"""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from secrets import token_hex
from typing import Any

from acme_provider import webhooks
from acme_provider.conformance import AcmeRemote
from acme_provider.fake_api import FakeAcme, Json
from acme_provider.fake_server import serving
from acme_provider.provider import AcmeProvider

from payd.plugins import (
    Observation,
    PaymentRef,
    ProviderEvent,
    Receipt,
    ReceiptState,
    WebhookRefused,
    WebhookRequest,
)
from payd.plugins.testing import BenchClock, CannotHappen, NotScripted, Remote

#: The remote side's zone.
ZONE = timezone(timedelta(hours=-5))
_STATES = {"seen": ReceiptState.SEEN, "final": ReceiptState.CONFIRMED}
_TOLERANCE_S = 300


class InstantProvider(AcmeProvider):
    """Reports receipts."""

    def verify(
        self, request: WebhookRequest, secrets: Mapping[str, tuple[str, ...]], now: datetime
    ) -> Any:
        """Check signature and age, and return the event."""
        head = request.headers.get(webhooks.SIGNATURE, "")
        try:
            time = int(head.partition(",")[0].removeprefix("t="))
            signed = {
                f"t={time},v1={webhooks.sign(request.body, time, one)}"
                for one in secrets["webhook_secret"]
            }
            if head not in signed or abs(now.timestamp() - time) > _TOLERANCE_S:
                raise WebhookRefused("signature", "no")
            return self.event(json.loads(request.body))
        except (LookupError, TypeError, ValueError, RecursionError):
            raise WebhookRefused("malformed", "no") from None

    def event(self, received: Json) -> ProviderEvent:
        """The event, of payments or of a charge."""
        if "payments" not in received:
            return webhooks.event(received)
        content = {name: received[name] for name in ("payments", "sent_time")}
        return ProviderEvent(id=received["id"], type=received["type"], content=content)

    def translate(self, event: ProviderEvent) -> Sequence[Observation]:
        """One observation for each payment."""
        if "payments" not in event.content:
            return super().translate(event)
        return [
            Observation(
                id=f"{event.id} {number}",
                reference=one["payment_id"],
                fact=(self.receipt(one, event),),
            )
            for number, one in enumerate(event.content["payments"])
        ]

    def receipt(self, one: Mapping[str, Any], _event: ProviderEvent) -> Receipt:
        """The receipt of a payment."""
        return Receipt(
            id=one["id"],
            asset=one["currency"],
            amount=int(one["amount"]),
            state=_STATES[one["state"]],
            time=datetime.fromisoformat(one["time"]).astimezone(UTC),
        )

    def _readable(self, received: Mapping[str, Any]) -> Sequence[ProviderEvent]:
        """The event, of payments or of a charge; none if it cannot be read."""
        if "payments" in received:
            return (self.event(dict(received)),)
        return super()._readable(received)


class FakeInstant(FakeAcme):
    """Its events are about payments."""

    def receive(self, payments: Iterable[Json]) -> None:
        """Report payments in one event; those that are final count for their charges."""
        with self._lock:
            made = []
            for one in payments:
                charge, now = self.charges[one["charge"]], self._clock()
                time = datetime.fromtimestamp(now, ZONE).isoformat()
                default = {"id": f"pm_{token_hex(8)}", "state": "final", "time": time}
                payment = {**default, "currency": charge["currency"], **one}
                made.append({**payment, "payment_id": charge["payment_id"]})
                is_due = payment["currency"] == charge["currency"] and now < charge["expire_time"]
                if payment["state"] == "final" and is_due:
                    charge["received"] += payment["amount"]
                    charge["status"] = _status(charge)
            event = {"id": f"ev_{token_hex(8)}", "type": "payments", "payments": made}
            if any(one["charge"] in self.held for one in made):
                self._kept.append(event)
            else:
                self.publish(event)

    def publish(self, event: Json) -> None:
        sent_time = datetime.fromtimestamp(self._clock(), UTC).isoformat()
        super().publish({**event, "sent_time": sent_time})

    def newest_event(self, charge_id: str) -> Json | None:
        """The latest event of a charge or of its payments."""
        about = [event for event in self._events if charge_id in json.dumps(event)]
        return about[-1] if about else None


def _status(charge: Json) -> str:
    is_paid = charge["received"] >= charge["amount"]
    return "paid" if is_paid and charge["status"] == "open" else charge["status"]


class InstantRemote(AcmeRemote):
    """The fake API, controlled by the kit."""

    _acme: FakeInstant

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """Receive one payment."""
        self._acme.receive([{"charge": self._charge(ref)["id"], "amount": amount}])

    async def pay_together(self, refs: Sequence[PaymentRef], amounts: Sequence[int]) -> None:
        """Receive several payments in one event."""
        charges = [self._charge(ref)["id"] for ref in refs]
        pairs = zip(charges, amounts, strict=True)
        self._acme.receive([{"charge": charge, "amount": amount} for charge, amount in pairs])

    async def pay_unfinal(self, ref: PaymentRef, amount: int) -> None:
        """Receive a payment that is only seen."""
        charge = self._charge(ref)["id"]
        self._seen = {"charge": charge, "amount": amount, "id": f"pm_{token_hex(8)}"}
        self._acme.receive([{**self._seen, "state": "seen"}])

    async def finalize(self, ref: PaymentRef) -> None:
        """Make that payment final."""
        self._acme.receive([self._seen])

    async def pay_late(self, ref: PaymentRef, amount: int) -> None:
        """Receive a payment of an expired charge."""
        await self.pay(ref, amount)

    async def pay_in_another_asset(self, ref: PaymentRef, amount: int) -> None:
        """Receive euros for dollars, or the reverse."""
        charge = self._charge(ref)
        other = "EUR" if charge["currency"] == "USD" else "USD"
        self._acme.receive([{"charge": charge["id"], "amount": amount, "currency": other}])

    def foreign_webhook(self, now: datetime) -> WebhookRequest:
        """Raise CannotHappen: a payment has a charge."""
        raise CannotHappen("nothing else uses this account")

    def webhook(self, ref: PaymentRef, now: datetime, secret: str | None = None) -> WebhookRequest:
        """The newest webhook about the object."""
        event = self._acme.newest_event(self._charge(ref)["id"])
        if event is None:
            raise NotScripted("there is no event about a charge that is only open")
        return self._signed(event, now, secret)


@asynccontextmanager
async def open_instant(clock: BenchClock) -> AsyncIterator[Remote]:
    """Start a fake API on a free port, with the kit's clock."""
    acme = FakeInstant(
        api_key=f"key-{token_hex(8)}",
        webhook_secret=f"secret-{token_hex(8)}",
        clock=lambda: clock.now().timestamp(),
    )
    with serving(acme):
        yield InstantRemote(acme)
