"""The stream PAYMENTS for consumer tests, filled with the events that payd would publish."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import attrs
import nats
import nats.js.errors

from payd.adapters.events import outbox_row_of
from payd.adapters.nats.stream import stream_config
from payd.domain.decide import Event, EventType
from payd.domain.money import Money
from payd.domain.payment import Customer, LineItem, Origin, Payment, Status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USD_149 = Money(currency_code="USD", minor_units=14900)
DEAD_LETTERS = "PAYMENTS_DLQ"


def a_payment(**overrides: Any) -> Payment:
    """Build an event: 149.00 USD, completed."""
    fields: dict[str, Any] = {
        "id": uuid4(),
        "status": Status.COMPLETED,
        "idempotency_key": "key",
        "request_hash": b"",
        "customer": Customer(id="alice"),
        "method": "mock",
        "provider": "mock",
        "amount": USD_149,
        "items": (
            LineItem(
                chain_profile_id="ethereum-mainnet",
                node_type="full",
                duration="30d",
                unit_price=USD_149,
            ),
        ),
        "pricing_version": "v",
        "create_time": NOW,
        "update_time": NOW,
        "expire_time": NOW,
    }
    return Payment(**{**fields, **overrides})


@attrs.frozen
class EventStream:
    """The stream on one server."""

    url: str

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        """Connect a JetStream client without payd's code."""
        client = await nats.connect(self.url)
        try:
            yield client.jetstream()
        finally:
            await client.close()

    async def renew(self) -> None:
        """Create the stream, empty and without consumers."""
        async with self.connected() as jetstream:
            for name in ("PAYMENTS", DEAD_LETTERS):
                with contextlib.suppress(nats.js.errors.NotFoundError):
                    await jetstream.delete_stream(name)
            await jetstream.add_stream(stream_config("PAYMENTS"))

    async def forget_consumer(self, durable: str = "main-app-payment") -> None:
        """Delete the consumer: the next one receives every event again."""
        async with self.connected() as jetstream:
            with contextlib.suppress(nats.js.errors.NotFoundError):
                await jetstream.delete_consumer("PAYMENTS", durable)

    async def publish(
        self,
        payment: Payment,
        kind: Enum = EventType.COMPLETED,
        *,
        previous: UUID | None = None,
        refund_id: UUID | None = None,
        dispute_id: str | None = None,
    ) -> UUID:
        """Publish an event as payd would; return its id."""
        event = Event(
            type=EventType(kind.value),
            previous_status=Status.PENDING,
            reason="",
            refund_id=refund_id,
            dispute_id=dispute_id,
        )
        row = outbox_row_of(payment, event, Origin(actor="test"), "test")
        headers = dict(row.headers)
        if previous:
            headers["payd-previous-event-id"] = str(previous)
        async with self.connected() as jetstream:
            await jetstream.publish(row.subject, row.body, headers=headers)
        return row.event_id

    async def dead(self) -> list[Any]:
        """Return all dead letters."""
        async with self.connected() as jetstream:
            info = await jetstream.stream_info(DEAD_LETTERS)
            return [
                await jetstream.get_msg(DEAD_LETTERS, number)
                for number in range(1, info.state.messages + 1)
            ]

    async def unacknowledged(self, durable: str = "main-app-payment") -> int:
        """Number of events that the consumer has not acknowledged; -1 without a consumer."""
        async with self.connected() as jetstream:
            try:
                info = await jetstream.consumer_info("PAYMENTS", durable)
            except nats.js.errors.NotFoundError:
                return -1
            # The server counts what is pending a moment after it has stored an event.
            stored = (await jetstream.stream_info("PAYMENTS")).state.last_seq
            undelivered = stored - info.delivered.stream_seq
            return int(info.num_ack_pending + max(info.num_pending, undelivered))
