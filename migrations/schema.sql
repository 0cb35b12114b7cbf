-- The current schema, for reading. A test checks that it equals the result of the migrations.
-- Amounts are integers: bigint for minor units, numeric(78,0) where base units are possible.

CREATE TABLE customers (
    id text PRIMARY KEY,
    wallet_address text NOT NULL,
    email text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CONSTRAINT customer_id_has_length CHECK (length(id) BETWEEN 1 AND 128)
);

CREATE INDEX customers_by_email ON customers (lower(email)) WHERE email <> '';

CREATE TABLE payments (
    id uuid PRIMARY KEY,
    version integer NOT NULL,
    status text NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    customer_id text NOT NULL REFERENCES customers (id),
    method text NOT NULL,
    provider text NOT NULL,
    currency_code text NOT NULL,
    amount_minor_units bigint NOT NULL,
    crypto_currency text,
    chain_id numeric(20, 0),
    token_address text,
    token_decimals smallint,
    due_base_units numeric(78, 0),
    subscription_ids text[] NOT NULL,
    return_url text NOT NULL,
    cancel_url text NOT NULL,
    metadata jsonb NOT NULL,
    pricing_version text NOT NULL,
    request_id text NOT NULL,
    traceparent text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    complete_time timestamptz,
    close_time timestamptz,
    asking text NOT NULL,
    ask_deadline timestamptz,
    provider_reference text,
    aliases text[] NOT NULL,
    next_action jsonb,
    provider_status text,
    provider_status_time timestamptz,
    snapshot_received numeric(78, 0) NOT NULL,
    snapshot_confirmed numeric(78, 0) NOT NULL,
    snapshot_refunded numeric(78, 0) NOT NULL,
    attention text[] NOT NULL,
    failure_code text,
    failure_message text,
    late boolean NOT NULL,
    looks integer NOT NULL,
    next_look_time timestamptz,
    -- When a caller last had payd ask the provider, by SyncPayment.
    sync_time timestamptz,
    -- Values that the provider's `prepare` added before the first create request.
    parameters jsonb NOT NULL DEFAULT '{}',
    -- Sums of its receipts by state and time, and the version to which they belong; null without.
    receipt_sums jsonb,
    -- What the provider keeps of the money, in the unit of what is due.
    fee numeric(78, 0),
    -- The reasons of `attention`, open and resolved. The previous version changes `attention` only.
    attention_records jsonb NOT NULL DEFAULT '[]',
    -- Since when the oldest reason is open.
    attention_since timestamptz,
    -- Whether it has refunds or disputes. Without, these tables are not read.
    money_goes_back boolean NOT NULL DEFAULT false,
    -- How far the chain of the payment goes: to `version`, unless the previous version changed it.
    audit_version integer NOT NULL DEFAULT 0,
    audit_hash bytea,
    CONSTRAINT one_payment_per_idempotency_key UNIQUE (idempotency_key),
    CONSTRAINT status_is_known CHECK (
        status IN (
            'CREATING', 'PENDING', 'PROCESSING', 'COMPLETED',
            'CANCELING', 'CANCELED', 'EXPIRED', 'FAILED'
        )
    ),
    CONSTRAINT amount_is_due CHECK (amount_minor_units > 0),
    CONSTRAINT token_terms_are_whole CHECK (
        num_nulls(crypto_currency, chain_id, token_address, token_decimals, due_base_units)
        IN (0, 5)
    ),
    CONSTRAINT completed_has_its_time CHECK ((status = 'COMPLETED') = (complete_time IS NOT NULL)),
    CONSTRAINT only_open_payments_are_looked_at CHECK (
        next_look_time IS NULL
        OR status IN ('CREATING', 'PENDING', 'PROCESSING', 'CANCELING')
    )
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.01,
    vacuum_index_cleanup = on
);

-- I2: a provider object belongs to one payment.
CREATE UNIQUE INDEX one_payment_per_provider_object
    ON payments (provider, provider_reference)
    WHERE provider_reference IS NOT NULL;

