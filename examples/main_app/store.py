"""Every SQL statement of the main app. Each function runs in the caller's transaction."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs
from payd_client import Item

from main_app.database import Connection

#: Time a reservation lasts: longer than a call to payd with all its retries.
_RESERVED = "2 minutes"


@attrs.frozen(kw_only=True)
class Subscription:
    """One row of `subscriptions`."""

    id: UUID
    chain_profile_id: str
    node_type: str
    duration: str
    status: str
    payment_id: UUID | None
    create_time: datetime
    activate_time: datetime | None

    @property
    def item(self) -> Item:
        """The product, as in payd's price list."""
        return Item(
            chain_profile_id=self.chain_profile_id,
            node_type=self.node_type,
            duration=self.duration,
        )


@attrs.frozen(kw_only=True)
class Checkout:
    """A stored POST with its payment."""

    request_hash: bytes
    payment_id: UUID


# -- users -------------------------------------------------------------------------------------


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def add_user(connection: Connection, user_id: str, token: str) -> None:
    """Create a user or replace the token."""
    await connection.execute(
        """
        INSERT INTO users (id, token_hash) VALUES ($1, $2)
        ON CONFLICT (id) DO UPDATE SET token_hash = excluded.token_hash
        """,
        user_id,
        _hash(token),
    )


async def user_of(connection: Connection, token: str) -> str | None:
    """Find the user of a token; None for an unknown one."""
    user_id: str | None = await connection.fetchval(
        "SELECT id FROM users WHERE token_hash = $1", _hash(token)
    )
    return user_id


async def has_user(connection: Connection, user_id: str) -> bool:
    """Whether the user exists."""
    return bool(await connection.fetchval("SELECT true FROM users WHERE id = $1", user_id))


# -- subscriptions -----------------------------------------------------------------------------


async def subscriptions_of(connection: Connection, user_id: str) -> list[Subscription]:
    """List all subscriptions of a user, newest first."""
    rows = await connection.fetch(
        """
        SELECT * FROM subscriptions WHERE user_id = $1
        ORDER BY create_time DESC, id LIMIT 200
        """,
        user_id,
    )
    return [_subscription(row) for row in rows]


async def subscriptions_by_id(
    connection: Connection, user_id: str, ids: Sequence[UUID]
) -> dict[UUID, Subscription]:
    """Read these subscriptions of the user; those of other users are left out."""
    rows = await connection.fetch(
        "SELECT * FROM subscriptions WHERE user_id = $1 AND id = ANY ($2)", user_id, list(ids)
    )
    return {row["id"]: _subscription(row) for row in rows}


async def reserve(
    connection: Connection, user_id: str, ids: Sequence[UUID], key: str
) -> dict[UUID, Subscription]:
    """Reserve subscriptions for a payment with this key; a repeated key reserves them again.

    Rows are locked in the order of their ids, so that two requests cannot deadlock.
    """
    await connection.execute(
        """
        SELECT 1 FROM subscriptions WHERE user_id = $1 AND id = ANY ($2)
        ORDER BY id FOR UPDATE
        """,
        user_id,
        list(ids),
    )
    rows = await connection.fetch(
        f"""
        UPDATE subscriptions
        SET reserved_by = $3, reserved_until = now() + interval '{_RESERVED}'
        WHERE
            user_id = $1 AND id = ANY ($2)
            AND status = 'pending_payment' AND payment_id IS NULL
            AND (reserved_by IS NULL OR reserved_by = $3 OR reserved_until < now())
        RETURNING *
        """,  # noqa: S608 - a constant of ours
        user_id,
        list(ids),
        key,
    )
    return {row["id"]: _subscription(row) for row in rows}


async def release(connection: Connection, user_id: str, key: str) -> None:
    """Release a reservation whose payment was not started."""
    await connection.execute(
        """
        UPDATE subscriptions SET reserved_by = NULL, reserved_until = NULL
        WHERE user_id = $1 AND reserved_by = $2
        """,
        user_id,
        key,
    )


async def add_subscriptions(
    connection: Connection, user_id: str, items: Sequence[tuple[UUID, Any]]
) -> None:
    """Create pending subscriptions; existing ones stay unchanged."""
    await connection.executemany(
        """
        INSERT INTO subscriptions (id, user_id, chain_profile_id, node_type, duration)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (id) DO NOTHING
        """,
        [
            (one_id, user_id, item.chain_profile_id, item.node_type, item.duration)
            for one_id, item in items
        ],
    )


