"""Stripe's objects with defaults, signed bodies, and a Stripe that answers from a list."""

import functools
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import httpx
import stripe
import trio
from stripe_provider.client import API_VERSION, StripeApi
from stripe_provider.config import StripeConfig
from stripe_provider.webhooks import reduced, verify

from payd.plugins import (
    CreateOperation,
    DisputeStatus,
    LineItem,
    Money,
    ProviderEvent,
    RefundOperation,
    RefundRef,
    RefundState,
    WebhookRefused,
    WebhookRequest,
)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "stripe"
#: The SDK's client for httpx passes a body in a way that httpx would have otherwise.
SDK_WARNING = "ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"
NOW = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)
SECOND = int(NOW.timestamp())
SECRET = "whsec_one"
TOLERANCE_S = 300
PAYMENT_ID = UUID("0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")
SESSION_ID = "cs_test_1"
INTENT_ID = "pi_1"
CHARGE_ID = "ch_1"
REFUND_ID = UUID("0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4aff")
KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
DATE = "Thu, 01 Oct 2026 12:00:00 GMT"
#: Stripe's words for the state of a refund, and payd's.
REFUND_STATES = [
    ("pending", RefundState.PENDING),
    ("requires_action", RefundState.PENDING),
    ("succeeded", RefundState.SUCCEEDED),
    ("failed", RefundState.FAILED),
    ("canceled", RefundState.CANCELED),
]
#: Stripe's words for the state of a dispute, and payd's.
DISPUTE_STATUSES = [
    ("warning_needs_response", DisputeStatus.INQUIRY),
    ("warning_under_review", DisputeStatus.INQUIRY),
    ("warning_closed", DisputeStatus.INQUIRY_CLOSED),
    ("needs_response", DisputeStatus.NEEDS_RESPONSE),
    ("under_review", DisputeStatus.UNDER_REVIEW),
    ("appeal_needs_response", DisputeStatus.NEEDS_RESPONSE),
    ("appeal_under_review", DisputeStatus.UNDER_REVIEW),
    ("won", DisputeStatus.WON),
    ("lost", DisputeStatus.LOST),
    ("prevented", DisputeStatus.WITHDRAWN),
]
#: Personal data, as a real delivery would carry it.
PERSONAL = ("jenny@example.com", "Jenny Rosen", "Elm Street 7", "+15555550100", "4242424242424242")


@functools.cache
def _fixture(name: str) -> str:
    return (FIXTURES / f"{name}.json").read_text()


def fixture(name: str) -> dict[str, Any]:
    """A fresh copy of one of Stripe's own examples."""
    read: dict[str, Any] = json.loads(_fixture(name))
    return read


# -- Stripe's objects --------------------------------------------------------------------------


def a_session(**changes: Any) -> dict[str, Any]:
    """Of one of payd's payments: open, 20 dollars."""
    ours = {
        "id": SESSION_ID,
        "client_reference_id": str(PAYMENT_ID),
        "metadata": {"payment_id": str(PAYMENT_ID)},
        "amount_total": 2000,
        "currency": "usd",
        "payment_intent": None,
        "status": "open",
        "payment_status": "unpaid",
    }
    return fixture("checkout.session") | ours | changes


def an_intent(status: str, **changes: Any) -> dict[str, Any]:
    ours = {"id": INTENT_ID, "status": status, "last_payment_error": None}
    return fixture("payment_intent") | ours | changes


def a_charge(**changes: Any) -> dict[str, Any]:
    """Refunded by half."""
    ours = {
        "id": CHARGE_ID,
        "payment_intent": INTENT_ID,
        "amount_refunded": 1000,
        "metadata": {"payment_id": str(PAYMENT_ID)},
    }
    return fixture("charge") | ours | changes


def a_refund(**changes: Any) -> dict[str, Any]:
    """Of 5 dollars, as payd requests it."""
    ours = {
        "id": "re_1",
        "charge": CHARGE_ID,
        "payment_intent": INTENT_ID,
        "amount": 500,
        "created": SECOND,
        "metadata": {"payment_id": str(PAYMENT_ID), "refund_id": str(REFUND_ID)},
    }
    return fixture("refund") | ours | changes


def a_dispute(**changes: Any) -> dict[str, Any]:
    ours = {"charge": CHARGE_ID, "payment_intent": INTENT_ID}
    return fixture("dispute") | ours | changes