CREATE INDEX payments_by_alias ON payments USING gin (aliases) WITH (fastupdate = off)
    WHERE aliases <> '{}';

CREATE INDEX payments_due_for_a_look ON payments (next_look_time) WHERE next_look_time IS NOT NULL;

-- The previous version does not write attention_since.
CREATE INDEX payments_with_attention
    ON payments (attention_since, id) WHERE attention <> '{}' OR attention_since IS NOT NULL;

-- Lists by status, method and provider, together or alone, and of all payments: of each
-- combination the newest, of which there are few. An index with fewer columns of the same order
-- would be taken instead, and reads other kinds. Also for the comparison with a provider's list.
CREATE INDEX payments_by_kind ON payments (provider, method, status, create_time, id);

-- Lists by customer, and by e-mail through the customers that have it.
CREATE INDEX payments_by_customer ON payments (customer_id, create_time, id);

-- For the export of a period. Written once for a payment: completing it changes its status, which
-- is indexed, so that this update is never a HOT one, and no later update changes complete_time.
CREATE INDEX payments_by_completion
    ON payments (complete_time, id) WHERE complete_time IS NOT NULL;

-- Lists of payments with attention, newest first. Few payments have any.
CREATE INDEX newest_payments_with_attention
    ON payments (create_time, id) WHERE attention <> '{}' OR attention_since IS NOT NULL;

-- Lists of payments by subscription and by metadata, newest first. A payment has several of both,
-- and a B-tree has one entry a row. GIN has no order: it would read every payment with a common
-- pair. So each has a row here, written once: later versions of a payment do not touch it.
--
-- A label is a hash of "=SUBSCRIPTION" or "KEY=VALUE", so nothing personal stands here. Readers
-- compare the payment itself, too: different values may have the same hash.
CREATE TABLE payment_labels (
    label bigint NOT NULL,
    create_time timestamptz NOT NULL,
    payment_id uuid NOT NULL,
    PRIMARY KEY (label, create_time, payment_id)
);

CREATE FUNCTION labels_of(subscription_ids text[], metadata jsonb) RETURNS SETOF bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended('=' || id, 0) FROM unnest(subscription_ids) AS id
    UNION
    SELECT hashtextextended(key || '=' || value, 0) FROM jsonb_each_text(metadata)
$$;

CREATE FUNCTION label_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM payment_labels
        WHERE
            label = ANY (ARRAY(SELECT labels_of(old.subscription_ids, old.metadata)))
            AND create_time = old.create_time
            AND payment_id = old.id;
    END IF;
    INSERT INTO payment_labels (label, create_time, payment_id)
    SELECT label, new.create_time, new.id
    FROM labels_of(new.subscription_ids, new.metadata) AS label;
    RETURN NULL;
END
$$;

-- A trigger, so that payments of a daemon of the previous version have labels, too.
CREATE TRIGGER new_payments_are_labelled AFTER INSERT ON payments
    FOR EACH ROW EXECUTE FUNCTION label_payment();

-- payd never changes these columns. Erasing values from them erases their labels.
CREATE TRIGGER changed_payments_are_labelled
    AFTER UPDATE OF subscription_ids, metadata ON payments
    FOR EACH ROW EXECUTE FUNCTION label_payment();

CREATE TABLE payment_line_items (
    payment_id uuid NOT NULL REFERENCES payments (id),
    position smallint NOT NULL,
    chain_profile_id text NOT NULL,
    node_type text NOT NULL,
    duration text NOT NULL,
    unit_price_minor_units bigint NOT NULL,
    PRIMARY KEY (payment_id, position),
    CONSTRAINT price_is_positive CHECK (unit_price_minor_units > 0)
);

