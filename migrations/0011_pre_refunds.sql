-- Refunds and disputes of payments, and what a person has to look at since when. The previous
-- version of payd reads and writes none of it: it goes on taking payments beside this version.

CREATE TABLE refunds (
    id uuid PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payments (id),
    provider text NOT NULL,
    status text NOT NULL,
    amount numeric(78, 0) NOT NULL,
    external boolean NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    reason text NOT NULL,
    destination text NOT NULL,
    requester text NOT NULL,
    request_id text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    complete_time timestamptz,
    asking text NOT NULL,
    ask_deadline timestamptz,
    provider_reference text,
    next_action jsonb,
    failure_code text,
    failure_message text,
    looks integer NOT NULL,
    next_look_time timestamptz,
    CONSTRAINT refund_status_is_known CHECK (
        status IN (
            'AWAITING_APPROVAL', 'CREATING', 'PENDING', 'AWAITING_TRANSFER',
            'SUCCEEDED', 'FAILED', 'CANCELED'
        )
    ),
    CONSTRAINT only_open_refunds_are_looked_at CHECK (
        next_look_time IS NULL OR status IN ('CREATING', 'PENDING')
    )
) WITH (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.01,
    vacuum_index_cleanup = on
);

CREATE TABLE disputes (
    provider text NOT NULL,
    id text NOT NULL,
    payment_id uuid NOT NULL REFERENCES payments (id),
    status text NOT NULL,
    asset text NOT NULL,
    amount numeric(78, 0) NOT NULL,
    reason text NOT NULL,
    open_time timestamptz NOT NULL,
    as_of timestamptz NOT NULL,
    evidence_due_time timestamptz,
    PRIMARY KEY (provider, id),
    CONSTRAINT dispute_status_is_known CHECK (
        status IN (
            'INQUIRY', 'INQUIRY_CLOSED', 'NEEDS_RESPONSE', 'UNDER_REVIEW',
            'WITHDRAWN', 'WON', 'LOST'
        )
    )
);

ALTER TABLE payments
    -- What the provider keeps of the money, in the unit of what is due.
    ADD COLUMN fee numeric(78, 0),
    -- The reasons of `attention`, open and resolved. The previous version changes `attention` only.
    ADD COLUMN attention_records jsonb NOT NULL DEFAULT '[]',
    -- Since when the oldest reason is open.
    ADD COLUMN attention_since timestamptz,
    -- Whether it has refunds or disputes. Without, these tables are not read.
    ADD COLUMN money_goes_back boolean NOT NULL DEFAULT false;

-- What the event is about besides the payment: the id of a refund or of a dispute.
ALTER TABLE outbox ADD COLUMN about text NOT NULL DEFAULT '';
