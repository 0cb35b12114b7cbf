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
_SUBSCRIPTIONS = """
    SELECT subscriptions.*, coalesce(refund_requests.status, '') AS refund
    FROM subscriptions LEFT JOIN refund_requests USING (payment_id)
"""


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
    end_time: datetime | None
    #: What became of the customer's wish for the money: empty, requested, granted or refused.
    refund: str

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


async def add_user(
    connection: Connection, user_id: str, token: str, *, is_staff: bool = False
) -> None:
    """Create a user or replace the token."""
    await connection.execute(
        """
        INSERT INTO users (id, token_hash, is_staff) VALUES ($1, $2, $3)
        ON CONFLICT (id) DO UPDATE
        SET token_hash = excluded.token_hash, is_staff = excluded.is_staff
        """,
        user_id,
        _hash(token),
        is_staff,
    )


async def user_of(connection: Connection, token: str) -> str | None:
    """Find the user of a token; None for an unknown one."""
    user_id: str | None = await connection.fetchval(
        "SELECT id FROM users WHERE token_hash = $1", _hash(token)
    )
    return user_id


async def is_staff(connection: Connection, user_id: str) -> bool:
    """Whether the user is an employee of the shop."""
    return bool(await connection.fetchval("SELECT is_staff FROM users WHERE id = $1", user_id))


async def has_user(connection: Connection, user_id: str) -> bool:
    """Whether the user exists."""
    return bool(await connection.fetchval("SELECT true FROM users WHERE id = $1", user_id))


# -- refunds -------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class RefundWish:
    """One row of `refund_requests`."""

    payment_id: UUID
    user_id: str
    status: str
    attempt: int
    refund_id: UUID | None
    create_time: datetime

    @property
    def key(self) -> str:
        """Idempotency key of its refund: another one after a refund that failed."""
        return f"refund-{self.payment_id}-{self.attempt}"


async def request_refund(connection: Connection, user_id: str, payment_id: UUID) -> None:
    """Store that the customer wants the money of this payment back. Idempotent."""
    await connection.execute(
        """
        INSERT INTO refund_requests (payment_id, user_id) VALUES ($1, $2)
        ON CONFLICT DO NOTHING
        """,
        payment_id,
        user_id,
    )


async def open_refund_wishes(connection: Connection) -> list[RefundWish]:
    """List what an employee has to decide, or to grant again because payd did not answer."""
    rows = await connection.fetch(
        """
        SELECT * FROM refund_requests WHERE status <> 'refused' AND refund_id IS NULL
        ORDER BY create_time, payment_id LIMIT 200
        """
    )
    return [_wish(row) for row in rows]


async def grant(connection: Connection, payment_id: UUID) -> RefundWish | None:
    """Grant a wish, or find it granted; None for one that is refused or unknown."""
    row = await connection.fetchrow(
        """
        UPDATE refund_requests SET status = 'granted'
        WHERE payment_id = $1 AND status <> 'refused' RETURNING *
        """,
        payment_id,
    )
    return _wish(row) if row else None


async def refuse(connection: Connection, payment_id: UUID) -> RefundWish | None:
    """Refuse a wish, or find it refused; None for one that is granted or unknown."""
    row = await connection.fetchrow(
        """
        UPDATE refund_requests SET status = 'refused'
        WHERE payment_id = $1 AND status <> 'granted' RETURNING *
        """,
        payment_id,
    )
    return _wish(row) if row else None


async def take_back_grant(connection: Connection, wish: RefundWish) -> None:
    """Let a wish wait again: payd refused its refund."""
    await connection.execute(
        """
        UPDATE refund_requests SET status = 'requested'
        WHERE payment_id = $1 AND attempt = $2 AND refund_id IS NULL
        """,
        wish.payment_id,
        wish.attempt,
    )


async def record_refund(connection: Connection, wish: RefundWish, refund_id: UUID) -> None:
    """Store the refund, unless an event has already told that it failed."""
    await connection.execute(
        "UPDATE refund_requests SET refund_id = $3 WHERE payment_id = $1 AND attempt = $2",
        wish.payment_id,
        wish.attempt,
        refund_id,
    )


async def fail_refund(connection: Connection, payment_id: UUID, key: str) -> None:
    """Let the wish of a failed refund wait again, with another key."""
    await connection.execute(
        """
        UPDATE refund_requests
        SET status = 'requested', refund_id = NULL, attempt = attempt + 1
        WHERE payment_id = $1 AND 'refund-' || payment_id || '-' || attempt = $2
        """,
        payment_id,
        key,
    )


async def end(
    connection: Connection, user_id: str, ids: Sequence[UUID], payment_id: UUID, event_id: UUID
) -> set[UUID]:
    """End what this payment bought; stop and return those that were active.

    One that was not activated yet must not be later, by an event that was put aside.
    """
    rows = await connection.fetch(
        """
        WITH ended AS (
            UPDATE subscriptions SET status = 'ended', payment_id = $3, end_time = now()
            WHERE
                user_id = $1 AND id = ANY ($2) AND status IN ('active', 'pending_payment')
                AND (payment_id = $3 OR payment_id IS NULL)
            RETURNING id, activate_time
        )

        INSERT INTO terminations (subscription_id, payment_id, event_id)
        SELECT id, $3, $4 FROM ended WHERE activate_time IS NOT NULL
        RETURNING subscription_id
        """,
        user_id,
        list(ids),
        payment_id,
        event_id,
    )
    return {row["subscription_id"] for row in rows}


def _wish(row: Any) -> RefundWish:
    return RefundWish(**row)


# -- subscriptions -----------------------------------------------------------------------------


async def subscriptions_of(connection: Connection, user_id: str) -> list[Subscription]:
    """List all subscriptions of a user, newest first."""
    rows = await connection.fetch(
        f"""
        {_SUBSCRIPTIONS} WHERE subscriptions.user_id = $1
        ORDER BY subscriptions.create_time DESC, id LIMIT 200
        """,
        user_id,
    )
    return [_subscription(row) for row in rows]


async def subscriptions_by_id(
    connection: Connection, user_id: str, ids: Sequence[UUID]
) -> dict[UUID, Subscription]:
    """Read these subscriptions of the user; those of other users are left out."""
    rows = await connection.fetch(
        f"{_SUBSCRIPTIONS} WHERE subscriptions.user_id = $1 AND id = ANY ($2)",
        user_id,
        list(ids),
    )
    return {row["id"]: _subscription(row) for row in rows}


async def reserve(connection: Connection, user_id: str, ids: Sequence[UUID], key: str) -> set[UUID]:
    """Reserve subscriptions for a payment with this key; a repeated key reserves them again.

    Returns those that could be reserved.

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
        RETURNING id
        """,  # noqa: S608 - a constant of ours
        user_id,
        list(ids),
        key,
    )
    return {row["id"] for row in rows}


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
            WHERE user_id = $1 AND id = ANY ($2) AND status NOT IN ('active', 'ended')
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