-- The ledger: every incoming transfer, once. A payment's totals are sums of its receipts, each
-- id once; a receipt without a payment waits for an operator.
CREATE TABLE receipts (
    provider text NOT NULL,
    id text NOT NULL,
    payment_id uuid REFERENCES payments (id),
    asset text NOT NULL,
    amount numeric(78, 0) NOT NULL,
    state text NOT NULL,
    time timestamptz NOT NULL,
    -- Reference in the transfer: a provider reference, a payment id, or nothing.
    reference text NOT NULL DEFAULT '',
    details jsonb NOT NULL DEFAULT '{}',
    store_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, id),
    CONSTRAINT receipt_state_is_known CHECK (state IN ('SEEN', 'DROPPED', 'HELD', 'CONFIRMED'))
) WITH (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.01,
    vacuum_index_cleanup = on
);

-- Receipts of a payment, by time.
CREATE INDEX receipts_of_payment ON receipts (payment_id, time);

-- Finds a payment by a transaction of a chain.
CREATE INDEX receipts_by_transaction
    ON receipts ((details ->> 'transaction')) WHERE details ->> 'transaction' IS NOT NULL;

-- Receipts that an operator must assign.
CREATE INDEX unmatched_receipts ON receipts (time DESC, id) WHERE payment_id IS NULL;

-- Receipts of a provider, matched or not, newest first.
CREATE INDEX receipts_by_time ON receipts (provider, (payment_id IS NULL), time, id);

CREATE FUNCTION refuse_receipt_of_another() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a receipt belongs to one payment' USING ERRCODE = 'serialization_failure';
END
$$;

-- Two payments may claim a receipt that was not in the ledger when both read it. The later claim
-- fails and is retried, and then finds the receipt assigned.
CREATE TRIGGER a_receipt_has_one_payment_for_ever
    BEFORE UPDATE ON receipts
    FOR EACH ROW
    WHEN (old.payment_id IS NOT NULL AND new.payment_id IS DISTINCT FROM old.payment_id)
    EXECUTE FUNCTION refuse_receipt_of_another();

-- Money that goes back. A refund is stored before the provider is asked for it, and reserves its
-- amount; refunds that were made at the provider are `external`.
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

-- I18: a key and a refund of the provider belong to one refund.
CREATE UNIQUE INDEX one_refund_per_idempotency_key
    ON refunds (idempotency_key) WHERE idempotency_key <> '';

CREATE UNIQUE INDEX one_refund_per_provider_object
    ON refunds (provider, provider_reference) WHERE provider_reference IS NOT NULL;

CREATE INDEX refunds_by_payment ON refunds (payment_id);

-- Finds a payment by the memo of the transfer that refunds it.
CREATE INDEX refunds_by_memo
    ON refunds ((next_action ->> 'memo')) WHERE next_action ->> 'memo' IS NOT NULL;

CREATE INDEX refunds_by_status ON refunds (status, create_time, id);

CREATE INDEX refunds_due_for_a_look ON refunds (next_look_time) WHERE next_look_time IS NOT NULL;

-- For the export of a period.
CREATE INDEX refunds_by_completion
    ON refunds (complete_time, id) WHERE complete_time IS NOT NULL;

-- Payments that the customer's bank takes back, or asks about.
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

CREATE INDEX disputes_by_payment ON disputes (payment_id);

-- For the export of a period: when the provider withdrew the money, and when it gave it back.
CREATE INDEX disputes_by_opening
    ON disputes (open_time) WHERE status NOT IN ('INQUIRY', 'INQUIRY_CLOSED');

CREATE INDEX disputes_by_return
    ON disputes (as_of) WHERE status IN ('WITHDRAWN', 'WON');

CREATE FUNCTION refuse_dispute_of_another() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a dispute belongs to one payment' USING ERRCODE = 'serialization_failure';
END
$$;

-- Two payments may report a dispute that nobody had when both looked. The later report fails and is
-- retried, and then finds the dispute assigned.
CREATE TRIGGER a_dispute_has_one_payment_for_ever
    BEFORE UPDATE ON disputes
    FOR EACH ROW
    WHEN (new.payment_id IS DISTINCT FROM old.payment_id)
    EXECUTE FUNCTION refuse_dispute_of_another();

