"""The stream PAYMENTS as a consumer finds it, filled by the tests with what payd would publish."""

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
    """149.00 USD, complete."""
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
    """Of one server."""

    url: str

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        """A JetStream context of a client that knows nothing of payd."""
        client = await nats.connect(self.url)
        try:
            yield client.jetstream()
        finally:
            await client.close()

    async def renew(self) -> None:
        """Empty, without consumers."""
        async with self.connected() as jetstream:
            for name in ("PAYMENTS", DEAD_LETTERS):
                with contextlib.suppress(nats.js.errors.NotFoundError):
                    await jetstream.delete_stream(name)
            await jetstream.add_stream(stream_config("PAYMENTS"))

    async def forget_consumer(self, durable: str = "main-app-payment") -> None:
        """Whoever asks next gets everything again."""
        async with self.connected() as jetstream:
            with contextlib.suppress(nats.js.errors.NotFoundError):
                await jetstream.delete_consumer("PAYMENTS", durable)

    async def publish(
        self,
        payment: Payment,
        kind: Enum = EventType.COMPLETED,
        *,
        previous: UUID | None = None,
    ) -> UUID:
        """As payd would; the event's id."""
        event = Event(type=EventType(kind.value), previous_status=Status.PENDING, reason="")
        row = outbox_row_of(payment, event, Origin(actor="test"), "test")
        headers = dict(row.headers)
        if previous:
            headers["payd-previous-event-id"] = str(previous)
        async with self.connected() as jetstream:
            await jetstream.publish(row.subject, row.body, headers=headers)
        return row.event_id

    async def dead(self) -> list[Any]:
        """All dead letters."""
        async with self.connected() as jetstream:
            info = await jetstream.stream_info(DEAD_LETTERS)
            return [
                await jetstream.get_msg(DEAD_LETTERS, number)
                for number in range(1, info.state.messages + 1)
            ]

    async def unacknowledged(self, durable: str = "main-app-payment") -> int:
        """What the consumer still has before it; -1 when there is none."""
        async with self.connected() as jetstream:
            try:
                info = await jetstream.consumer_info("PAYMENTS", durable)
            except nats.js.errors.NotFoundError:
                return -1
            return int(info.num_ack_pending + info.num_pending)