def an_event(kind: str, subject: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """As Stripe sends and lists it."""
    ours = {"id": "evt_1", "type": kind, "created": SECOND, "data": {"object": subject}}
    return fixture("event") | ours | changes


def a_completed(**changes: Any) -> dict[str, Any]:
    """The event of a session that was paid."""
    session = a_session(status="complete", payment_status="paid", payment_intent=INTENT_ID)
    return an_event("checkout.session.completed", session, **changes)


# -- webhooks ----------------------------------------------------------------------------------


def header_of(body: str, secret: str = SECRET, time: int = SECOND) -> str:
    """The SDK's own."""
    header: str = stripe.WebhookSignature.generate_signature_header(body, secret, time)
    return header


def deliver(
    body: bytes | str,
    header: str | None = None,
    *,
    secrets: Sequence[str] = (SECRET,),
    now: datetime = NOW,
) -> ProviderEvent:
    """`verify` on this body; without a header, one that fits the first secret."""
    raw = body.encode() if isinstance(body, str) else body
    if header is None:
        header = header_of_bytes(raw, secrets[0])
    request = WebhookRequest(body=raw, headers={"stripe-signature": header})
    return verify(request, secrets, now, TOLERANCE_S)


def header_of_bytes(body: bytes, secret: str = SECRET) -> str:
    """For bodies that the SDK cannot sign, because they are no UTF-8."""
    signed = f"{SECOND}.".encode() + body
    return f"t={SECOND},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def refusal(body: bytes | str, header: str | None = None, **how: Any) -> str | None:
    """Why it is refused; None when it is taken."""
    try:
        deliver(body, header, **how)
    except WebhookRefused as refused:
        return refused.reason
    return None


def read(event: Mapping[str, Any]) -> ProviderEvent:
    """Reduced, as a scan does it."""
    return reduced(event)


# -- operations --------------------------------------------------------------------------------


def an_item(price: int = 1000, name: str = "eth", **changes: Any) -> LineItem:
    money = Money(currency_code=changes.pop("currency", "USD"), minor_units=price)
    return LineItem(chain_profile_id=name, node_type="full", duration="30d", unit_price=money)


def an_operation(**changes: Any) -> CreateOperation:
    """Two nodes of 10 dollars; the amount follows the items."""
    items = changes.pop("items", (an_item(), an_item()))
    total = sum(item.unit_price.minor_units for item in items)
    defaults: dict[str, Any] = {
        "operation_id": f"payd:{PAYMENT_ID}:create:v1",
        "payment_id": PAYMENT_ID,
        "method": "card",
        "amount": Money(currency_code=items[0].unit_price.currency_code, minor_units=total),
        "crypto": None,
        "items": tuple(items),
        "customer_id": "user-7",
        "create_time": NOW,
        "expire_time": NOW + timedelta(hours=1),
        "return_url": "https://shop.example/done",
        "cancel_url": "",
        "metadata": {"email": PERSONAL[0], "request_id": "r"},
    }
    return CreateOperation(**(defaults | changes))


def a_refund_operation(**changes: Any) -> RefundOperation:
    """Of 5 dollars of a payment by card."""
    defaults: dict[str, Any] = {
        "operation_id": f"payd:{REFUND_ID}:refund:v1",
        "refund_id": REFUND_ID,
        "payment_id": PAYMENT_ID,
        "reference": SESSION_ID,
        "aliases": (INTENT_ID, CHARGE_ID),
        "amount": 500,
        "asset": "USD",
        "is_all": False,
        "reason": "",
        "destination": "",
        "create_time": NOW,
    }
    return RefundOperation(**(defaults | changes))


def a_refund_ref(**changes: Any) -> RefundRef:
    """Of that operation, whose answer is not known."""
    defaults: dict[str, Any] = {
        "operation_id": f"payd:{REFUND_ID}:refund:v1",
        "refund_id": REFUND_ID,
        "reference": None,
        "payment_id": PAYMENT_ID,
        "payment_reference": SESSION_ID,
        "aliases": (INTENT_ID, CHARGE_ID),
        "asset": "USD",
        "amount": 500,
        "create_time": NOW,
    }
    return RefundRef(**(defaults | changes))


# -- a Stripe that answers from a list ---------------------------------------------------------


@attrs.frozen(kw_only=True)
class Sent:
    """One request as it left."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str]


Word = httpx.Response | Exception
Handler = Callable[[Sent], Word]


@attrs.define
class FakeStripe:
    """Answers each request with the next word, or by a function; the last word stays."""

    words: list[Word] = attrs.Factory(list)
    handler: Handler | None = None
    sent: list[Sent] = attrs.Factory(list)
    #: How long each answer takes.
    pause_s: float = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        sent = Sent(
            method=request.method,
            path=request.url.path,
            body=await request.aread(),
            headers=dict(request.headers),
            query=dict(request.url.params),
        )
        self.sent.append(sent)
        await trio.sleep(self.pause_s)
        word = self.handler(sent) if self.handler else self._next()
        if isinstance(word, Exception):
            raise word
        return word

    def _next(self) -> Word:
        return self.words.pop(0) if len(self.words) > 1 else self.words[0]


def answer(body: object, status: int = 200, **headers: str) -> httpx.Response:
    """JSON with Stripe's time."""
    given = {"date": DATE} | {name.replace("_", "-"): text for name, text in headers.items()}
    return httpx.Response(status, json=body, headers=given)


def failure(status: int, /, retry_after: str | None = None, **error: Any) -> httpx.Response:
    """One of Stripe's errors."""
    headers = {} if retry_after is None else {"retry_after": retry_after}
    return answer({"error": {"type": "api_error", "message": "told"} | error}, status, **headers)


@asynccontextmanager
async def open_fake(
    *words: Word, handler: Handler | None = None, pause_s: float = 0, **settings: Any
) -> AsyncIterator[tuple[StripeApi, FakeStripe]]:
    """The SDK with its real client for httpx, on a transport that is a list."""
    fake = FakeStripe(words=list(words), handler=handler, pause_s=pause_s)
    # The SDK reads the machine's certificates for each client; nothing here needs them.
    http = stripe.HTTPXClient(timeout=1, verify_ssl_certs=False)
    await http.close_async()  # the SDK's
    http._client_async = httpx.AsyncClient(transport=httpx.MockTransport(fake), trust_env=False)
    client = stripe.StripeClient(
        KEY, http_client=http, stripe_version=API_VERSION, max_network_retries=0
    )
    try:
        yield StripeApi(lambda: client, StripeConfig(**settings)), fake
    finally:
        await http.close_async()  # the SDK's