-- Outgoing transfers of our accounts; they belong to no payment.
CREATE TABLE outflows (
    provider text NOT NULL,
    id text NOT NULL,
    asset text NOT NULL,
    amount numeric(78, 0) NOT NULL,
    time timestamptz NOT NULL,
    details jsonb NOT NULL,
    store_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, id)
);

-- Finds a payment by the transaction that refunded it.
CREATE INDEX outflows_by_transaction
    ON outflows ((details ->> 'transaction')) WHERE details ->> 'transaction' IS NOT NULL;

-- The audit trail: one row per version of a payment; replaying the details gives the stored row.
CREATE TABLE payment_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payments (id),
    version integer NOT NULL,
    event_type text NOT NULL,
    actor text NOT NULL,
    request_id text NOT NULL,
    ip text NOT NULL,
    -- Of rows of the previous version, until they are chained. Later ones have them in `content`.
    details jsonb,
    create_time timestamptz NOT NULL,
    -- From the caller's certificate; `actor` and `ip` are the caller's own claims.
    certificate text NOT NULL DEFAULT '',
    peer text NOT NULL DEFAULT '',
    -- All of the row as canonical JSON, as it was hashed.
    content text,
    -- SHA-256 of the hash of the row before and of `content`; none until the row is chained.
    hash bytea,
    -- The transaction that chained it: checkpoints find by it what is new.
    chain_xid bigint,
    CONSTRAINT one_audit_row_per_version UNIQUE (payment_id, version)
);

-- Rows from before these constraints were not checked again.
ALTER TABLE payment_events
    ADD CONSTRAINT content_or_details CHECK (num_nonnulls(content, details) = 1) NOT VALID,
    ADD CONSTRAINT chained_with_content CHECK (
        num_nulls(hash, chain_xid) IN (0, 2) AND (hash IS NULL OR content IS NOT NULL)
    ) NOT VALID;

-- Rows that are not chained yet: those of the previous version, until `payd migrate --post`.
CREATE INDEX payment_events_to_chain ON payment_events (payment_id, version) WHERE hash IS NULL;

-- What was chained since a checkpoint. Rows are added in about this order, so that a few bytes for
-- each 32 pages are enough.
CREATE INDEX payment_events_by_chain_xid
    ON payment_events USING brin (chain_xid) WITH (pages_per_range = 32, autosummarize = on);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payment_events is append-only';
END
$$;

CREATE TRIGGER payment_events_are_append_only
    BEFORE
    DELETE OR TRUNCATE
    OR UPDATE OF id, payment_id, version, event_type, actor, request_id, certificate, create_time
    ON payment_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Personal values stand apart from the audit trail, which only has commitments to them. Erasing a
-- customer's data deletes rows here, and the trail stays as it is.
CREATE TABLE payment_personal_values (
    payment_id uuid NOT NULL,
    version integer NOT NULL,
    salt bytea NOT NULL,
    value jsonb NOT NULL,
    PRIMARY KEY (payment_id, version)
);

-- Besides the addresses of the caller, which may go, a row changes at most twice, both before it is
-- chained: its personal values are put apart, and it gets its content and its hash.
CREATE FUNCTION refuse_other_details() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF
        new.ip IN ('', old.ip)
        AND new.peer IN ('', old.peer)
        AND (
            (new.details, new.content, new.hash, new.chain_xid)
            IS NOT DISTINCT FROM (old.details, old.content, old.hash, old.chain_xid)
            OR (
                NOT old.details ? 'personal'
                AND new.details ? 'personal'
                AND num_nonnulls(new.content, new.hash) = 0
            )
            OR (
                old.hash IS NULL
                AND new.hash IS NOT NULL
                AND coalesce(old.content, new.content) = new.content
            )
        )
    THEN
        RETURN new;
    END IF;
    RAISE EXCEPTION 'payment_events is append-only';
END
$$;

