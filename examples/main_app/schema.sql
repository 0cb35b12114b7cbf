-- Tables of the main app. payd has its own database; the two share only ids.

CREATE TABLE IF NOT EXISTS users (
    -- Also the customer id at payd.
    id text PRIMARY KEY,
    -- SHA-256 of the token; only the user has the token itself.
    token_hash bytea NOT NULL UNIQUE,
    -- An employee of the shop, who may grant refunds.
    is_staff boolean NOT NULL DEFAULT false,
    create_time timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE users ADD COLUMN IF NOT EXISTS is_staff boolean NOT NULL DEFAULT false;

CREATE TABLE IF NOT EXISTS subscriptions (
    id uuid PRIMARY KEY,
    user_id text NOT NULL REFERENCES users (id),
    chain_profile_id text NOT NULL,
    node_type text NOT NULL,
    duration text NOT NULL,
    status text NOT NULL DEFAULT 'pending_payment',
    -- The payment in progress, or the one that paid.
    payment_id uuid,
    -- Reserved while its payment is being started; expires if the main app dies.
    reserved_by text,
    reserved_until timestamptz,
    create_time timestamptz NOT NULL DEFAULT now(),
    activate_time timestamptz,
    -- When its payment had gone back in full.
    end_time timestamptz
);

-- Tables of an earlier version of the shop know no refunds.
ALTER TABLE subscriptions ADD COLUMN IF NOT EXISTS end_time timestamptz;
ALTER TABLE subscriptions
DROP CONSTRAINT IF EXISTS subscriptions_status_check,
ADD CONSTRAINT subscriptions_status_check
CHECK (status IN ('pending_payment', 'active', 'canceled', 'ended'));

CREATE INDEX IF NOT EXISTS subscriptions_by_user ON subscriptions (user_id, create_time);
CREATE INDEX IF NOT EXISTS subscriptions_by_payment ON subscriptions (payment_id);

-- One row per POST that led to a payment: a repeated key gets its response from here.
CREATE TABLE IF NOT EXISTS checkouts (
    user_id text NOT NULL REFERENCES users (id),
    idempotency_key text NOT NULL,
    request_hash bytea NOT NULL,
    payment_id uuid NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, idempotency_key)
);

-- Events of payd that took effect. Written in the transaction of the effect, and kept for ever:
-- this is what makes "at least once" into once.
CREATE TABLE IF NOT EXISTS handled_events (
    event_id uuid PRIMARY KEY,
    event_type text NOT NULL,
    payment_id uuid NOT NULL,
    handle_time timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS handled_events_by_payment ON handled_events (payment_id);

-- Stands for work that must not be done twice, such as starting a machine.
CREATE TABLE IF NOT EXISTS provisions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id uuid NOT NULL REFERENCES subscriptions (id),
    payment_id uuid NOT NULL,
    event_id uuid NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);

-- Stands for work that must not be done twice, such as stopping a machine.
CREATE TABLE IF NOT EXISTS terminations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id uuid NOT NULL REFERENCES subscriptions (id),
    payment_id uuid NOT NULL,
    event_id uuid NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);

-- One row per payment whose customer asked for the money back.
CREATE TABLE IF NOT EXISTS refund_requests (
    payment_id uuid PRIMARY KEY,
    user_id text NOT NULL REFERENCES users (id),
    status text NOT NULL DEFAULT 'requested'
    CHECK (status IN ('requested', 'granted', 'refused')),
    -- Part of the refund's idempotency key: another one after a refund that failed.
    attempt integer NOT NULL DEFAULT 1,
    -- payd's id of the refund, once payd has answered.
    refund_id uuid,
    create_time timestamptz NOT NULL DEFAULT now()
);

-- Notifications for users and for the shop's employees.
CREATE TABLE IF NOT EXISTS notifications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL,
    payment_id uuid NOT NULL,
    kind text NOT NULL,
    message text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS notifications_by_user ON notifications (user_id, id);

ALTER TABLE notifications
DROP CONSTRAINT IF EXISTS notifications_kind_check,
ADD CONSTRAINT notifications_kind_check CHECK (kind IN ('failed', 'attention', 'refund'));
