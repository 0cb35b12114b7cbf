"""Control the fake API from payd's conformance kit."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from secrets import token_hex
from typing import Any
from uuid import UUID

import trio

from acme_provider.fake_api import FakeAcme, Json
from acme_provider.fake_server import serving
from acme_provider.webhooks import SIGNATURE
from payd.plugins import PaymentRef, RefundRef, WebhookRequest
from payd.plugins.testing import BenchClock, CannotHappen, Fault, NotScripted, Remote

_NO_TOKENS = CannotHappen("Acme has API keys, and no access tokens that expire")


@asynccontextmanager
async def open_remote(clock: BenchClock) -> AsyncIterator[Remote]:
    """Start a fake API on a free port, with the kit's clock."""
    acme = FakeAcme(
        api_key=f"key-{token_hex(8)}",
        webhook_secret=f"secret-{token_hex(8)}",
        clock=lambda: clock.now().timestamp(),
    )
    with serving(acme):
        yield AcmeRemote(acme)


class AcmeRemote(Remote):
    """The fake API, controlled by the kit."""

    events_per_page = 10

    def __init__(self, acme: FakeAcme) -> None:
        self._acme = acme
        acme.page_max = self.events_per_page
        self.settings = {"api_base": acme.url}
        self.secrets = {"api_key": (acme.api_key,), "webhook_secret": (acme.webhook_secret,)}

    async def requests(self) -> int:
        """Return the number of requests that the fake API has received."""
        return self._acme.requests

    async def objects(self, payment_id: UUID) -> int:
        """Count the payable objects of a payment."""
        return len(self._acme.of_payment(str(payment_id)))

    async def fault(self, fault: Fault) -> None:
        """Let every request from now on meet the fault."""
        self._acme.fault = fault.value.replace(" ", "_")

    async def mend(self) -> None:
        """End the fault."""
        self._acme.fault = None

    async def forbid(self) -> None:
        """Refuse every request from now on as forbidden."""
        self._acme.fault = "forbidden"

    def retry_after_s(self) -> float:
        """Return the delay that the fake API asks for."""
        return float(self._acme.retry_after_s)

    async def expire_token(self) -> None:
        """Raise CannotHappen: requests carry a key that stays valid."""
        raise _NO_TOKENS

    async def refuse_tokens(self) -> None:
        """Raise CannotHappen: requests carry a key that stays valid."""
        raise _NO_TOKENS

    def changed_settings(self) -> Mapping[str, Any]:
        """Return the settings with another expiry and other currencies."""
        return {**self.settings, "expiry_minutes": 45, "currencies": ("EUR",)}

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """Let the customer pay an amount."""
        self._acme.pay(self._charge(ref)["id"], amount)

    async def received(self, ref: PaymentRef) -> int:
        """Return what the fake API has received for the charge."""
        return int(self._charge(ref)["received"])

    async def asks_for(self, ref: PaymentRef) -> int:
        """Return the amount of the charge."""
        return int(self._charge(ref)["amount"])

    async def pay_together(self, refs: Sequence[PaymentRef], amounts: Sequence[int]) -> None:
        """Raise CannotHappen: Acme sends one event for each charge."""
        raise CannotHappen("each event of Acme is about one charge")

    async def pay_unfinal(self, ref: PaymentRef, amount: int) -> None:
        """Raise CannotHappen: there is no money that is not final."""
        raise CannotHappen("payments by Acme are final at once")

    async def refuse(self, ref: PaymentRef) -> None:
        """Raise CannotHappen: no payment is refused for good."""
        raise CannotHappen("a customer of Acme may always try again")

    async def pay_late(self, ref: PaymentRef, amount: int) -> None:
        """Raise CannotHappen: a charge closes at its expiry."""
        raise CannotHappen("an expired charge cannot be paid")

    async def pay_in_another_asset(self, ref: PaymentRef, amount: int) -> None:
        """Raise CannotHappen: Acme takes the charge's currency only."""
        raise CannotHappen("a charge can be paid in its currency only")

    async def hold_reports(self, ref: PaymentRef) -> None:
        """Keep back the events of the charge."""
        self._acme.held.add(self._charge(ref)["id"])

    async def release_reports(self) -> None:
        """Report the events that were kept back."""
        self._acme.release()

    async def add_foreign(self, name: str) -> None:
        """Create and pay a charge in which other software keeps its own id."""
        order = {"payment_id": name, "amount": 500, "currency": "USD", "expire_time": 2**32}
        _, charge = self._acme.create(order, token_hex(8))
        self._acme.pay(charge["id"])

    async def add_unreadable(self) -> None:
        """Publish an event without what the documentation promises."""
        charge = {"id": f"ch_{token_hex(8)}", "status": "paid"}
        self._acme.publish(self._acme.event("charge.paid", charge))

    async def refund(self, ref: PaymentRef, amount: int) -> None:
        """Refund an amount of what was paid, in the dashboard."""
        self._acme.refund_outside(self._charge(ref)["id"], amount)

    async def refunds(self, payment_id: UUID) -> int:
        """Count the refunds of a payment."""
        return sum(len(one["refunds"]) for one in self._acme.of_payment(str(payment_id)))

    async def slow_refunds(self, ref: PaymentRef) -> None:
        """Let refunds be on their way until they are ended."""
        self._acme.refunds_slowly = True

    async def end_refund(self, ref: RefundRef, *, failed: bool) -> None:
        """Let a refund arrive, or fail."""
        self._acme.end_refund(self._acme.refunds_of(str(ref.refund_id))[0]["id"], failed=failed)

    async def dispute(self, ref: PaymentRef) -> None:
        """Let the customer's bank dispute the payment."""
        self._acme.dispute(self._charge(ref)["id"])

    async def expire(self, ref: PaymentRef) -> None:
        """Let the object expire unpaid."""
        self._acme.expire(self._charge(ref)["id"])

    async def rest(self) -> None:
        """Do nothing: the fake API reports everything at once."""
        await trio.lowlevel.checkpoint()

    def webhook(self, ref: PaymentRef, now: datetime, secret: str | None = None) -> WebhookRequest:
        """Return the newest webhook about the object, signed at `now`."""
        event = self._acme.newest_event(self._charge(ref)["id"])
        if event is None:
            raise NotScripted("Acme sends no event about a charge that is only open")
        return self._signed(event, now, secret)

    def foreign_webhook(self, now: datetime) -> WebhookRequest:
        """Return the webhook of a charge that other software made."""
        charge = {"id": "ch_foreign", "payment_id": "", "status": "paid", "amount": 500}
        at = int(now.timestamp())
        charge |= {"currency": "USD", "received": 500, "refunds": [], "dispute": None}
        charge["as_of"] = at
        return self._signed(self._acme.event("charge.paid", charge), now)

    def key_name(self) -> str:
        """Return the name of the API credential."""
        return "api_key"

    def signature_headers(self) -> tuple[str, ...]:
        """Return the headers that carry the signature."""
        return (SIGNATURE,)

    def secret_name(self) -> str:
        """Return the name of the webhook secret."""
        return "webhook_secret"

    def _charge(self, ref: PaymentRef) -> Json:
        return self._acme.of_payment(str(ref.payment_id))[0]

    def _signed(self, event: Json, now: datetime, secret: str | None = None) -> WebhookRequest:
        body, signature = self._acme.signed(event, now.timestamp(), secret)
        return WebhookRequest(body=body, headers={SIGNATURE: signature})