CREATE TRIGGER personal_values_may_go BEFORE UPDATE ON payment_events
    FOR EACH ROW EXECUTE FUNCTION refuse_other_details();

-- What was signed about the heads of the chains that had changed since the checkpoint before.
CREATE TABLE audit_checkpoints (
    number integer PRIMARY KEY,
    line text NOT NULL
);

CREATE FUNCTION refuse_other_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_checkpoints is append-only';
END
$$;

CREATE TRIGGER audit_checkpoints_are_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_checkpoint();

-- The inbox: evidence, stored before it is applied.
CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    event_id text NOT NULL,
    content_hash bytea NOT NULL,
    report jsonb NOT NULL,
    receive_time timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    locked_until timestamptz NOT NULL DEFAULT '-infinity',
    settle_time timestamptz,
    outcome text,
    -- The body as received, until raw_retention has passed.
    raw_body bytea,
    -- The span of the webhook that brought it, as W3C Trace Context writes it; empty without one.
    traceparent text NOT NULL DEFAULT '',
    CONSTRAINT one_inbox_row_per_content UNIQUE (provider, event_id, content_hash),
    CONSTRAINT settled_with_an_outcome CHECK ((settle_time IS NULL) = (outcome IS NULL))
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.01,
    vacuum_index_cleanup = on
);

-- Evidence in order per provider, so that one provider's flood does not delay the others.
CREATE INDEX inbox_of_provider_to_settle ON inbox (provider, id) WHERE settle_time IS NULL;

-- Finds unsettled evidence of a payment.
CREATE INDEX inbox_waiting ON inbox (provider, (report ->> 'reference'))
    WHERE settle_time IS NULL;

-- The same under the second name that some evidence has.
CREATE INDEX inbox_waiting_also ON inbox (provider, (report ->> 'also'))
    WHERE settle_time IS NULL AND report ->> 'also' IS NOT NULL;

-- Finds webhook bodies to delete after raw_retention.
CREATE INDEX inbox_raw_bodies ON inbox (receive_time) WHERE raw_body IS NOT NULL;

-- Position and time of the next scan of a provider's lists; `next_time` is also its lease.
CREATE TABLE provider_cursors (
    provider text NOT NULL,
    name text NOT NULL,
    value text,
    next_time timestamptz NOT NULL,
    PRIMARY KEY (provider, name)
);

-- Leases for tasks that only one daemon may run; a writer with an older fence is refused.
CREATE TABLE leases (
    name text PRIMARY KEY,
    fence bigint NOT NULL,
    acquire_time timestamptz NOT NULL
);

-- Reconciliations: each comparison with a provider, and its findings.
CREATE TABLE reconciliations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    objects integer NOT NULL,
    payments integer NOT NULL,
    findings jsonb NOT NULL
);

CREATE INDEX reconciliations_by_time ON reconciliations (end_time);

-- The outbox: events, published at least once and in order per payment.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL,
    payment_id uuid NOT NULL REFERENCES payments (id),
    subject text NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    create_time timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    locked_until timestamptz NOT NULL DEFAULT '-infinity',
    last_error text,
    publish_time timestamptz,
    -- What the event is about besides the payment: the id of a refund or of a dispute.
    about text NOT NULL DEFAULT '',
    CONSTRAINT one_outbox_row_per_event UNIQUE (event_id)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.01,
    vacuum_index_cleanup = on
);

-- I3: at most one event of a subject about a payment, about a refund, and about a dispute.
CREATE UNIQUE INDEX one_event_per_subject_matter
    ON outbox (payment_id, subject, about) WHERE subject <> 'payment.attention';

CREATE INDEX outbox_to_publish ON outbox (id) WHERE publish_time IS NULL;

-- Finds the event before an event of a payment, published or not.
CREATE INDEX outbox_by_payment ON outbox (payment_id, id);

CREATE INDEX outbox_by_publish_time ON outbox (publish_time) WHERE publish_time IS NOT NULL;

