-- Tables of the main app. payd has its own database; the two share only ids.

CREATE TABLE IF NOT EXISTS users (
    -- Also the customer id at payd.
    id text PRIMARY KEY,
    -- SHA-256 of the token; only the user has the token itself.
    token_hash bytea NOT NULL UNIQUE,
    create_time timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS subscriptions (
    id uuid PRIMARY KEY,
    user_id text NOT NULL REFERENCES users (id),
    chain_profile_id text NOT NULL,
    node_type text NOT NULL,
    duration text NOT NULL,
    status text NOT NULL DEFAULT 'pending_payment'
    CHECK (status IN ('pending_payment', 'active', 'canceled')),
    -- The payment in progress, or the one that paid.
    payment_id uuid,
    -- Reserved while its payment is being started; expires if the main app dies.
    reserved_by text,
    reserved_until timestamptz,
    create_time timestamptz NOT NULL DEFAULT now(),
    activate_time timestamptz
);

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

-- Notifications for users and for the shop's employees.
CREATE TABLE IF NOT EXISTS notifications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL,
    payment_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('failed', 'attention')),
    message text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS notifications_by_user ON notifications (user_id, id);