# -- payments ----------------------------------------------------------------------------------


async def checkout_of(connection: Connection, user_id: str, key: str) -> Checkout | None:
    """Read the stored POST of a key; None for a new key."""
    row = await connection.fetchrow(
        """
        SELECT request_hash, payment_id FROM checkouts
        WHERE user_id = $1 AND idempotency_key = $2
        """,
        user_id,
        key,
    )
    return Checkout(**row) if row else None


async def record_checkout(
    connection: Connection,
    user_id: str,
    key: str,
    checkout: Checkout,
    subscription_ids: Sequence[UUID],
) -> None:
    """Store the payment of these subscriptions, unless an event has closed it. Idempotent.

    The payment must be locked.
    """
    await connection.execute(
        """
        INSERT INTO checkouts (user_id, idempotency_key, request_hash, payment_id)
        VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
        """,
        user_id,
        key,
        checkout.request_hash,
        checkout.payment_id,
    )
    await connection.execute(
        """
        UPDATE subscriptions
        SET
            reserved_by = NULL,
            reserved_until = NULL,
            payment_id = CASE WHEN EXISTS (
                SELECT 1 FROM handled_events
                WHERE
                    handled_events.payment_id = $3
                    AND event_type IN ('payment.failed', 'payment.canceled')
            ) THEN payment_id ELSE $3 END
        WHERE user_id = $1 AND id = ANY ($2) AND (payment_id IS NULL OR payment_id = $3)
        """,
        user_id,
        list(subscription_ids),
        checkout.payment_id,
    )


async def lock_payment(connection: Connection, payment_id: UUID) -> None:
    """Lock a payment id, so that its POST and its events run one after the other.

    Take this lock before any row's: both insert the same subscriptions.
    """
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", str(payment_id)
    )


# -- events ------------------------------------------------------------------------------------


async def begin_event(
    connection: Connection, event_id: UUID, event_type: str, payment_id: UUID
) -> bool:
    """Record an event; return whether it is new. Only then may the transaction apply it."""
    await lock_payment(connection, payment_id)
    done = await connection.fetchval(
        """
        INSERT INTO handled_events (event_id, event_type, payment_id) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        event_id,
        event_type,
        payment_id,
    )
    return bool(done)


async def activate(
    connection: Connection, user_id: str, ids: Sequence[UUID], payment_id: UUID, event_id: UUID
) -> set[UUID]:
    """Activate and provision subscriptions that are not active yet; return them."""
    rows = await connection.fetch(
        """
        WITH activated AS (
            UPDATE subscriptions
            SET status = 'active', payment_id = $3, activate_time = now()
            WHERE user_id = $1 AND id = ANY ($2) AND status <> 'active'
            RETURNING id
        )

        INSERT INTO provisions (subscription_id, payment_id, event_id)
        SELECT id, $3, $4 FROM activated
        RETURNING subscription_id
        """,
        user_id,
        list(ids),
        payment_id,
        event_id,
    )
    return {row["subscription_id"] for row in rows}


async def close(
    connection: Connection, user_id: str, ids: Sequence[UUID], payment_id: UUID, status: str
) -> None:
    """Set the subscriptions of a failed payment to `status`, and detach them from it."""
    await connection.execute(
        """
        UPDATE subscriptions
        SET status = $4, payment_id = NULL
        WHERE
            user_id = $1 AND id = ANY ($2) AND status = 'pending_payment'
            AND (payment_id IS NULL OR payment_id = $3)
        """,
        user_id,
        list(ids),
        payment_id,
        status,
    )


async def notify(
    connection: Connection, user_id: str, payment_id: UUID, kind: str, message: str
) -> None:
    """Store a notification for the user."""
    await connection.execute(
        """
        INSERT INTO notifications (user_id, payment_id, kind, message) VALUES ($1, $2, $3, $4)
        """,
        user_id,
        payment_id,
        kind,
        message,
    )


async def notifications_of(connection: Connection, user_id: str) -> list[dict[str, Any]]:
    """The newest first."""
    rows = await connection.fetch(
        """
        SELECT kind, message, payment_id, create_time FROM notifications
        WHERE user_id = $1 ORDER BY id DESC LIMIT 50
        """,
        user_id,
    )
    return [dict(row) for row in rows]


def _subscription(row: Any) -> Subscription:
    return Subscription(**{field.name: row[field.name] for field in attrs.fields(Subscription)})