-- Running sums of the ledger by provider, side and asset, so that an audit need not read every
-- receipt. Each statement that changes receipts or outflows appends its change in the same
-- transaction; maintenance adds the changes to the sums, so payments never wait for each other's
-- row. Triggers do it, so that daemons of an older version take part.

CREATE TABLE ledger_sums (
    provider text NOT NULL,
    side text NOT NULL,
    asset text NOT NULL,
    units numeric NOT NULL,
    PRIMARY KEY (provider, side, asset),
    CONSTRAINT ledger_side_is_known CHECK (side IN ('received', 'outflows'))
);

CREATE TABLE ledger_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    side text NOT NULL,
    asset text NOT NULL,
    units numeric NOT NULL,
    CONSTRAINT ledger_change_side_is_known CHECK (side IN ('received', 'outflows'))
);

-- Count only final receipts. Lower-case the asset: token addresses are hex in either case.
CREATE FUNCTION count_receipts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'received', lower(asset), sum(amount)
        FROM added WHERE state = 'CONFIRMED' GROUP BY provider, lower(asset);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'received', lower(asset), -sum(amount)
        FROM removed WHERE state = 'CONFIRMED' GROUP BY provider, lower(asset);
    ELSE
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'received', asset, sum(units)
        FROM (
            SELECT provider, lower(asset) AS asset, amount AS units
            FROM added WHERE state = 'CONFIRMED'
            UNION ALL
            SELECT provider, lower(asset), -amount
            FROM removed WHERE state = 'CONFIRMED'
        ) AS both_sides
        GROUP BY provider, asset HAVING sum(units) <> 0;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_outflows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'outflows', lower(asset), sum(amount)
        FROM added GROUP BY provider, lower(asset);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'outflows', lower(asset), -sum(amount)
        FROM removed GROUP BY provider, lower(asset);
    ELSE
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'outflows', asset, sum(units)
        FROM (
            SELECT provider, lower(asset) AS asset, amount AS units FROM added
            UNION ALL
            SELECT provider, lower(asset), -amount FROM removed
        ) AS both_sides
        GROUP BY provider, asset HAVING sum(units) <> 0;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER added_receipts_are_counted AFTER INSERT ON receipts
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_receipts();

CREATE TRIGGER changed_receipts_are_counted AFTER UPDATE ON receipts
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_receipts();

CREATE TRIGGER removed_receipts_are_counted AFTER DELETE ON receipts
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_receipts();

CREATE TRIGGER added_outflows_are_counted AFTER INSERT ON outflows
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_outflows();

CREATE TRIGGER changed_outflows_are_counted AFTER UPDATE ON outflows
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_outflows();

CREATE TRIGGER removed_outflows_are_counted AFTER DELETE ON outflows
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_outflows();

-- Correct the sums to match the rows. The comparison is one statement with one snapshot: a
-- concurrent transaction is on neither side of it, and appends its own change. So it locks no table
-- and may run at any time. The advisory lock lasts until the end of the transaction: of two
-- concurrent recounts, the second sees the first one's correction and does not repeat it (READ
-- COMMITTED, the default). The lock number is arbitrary; only this function uses it.
CREATE FUNCTION recount_ledger() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7041989002);
    INSERT INTO ledger_changes (provider, side, asset, units)
    SELECT provider, side, asset, sum(units)
    FROM (
        SELECT provider, 'received' AS side, lower(asset) AS asset, amount AS units
        FROM receipts WHERE state = 'CONFIRMED'
        UNION ALL
        SELECT provider, 'outflows', lower(asset), amount FROM outflows
        UNION ALL
        SELECT provider, side, asset, -units FROM ledger_sums
        UNION ALL
        SELECT provider, side, asset, -units FROM ledger_changes
    ) AS entries
    GROUP BY provider, side, asset HAVING sum(units) <> 0;
END
$$;

-- Payments and their amounts by day of creation, method, status and currency, so that an overview
-- reads a few rows however many payments there are. Each new payment and each change of a status
-- appends what it changed, in its own transaction; maintenance folds these changes into the sums.
-- No row is updated by two payments at once. Triggers do it, so that a daemon of an older version
-- counts, too.

