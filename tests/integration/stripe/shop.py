"""A daemon that takes cards, shared by a module's tests: hand-signed webhooks, adjustable time."""

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import httpx
import stripe as sdk
from payd_client.proto import payment_pb2 as pb
from support import plain_http
from support.cards import WEBHOOK_SECRET, StandIn, pay_by_card, running_with_cards, stand_in
from support.daemon import Client, Daemon, Message, Place, events, rows
from support.waiting import wait_until

Json = dict[str, Any]
#: What only time would bring is brought by the tests: nothing comes by itself meanwhile.
SETTINGS = {
    "PAYD_RECOVERY_INTERVAL_S": "0.1",
    "PAYD_OUTBOX_POLL_INTERVAL_S": "0.1",
    "STRIPE_REQUESTS_PER_SECOND": "1000",
    # A test locks the database.
    "PAYD_DATABASE_LOCK_TIMEOUT_MS": "2000",
}


@attrs.frozen(kw_only=True)
class Shop:
    """The parts, and questions to them."""

    place: Place
    stripe: StandIn
    daemon: Daemon
    client: Client

    def start(self, **fields: Any) -> tuple[Any, Json]:
        """A payment and its session."""
        payment = pay_by_card(self.client, **fields)
        [session] = self.stripe.sessions(payment.id)
        return payment, session

    def published(self, payment_id: str) -> list[Message]:
        """The payment's events, once all of them are published."""
        sql = "SELECT 1 FROM outbox WHERE publish_time IS NULL AND payment_id = $1"
        wait_until(lambda: not rows(self.place, sql, uuid.UUID(payment_id)), "all is published")
        return [event for event in events(self.place) if event.body["id"] == payment_id]

    def subjects(self, payment_id: str) -> list[str]:
        """What the events say."""
        return [event.subject for event in self.published(payment_id)]

    def row(self, payment_id: str) -> Any:
        """The payment as it is stored."""
        [row] = rows(self.place, "SELECT * FROM payments WHERE id = $1", uuid.UUID(payment_id))
        return row

    def set(self, payment_id: str, assignments: str) -> None:
        """Change the stored payment by SQL."""
        sql = f"UPDATE payments SET {assignments} WHERE id = $1"
        rows(self.place, sql, uuid.UUID(payment_id))

    def look(self, payment_id: str) -> None:
        """Recovery's next look is due."""
        sql = "UPDATE payments SET next_look_time = now() WHERE id = $1 AND next_look_time > now()"
        rows(self.place, sql, uuid.UUID(payment_id))

    def scan(self) -> None:
        """The next scan of events is due; returns when it is over."""
        sql = "SELECT 1 FROM provider_cursors WHERE name = 'events' AND value IS NOT NULL"
        wait_until(lambda: rows(self.place, sql), "a first scan")
        sql = "UPDATE provider_cursors SET next_time = now() WHERE name = 'events'"
        rows(self.place, sql)
        sql = """
            SELECT 1 FROM provider_cursors
            WHERE name = 'events' AND next_time > now() + interval '5 minutes'
        """
        wait_until(lambda: rows(self.place, sql), "a scan")

    def wait_row(self, payment_id: str, is_so: Callable[[Any], bool], what: str) -> Any:
        """The stored payment, once it is so."""
        wait_until(lambda: is_so(self.row(payment_id)), what)
        return self.row(payment_id)

    def post(self, event: Json | bytes, secret: str = WEBHOOK_SECRET) -> httpx.Response:
        """Send a webhook, signed with the secret."""
        return post(self.daemon, event, secret)

    def settle(self, *received: Json) -> list[str]:
        """Post each and wait until it is settled; what became of them."""
        for event in received:
            answer = self.post(event)
            assert answer.status_code == 200, answer.text
        return [settled(self.place, event["id"]) for event in received]

    def metric(self, name: str, **labels: str) -> float:
        """A counter's value."""
        wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        text = plain_http.get(f"http://{self.daemon.metrics}/metrics", timeout=10).text
        found = [line for line in text.splitlines() if line.startswith(f"{name}{{{wanted}}} ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0


@contextlib.contextmanager
def open_shop(place: Place, folder: Path, **environment: str) -> Iterator[Shop]:
    """All parts, until the end of the block."""
    with (
        stand_in(folder) as stripe,
        running_with_cards(place, stripe, **(SETTINGS | environment)) as (daemon, client),
    ):
        yield Shop(place=place, stripe=stripe, daemon=daemon, client=client)


def an_event(kind: str, subject: Json, **changes: Any) -> Json:
    """As Stripe would write it."""
    return {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "data": {"object": subject},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
        **changes,
    }


def paid(session: Json, **changes: Any) -> Json:
    """The session, as if its customer had paid."""
    done = {"status": "complete", "payment_status": "paid", "url": None}
    return {**session, **done, "payment_intent": f"pi_{uuid.uuid4().hex}", **changes}


def paid_event(session: Json, **changes: Any) -> Json:
    """It completed, with these changes to the session."""
    return an_event("checkout.session.completed", paid(session, **changes))


def post(daemon: Daemon, event: Json | bytes, secret: str = WEBHOOK_SECRET) -> httpx.Response:
    """Send a webhook, signed with the secret."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    made = sdk.WebhookSignature.generate_signature_header(body.decode(), secret)
    url = f"http://{daemon.http}/webhooks/stripe"
    return plain_http.post(url, content=body, headers={"Stripe-Signature": made}, timeout=30)


def inbox(place: Place, event_id: str) -> Sequence[Any]:
    """What is stored of an event, oldest first."""
    return rows(place, "SELECT * FROM inbox WHERE event_id = $1 ORDER BY id", event_id)


def settled(place: Place, event_id: str) -> str:
    """What became of an event that was stored once."""
    wait_until(lambda: inbox(place, event_id)[-1]["settle_time"], f"{event_id} is settled")
    return str(inbox(place, event_id)[-1]["outcome"])


def cancel(client: Client, payment_id: str) -> Any:
    """The payment after CancelPayment; raises grpc.RpcError."""
    return client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=payment_id)).payment


def status_of(payment: Any) -> str:
    """Its status in the words of the model."""
    return str(pb.PaymentStatus.Name(payment.status)).removeprefix("PAYMENT_STATUS_")
