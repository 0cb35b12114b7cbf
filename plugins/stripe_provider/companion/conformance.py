"""Control the stand-in for Stripe from the conformance kit."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import trio

from payd.plugins import PaymentRef, RefundRef, WebhookRequest, currency_exponent, rescale_units
from payd.plugins.testing import BenchClock, CannotHappen, Fault, NotScripted, Remote
from stripe_provider.companion.app import StandIn, open_stand_in
from stripe_provider.companion.currencies import decimals
from stripe_provider.companion.faults import Fault as Ordered
from stripe_provider.companion.objects import EVENT, REFUND, SESSION, Json
from stripe_provider.companion.webhooks import signature

_SECRET_KEY = "sk_test_conformance"  # noqa: S105 - of the stand-in
_WEBHOOK_SECRET = "whsec_conformance"  # noqa: S105 - as above
_KINDS = {
    Fault.LOST_REQUEST: "reset",
    Fault.LOST_ANSWER: "timeout_after",
    Fault.SERVER_ERROR: "500_before",
    Fault.GARBAGE: "garbage",
    Fault.UNAUTHORIZED: "401",
    Fault.RATE_LIMITED: "429",
    Fault.HANG: "timeout_before",
}
#: More requests than an operation sends.
_EVERY = 1000
_HANG_S = 60.0
#: Small enough that lists have several pages.
_PAGE_MAX = 5
#: Not the delay that the provider assumes without the header.
_RETRY_AFTER_S = 2
_NO_TOKENS = CannotHappen("Stripe has secret keys, and no access tokens that expire")
#: Kind of an event that is not listed yet.
_KEPT = "kept event"


@asynccontextmanager
async def open_remote(clock: BenchClock) -> AsyncIterator[Remote]:
    """Start a stand-in on the real time, which the provider reads from the Date header."""
    start = partial(
        open_stand_in,
        "127.0.0.1",
        0,
        secret_key=_SECRET_KEY,
        webhook_secret=_WEBHOOK_SECRET,
        pages=False,
    )
    async with trio.open_nursery() as nursery:
        stand_in: StandIn = await nursery.start(start)
        yield StripeRemote(stand_in)
        nursery.cancel_scope.cancel()


class StripeRemote(Remote):
    """The stand-in, controlled by the kit."""

    follows_clock = False
    events_per_page = _PAGE_MAX

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        stand_in.account.page_max = _PAGE_MAX
        self._held: set[str] = set()
        self._kept: list[str] = []
        self.secrets = {
            "stripe_secret_key": (_SECRET_KEY,),
            "stripe_webhook_secret": (_WEBHOOK_SECRET,),
        }
        self.settings = {
            "api_base": stand_in.url,
            # One each: same unit as ISO 4217, finer unit at Stripe, last digit must be 0.
            "currencies": "USD,ISK,KWD",
            "requests_per_second": 10_000,
        }

    async def requests(self) -> int:
        """Return the number of requests received so far."""
        return len(self._stand_in.api.log)

    async def objects(self, payment_id: UUID) -> int:
        """Count the sessions of a payment."""
        return len(self._sessions(payment_id))

    async def fault(self, fault: Fault) -> None:
        """Let every request from now on meet the fault."""
        if fault not in _KINDS:
            raise CannotHappen("Stripe declines cards on its own page, after the session was made")
        self._order(_KINDS[fault], _HANG_S if fault is Fault.HANG else 0.0)

    async def forbid(self) -> None:
        """Deny the key every permission."""
        self._order("403")

    def _order(self, kind: str, hold_s: float = 0.0) -> None:
        self._stand_in.faults.order(
            Ordered(
                method="*",
                path=".*",
                kind=kind,
                times=_EVERY,
                hold_s=hold_s,
                retry_after_s=_RETRY_AFTER_S,
            )
        )

    async def mend(self) -> None:
        """End the fault."""
        self._stand_in.faults.clear()

    def retry_after_s(self) -> float:
        """Return the delay of the stand-in's 429."""
        return float(_RETRY_AFTER_S)

    async def expire_token(self) -> None:
        """Raise CannotHappen: requests carry a key that stays valid."""
        raise _NO_TOKENS

    async def refuse_tokens(self) -> None:
        """Raise CannotHappen: requests carry a key that stays valid."""
        raise _NO_TOKENS

    def changed_settings(self) -> Mapping[str, Any]:
        """Return the settings with another time to live and other currencies."""
        return {**self.settings, "session_ttl_minutes": 90, "currencies": "EUR"}

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """Let the customer pay an amount, on the card page."""
        session = self._session(ref)
        if _stripes(amount, session) != session["amount_total"]:
            raise CannotHappen("Stripe charges exactly the session's amount")
        self._stand_in.checkout.pay(session["id"])
        if session["id"] in self._held:
            state = self._stand_in.account.state
            for event in state.all_of(EVENT):
                if event["data"]["object"]["id"] == session["id"]:
                    state.move(event["id"], _KEPT)
                    self._kept.append(event["id"])

    async def asks_for(self, ref: PaymentRef) -> int:
        """Return the amount of the session, in ISO 4217's minor units."""
        session = self._session(ref)
        return _minor_units(session["amount_total"], session["currency"])

    async def pay_together(self, refs: Sequence[PaymentRef], amounts: Sequence[int]) -> None:
        """Raise CannotHappen: an event has one object."""
        raise CannotHappen("each event of Stripe is about one object")

    async def pay_unfinal(self, ref: PaymentRef, amount: int) -> None:
        """Raise CannotHappen: card payments have no such state."""
        raise CannotHappen("a card payment is final when the session is complete")

    async def refuse(self, ref: PaymentRef) -> None:
        """Let a bank debit fail. A declined card may be tried again."""
        session_id = self._session(ref)["id"]
        self._stand_in.checkout.pay_async(session_id)
        self._stand_in.checkout.async_fail(session_id)

    async def pay_late(self, ref: PaymentRef, amount: int) -> None:
        """Raise CannotHappen: a session closes at its expiry."""
        raise CannotHappen("an expired session cannot be paid")

    async def pay_in_another_asset(self, ref: PaymentRef, amount: int) -> None:
        """Raise CannotHappen: Stripe charges the session's currency."""
        raise CannotHappen("Stripe charges exactly the session's currency")

    async def hold_reports(self, ref: PaymentRef) -> None:
        """Keep back the events of the session: Stripe guarantees no order of them."""
        self._held.add(self._session(ref)["id"])

    async def release_reports(self) -> None:
        """List the events that were kept back, with the time at which they happened."""
        for name in self._kept:
            self._stand_in.account.state.move(name, EVENT)
        self._kept.clear()
        self._held.clear()

    async def received(self, ref: PaymentRef) -> int:
        """Return what was charged for the session."""
        session = self._session(ref)
        if session["payment_status"] != "paid":
            return 0
        return _minor_units(session["amount_total"], session["currency"])

    async def refund(self, ref: PaymentRef, amount: int) -> None:
        """Refund an amount of what was paid, in the dashboard."""
        amount = _stripes(amount, self._session(ref))
        self._stand_in.refunds.refund(self._charge(ref), {"amount": amount}, "succeeded")

    async def refunds(self, payment_id: UUID) -> int:
        """Count the refunds of a payment."""
        intents = [one["payment_intent"] for one in self._sessions(payment_id)]
        every = self._stand_in.account.state.all_of(REFUND)
        return sum(one["payment_intent"] in intents for one in every)

    async def slow_refunds(self, ref: PaymentRef) -> None:
        """Let the next refund be pending."""
        self._stand_in.refunds.order("pending", 1)

    async def end_refund(self, ref: RefundRef, *, failed: bool) -> None:
        """Let a refund arrive, or fail."""
        [refund_id] = [
            one["id"]
            for one in self._stand_in.account.state.all_of(REFUND)
            if one["metadata"].get("refund_id") == str(ref.refund_id)
        ]
        if failed:
            self._stand_in.refunds.fail(refund_id)
        else:
            self._stand_in.refunds.succeed(refund_id)

    async def dispute(self, ref: PaymentRef) -> None:
        """Let the customer's bank dispute the payment."""
        self._stand_in.disputes.open(self._charge(ref))

    async def expire(self, ref: PaymentRef) -> None:
        """Let the session expire unpaid."""
        self._stand_in.checkout.expire(self._session(ref)["id"])

    async def later(self, by: timedelta) -> None:
        """Advance the stand-in's clock."""
        self._stand_in.account.state.advance(by.total_seconds())

    async def rest(self) -> None:
        """Do nothing: the stand-in sends events at once."""
        await trio.lowlevel.checkpoint()

    def webhook(self, ref: PaymentRef, now: datetime, secret: str | None = None) -> WebhookRequest:
        """Return the newest event of the session or of a refund of it, signed at `now`."""
        session = self._session(ref)
        about = [
            event
            for event in self._stand_in.account.state.all_of(EVENT)
            if event["data"]["object"]["id"] == session["id"]
            or (
                event["type"].startswith("refund.")
                and event["data"]["object"]["payment_intent"] == session["payment_intent"]
            )
        ]
        if not about:
            raise NotScripted("Stripe sends no event for a session that is open")
        return _signed(about[-1], now, secret)

    def foreign_webhook(self, now: datetime) -> WebhookRequest:
        """Return the event of a payment link, which payd did not create."""
        session_id = self._pay_foreign()
        events = self._stand_in.account.state.all_of(EVENT)
        about = [event for event in events if event["data"]["object"]["id"] == session_id]
        return _signed(about[0], now)

    async def add_foreign(self, name: str) -> None:
        """Create and pay a session in which other software keeps its own id."""
        await trio.lowlevel.checkpoint()
        self._pay_foreign(**({"client_reference_id": name} if name else {}))

    def _pay_foreign(self, **more: Any) -> str:
        price = {"currency": "usd", "unit_amount": 700, "product_data": {"name": "Foreign"}}
        session = self._stand_in.checkout.create(
            {
                "success_url": "https://shop.example/paid",
                "amount": 700,
                "currency": "usd",
                "line_items": [{"price_data": price, "quantity": 1}],
                **more,
            }
        )
        self._stand_in.checkout.pay(session["id"])
        return str(session["id"])

    def signature_headers(self) -> tuple[str, ...]:
        """Return the headers that carry the signature."""
        return ("stripe-signature",)

    def key_name(self) -> str:
        """Return the name of the API credential."""
        return "stripe_secret_key"

    def secret_name(self) -> str:
        """Return the name of the webhook secret."""
        return "stripe_webhook_secret"

    def _sessions(self, payment_id: UUID) -> list[Json]:
        every = self._stand_in.account.state.all_of(SESSION)
        return [one for one in every if one["client_reference_id"] == str(payment_id)]

    def _session(self, ref: PaymentRef) -> Json:
        return self._sessions(ref.payment_id)[0]

    def _charge(self, ref: PaymentRef) -> Json:
        return self._stand_in.checkout.paid_charge(self._session(ref)["id"])


def _stripes(minor_units: int, session: Json) -> int:
    """Convert an amount from ISO 4217's minor units to Stripe's."""
    currency = session["currency"]
    return rescale_units(minor_units, currency_exponent(currency.upper()), decimals(currency))


def _minor_units(amount: int, currency: str) -> int:
    """Convert an amount from Stripe's unit to ISO 4217's minor units."""
    return rescale_units(amount, decimals(currency), currency_exponent(currency.upper()))


def _signed(event: Json, now: datetime, secret: str | None = None) -> WebhookRequest:
    body = json.dumps(event).encode()
    stamp = signature(body, [secret or _WEBHOOK_SECRET], int(now.timestamp()))
    return WebhookRequest(body=body, headers={"stripe-signature": stamp})