CREATE TABLE payment_sums (
    day date NOT NULL,
    method text NOT NULL,
    status text NOT NULL,
    currency_code text NOT NULL,
    payments bigint NOT NULL,
    minor_units numeric NOT NULL,
    PRIMARY KEY (day, method, status, currency_code)
);

CREATE TABLE payment_sum_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day date NOT NULL,
    method text NOT NULL,
    status text NOT NULL,
    currency_code text NOT NULL,
    payments bigint NOT NULL,
    minor_units numeric NOT NULL
);

-- Days are those of UTC.
CREATE FUNCTION count_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO payment_sum_changes (day, method, status, currency_code, payments, minor_units)
        VALUES (
            (new.create_time AT TIME ZONE 'UTC')::date, new.method, new.status, new.currency_code,
            1, new.amount_minor_units
        );
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO payment_sum_changes (day, method, status, currency_code, payments, minor_units)
        VALUES (
            (old.create_time AT TIME ZONE 'UTC')::date, old.method, old.status, old.currency_code,
            -1, -old.amount_minor_units
        );
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER new_payments_are_counted AFTER INSERT ON payments
    FOR EACH ROW EXECUTE FUNCTION count_payment();

-- By row: a statement's table of changed rows would be a copy of every changed payment, and most
-- changes leave the status as it is.
CREATE TRIGGER changed_payments_are_counted AFTER UPDATE OF status ON payments
    FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION count_payment();

CREATE TRIGGER removed_payments_are_counted AFTER DELETE ON payments
    FOR EACH ROW EXECUTE FUNCTION count_payment();

-- Correct the sums to match the rows, as recount_ledger() does: one statement with one snapshot, so
-- it locks no table and may run at any time; of two at once the second sees what the first
-- corrected. The lock number is arbitrary; only this function uses it.
CREATE FUNCTION recount_payments() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7041989023);
    INSERT INTO payment_sum_changes (day, method, status, currency_code, payments, minor_units)
    SELECT day, method, status, currency_code, sum(payments), sum(minor_units)
    FROM (
        SELECT
            (create_time AT TIME ZONE 'UTC')::date AS day, method, status, currency_code,
            1 AS payments, amount_minor_units AS minor_units
        FROM payments
        UNION ALL
        SELECT day, method, status, currency_code, -payments, -minor_units FROM payment_sums
        UNION ALL
        SELECT day, method, status, currency_code, -payments, -minor_units
        FROM payment_sum_changes
    ) AS entries
    GROUP BY day, method, status, currency_code
    HAVING sum(payments) <> 0 OR sum(minor_units) <> 0;
END
$$;

-- Tags name payments where a remote side has room for 48 bits only, as in an address for each
-- payment. payd takes blocks of 64 numbers, and permutes them with the key. NO CYCLE: after 2^48
-- tags a payment fails, instead of receiving the money of an old one.
CREATE SEQUENCE payment_tag_blocks AS bigint MINVALUE 0 MAXVALUE 4398046511103 NO CYCLE;

-- The key never changes: with another one, old tags would be given out again.
CREATE TABLE payment_tag_key (
    is_the_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    key uuid NOT NULL DEFAULT gen_random_uuid()
);

-- Each time that a backup was read into this database. Until it is released, no daemon sends: it
-- creates nothing at a provider and publishes no event.
CREATE TABLE restores (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hold_time timestamptz NOT NULL DEFAULT now(),
    -- When the newest change in the backup was made; what came later is lost.
    newest_change_time timestamptz,
    -- How far scans, comparisons and watches had read: PROVIDER/NAME of the cursor → its value.
    cursors jsonb NOT NULL,
    release_time timestamptz,
    -- True until it is released, then null: one restore at a time is held.
    is_held boolean DEFAULT true CHECK (is_held),
    CONSTRAINT one_restore_is_held UNIQUE (is_held)
);
