-- Every statement that payd runs, by name, with named parameters.
-- The isolation level is READ COMMITTED: each statement is a transaction of its own, and
-- compare-and-set on payments.version decides between two writers.

-- insert_payments --
-- Insert payments with items, customers and audit rows in one round trip.
-- Of two transactions with one idempotency key, the unique index makes the second wait for the
-- first one's commit and then insert nothing.
-- Keys are inserted in order, customers locked and inserted in order of their ids, which prevents
-- most deadlocks between batches. PostgreSQL does not define the order in which the parts of one
-- statement write, so a deadlock is still possible; the statement is then run again.
-- `audits` are the bytes of the audit rows, one for each payment: they are hashed as they come.
WITH given AS MATERIALIZED (
    SELECT g.*, g.content::jsonb AS audit
    FROM
        ROWS FROM (
            jsonb_to_recordset(:payments::jsonb) AS (customer jsonb, personal jsonb),
            unnest(:audits::text[])
        ) WITH ORDINALITY AS g (customer, personal, content, number)
),

wanted AS MATERIALIZED (
    SELECT w.customer, w.audit, w.content, w.personal, w.number, p.*
    FROM
        given AS w,
        -- The row of the audit trail, and what stands apart from it.
        jsonb_populate_record(
            NULL::payments,
            (w.audit #> '{details,row}') || coalesce(w.personal #> '{value,row}', '{}')
        ) AS p
),

inserted AS (
    INSERT INTO payments (
        id, version, status, idempotency_key, request_hash, customer_id, method, provider,
        currency_code, amount_minor_units, crypto_currency, chain_id, token_address,
        token_decimals, due_base_units, subscription_ids, return_url, cancel_url, metadata,
        parameters, pricing_version, request_id, traceparent, create_time, update_time,
        expire_time, complete_time, close_time, asking, ask_deadline, provider_reference, aliases,
        next_action,
        provider_status, provider_status_time, snapshot_received, snapshot_confirmed,
        snapshot_refunded, attention, failure_code, failure_message, late, looks, next_look_time,
        audit_version, audit_hash
    )
    SELECT
        id, version, status, idempotency_key, request_hash, customer_id, method, provider,
        currency_code, amount_minor_units, crypto_currency, chain_id, token_address,
        token_decimals, due_base_units, subscription_ids, return_url, cancel_url, metadata,
        parameters, pricing_version, request_id, traceparent, create_time, update_time,
        expire_time, complete_time, close_time, asking, ask_deadline, provider_reference, aliases,
        next_action,
        provider_status, provider_status_time, snapshot_received, snapshot_confirmed,
        snapshot_refunded, attention, failure_code, failure_message, late, looks, next_look_time,
        version, sha256(convert_to(content, 'UTF8'))
    FROM wanted
    ORDER BY idempotency_key
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id, audit_hash AS hash
),

-- Each customer of the batch, with the last values that are not empty.
described AS MATERIALIZED (
    SELECT
        w.customer_id AS id,
        coalesce((
            array_agg(w.customer ->> 'wallet_address' ORDER BY w.number DESC)
            FILTER (WHERE w.customer ->> 'wallet_address' <> '')
        )[1], '') AS wallet_address,
        coalesce((
            array_agg(w.customer ->> 'email' ORDER BY w.number DESC)
            FILTER (WHERE w.customer ->> 'email' <> '')
        )[1], '') AS email,
        max(w.create_time) AS time
    FROM wanted AS w INNER JOIN inserted USING (id)
    GROUP BY w.customer_id
),

-- Customers whose row changes. An empty value keeps the stored one. The row of a returning customer
-- without changes is not locked, so that its payments do not wait for each other.
changing AS MATERIALIZED (
    SELECT c.id
    FROM customers AS c INNER JOIN described AS d ON c.id = d.id
    WHERE
        -- The array makes the planner look up each id: see commit_decisions.
        c.id = ANY (ARRAY(SELECT id FROM described))
        AND (
            (d.wallet_address <> '' AND d.wallet_address <> c.wallet_address)
            OR (d.email <> '' AND d.email <> c.email)
        )
    ORDER BY c.id
    FOR NO KEY UPDATE OF c
),

changed_customers AS (
    UPDATE customers AS c
    SET
        wallet_address = coalesce(nullif(d.wallet_address, ''), c.wallet_address),
        email = coalesce(nullif(d.email, ''), c.email),
        update_time = d.time
    FROM described AS d
    WHERE c.id = d.id AND c.id = ANY (ARRAY(SELECT id FROM changing))
),

-- A conflict means that another batch has just inserted the customer.
new_customers AS (
    INSERT INTO customers AS c (id, wallet_address, email, create_time, update_time)
    SELECT d.id, d.wallet_address, d.email, d.time, d.time
    FROM described AS d
    WHERE NOT EXISTS (SELECT 1 FROM customers AS known WHERE known.id = d.id)
    ORDER BY d.id
    ON CONFLICT (id) DO UPDATE
    SET
        wallet_address = coalesce(nullif(excluded.wallet_address, ''), c.wallet_address),
        email = coalesce(nullif(excluded.email, ''), c.email),
        update_time = excluded.update_time
),

items AS (
    INSERT INTO payment_line_items (
        payment_id, position, chain_profile_id, node_type, duration, unit_price_minor_units
    )
    SELECT
        w.id, i.position, i.chain_profile_id, i.node_type, i.duration, i.unit_price_minor_units
    FROM
        wanted AS w INNER JOIN inserted USING (id),
        jsonb_to_recordset(w.audit #> '{details,items}') AS i (
            position smallint, chain_profile_id text, node_type text, duration text,
            unit_price_minor_units bigint
        )
),

audited AS (
    INSERT INTO payment_events (
        payment_id, version, event_type, actor, request_id, ip, certificate, peer, content, hash,
        chain_xid, create_time
    )
    SELECT
        w.id, w.version, w.audit ->> 'event_type', w.audit ->> 'actor',
        w.audit ->> 'request_id', coalesce(w.personal #>> '{value,ip}', ''),
        w.audit ->> 'certificate', coalesce(w.personal #>> '{value,peer}', ''), w.content,
        inserted.hash, pg_current_xact_id()::text::bigint, w.create_time
    FROM wanted AS w INNER JOIN inserted USING (id)
),

kept_apart AS (
    INSERT INTO payment_personal_values (payment_id, version, salt, value)
    SELECT w.id, w.version, (w.personal ->> 'salt')::bytea, w.personal -> 'value'
    FROM wanted AS w INNER JOIN inserted USING (id)
    WHERE w.personal IS NOT NULL
)

SELECT id FROM inserted;

-- commit_decisions --
-- Write decisions, each completely or not at all: payment, audit row, receipts, outbox rows, inbox
-- marks. The row lock and the comparison of the version let one of two writers win; all other
-- writes are joined to the payments that were won. A batch contains a payment at most once.
-- All locks are taken before the first write, and always in this order: payments by id, then
-- receipts by id. So two batches with the same rows cannot deadlock.
-- `audits` are the bytes of the audit rows, one for each decision.
WITH decided AS MATERIALIZED (
    SELECT d.*, d.content::jsonb AS audit
    FROM
        ROWS FROM (
            jsonb_to_recordset(:decisions::jsonb) AS (
                id uuid, provider text, before_version integer, personal jsonb, receipts jsonb,
                events jsonb, inbox_ids bigint[]
            ),
            unnest(:audits::text[])
        ) AS d (
            id, provider, before_version, personal, receipts, events, inbox_ids, content
        )
),

-- here: written_decisions --

-- here: which_were_written --

-- commit_with_refunds --
-- As commit_decisions, for batches with refunds or disputes that are new or changed; the others do
-- without these parts, whose mere presence takes time. Refunds and disputes need no lock of their
-- own: only who has the payment's lock changes what is decided about them.
WITH asked AS MATERIALIZED (
    SELECT d.*, d.content::jsonb AS audit
    FROM
        ROWS FROM (
            jsonb_to_recordset(:decisions::jsonb) AS (
                id uuid, provider text, before_version integer, personal jsonb, receipts jsonb,
                refunds jsonb, disputes jsonb, events jsonb, inbox_ids bigint[]
            ),
            unnest(:audits::text[])
        ) AS d (
            id, provider, before_version, personal, receipts, refunds, disputes, events, inbox_ids,
            content
        )
),

-- What is stored under their keys, references and dispute ids. With arrays each value is looked up,
-- as in `current`.
same_key AS MATERIALIZED (
    SELECT id, idempotency_key FROM refunds
    WHERE
        idempotency_key = ANY (ARRAY(
            SELECT n.idempotency_key
            FROM asked, jsonb_to_recordset(asked.refunds) AS n (idempotency_key text)
        ))
        AND idempotency_key <> ''
),

same_reference AS MATERIALIZED (
    SELECT provider, provider_reference, payment_id FROM refunds
    WHERE
        provider = ANY (ARRAY(SELECT DISTINCT provider FROM asked))
        AND provider_reference = ANY (ARRAY(
            SELECT n.provider_reference
            FROM asked, jsonb_to_recordset(asked.refunds) AS n (provider_reference text)
        ))
),

same_dispute AS MATERIALIZED (
    SELECT provider, id, payment_id FROM disputes
    WHERE
        provider = ANY (ARRAY(SELECT DISTINCT provider FROM asked))
        AND id = ANY (ARRAY(
            SELECT n.id FROM asked, jsonb_to_recordset(asked.disputes) AS n (id text)
        ))
),

-- Not decisions with the idempotency key of another refund, or with the provider's reference of a
-- refund, or the dispute, of another payment. Within a payment a reference may pass on.
decided AS MATERIALIZED (
    SELECT * FROM asked
    WHERE
        NOT EXISTS (
            SELECT 1
            FROM
                jsonb_to_recordset(asked.refunds) AS n (id uuid, idempotency_key text)
                INNER JOIN same_key AS s USING (idempotency_key)
            WHERE s.id <> n.id
        )
        AND NOT EXISTS (
            SELECT 1
            FROM
                jsonb_to_recordset(asked.refunds) AS n (provider_reference text)
                INNER JOIN same_reference AS s USING (provider_reference)
            WHERE s.provider = asked.provider AND s.payment_id <> asked.id
        )
        AND NOT EXISTS (
            SELECT 1
            FROM
                jsonb_to_recordset(asked.disputes) AS n (id text)
                INNER JOIN same_dispute AS s USING (id)
            WHERE s.provider = asked.provider AND s.payment_id <> asked.id
        )
),

-- here: written_decisions --
,

-- If a refund elsewhere has got the key or the reference since, the unique index refuses it and the
-- statement is run again. In order of the keys, so that two batches do not wait for each other.
refunded AS (
    INSERT INTO refunds (
        id, payment_id, provider, status, amount, external, idempotency_key, request_hash, reason,
        destination, requester, request_id, create_time, update_time, complete_time, asking,
        ask_deadline, provider_reference, next_action, failure_code, failure_message, looks,
        next_look_time
    )
    SELECT
        r.id, d.id, w.provider, r.status, r.amount, r.external, r.idempotency_key, r.request_hash,
        r.reason, r.destination, r.requester, r.request_id, r.create_time, r.update_time,
        r.complete_time, r.asking, r.ask_deadline, r.provider_reference, r.next_action,
        r.failure_code, r.failure_message, r.looks, r.next_look_time
    FROM
        decided AS d INNER JOIN written AS w USING (id),
        jsonb_populate_recordset(NULL::refunds, d.refunds) AS r
    ORDER BY r.idempotency_key, r.provider_reference, r.id
    ON CONFLICT (id) DO UPDATE
    SET
        status = excluded.status, amount = excluded.amount, create_time = excluded.create_time,
        update_time = excluded.update_time, complete_time = excluded.complete_time,
        asking = excluded.asking, ask_deadline = excluded.ask_deadline,
        provider_reference = excluded.provider_reference, next_action = excluded.next_action,
        failure_code = excluded.failure_code, failure_message = excluded.failure_message,
        looks = excluded.looks, next_look_time = excluded.next_look_time
),

-- If another payment has got a dispute since, a trigger refuses it and the statement is run again.
disputed AS (
    INSERT INTO disputes (
        provider, id, payment_id, status, asset, amount, reason, open_time, as_of,
        evidence_due_time
    )
    SELECT
        w.provider, x.id, d.id, x.status, x.asset, x.amount, x.reason, x.open_time, x.as_of,
        x.evidence_due_time
    FROM
        decided AS d INNER JOIN written AS w USING (id),
        jsonb_populate_recordset(NULL::disputes, d.disputes) AS x
    ORDER BY w.provider, x.id
    ON CONFLICT (provider, id) DO UPDATE
    SET
        payment_id = excluded.payment_id, status = excluded.status, asset = excluded.asset,
        amount = excluded.amount, reason = excluded.reason, open_time = excluded.open_time,
        as_of = excluded.as_of, evidence_due_time = excluded.evidence_due_time
)

-- here: which_were_written --

-- part written_decisions --
-- The parts of a commit that write the rows of `decided`.
current AS MATERIALIZED (
    SELECT p.id
    FROM payments AS p INNER JOIN decided AS d ON p.id = d.id
    WHERE
        p.version = d.before_version
        -- The planner estimates JSON as 100 rows and would scan the table; with an array it looks
        -- up each id.
        AND p.id = ANY (ARRAY(SELECT id FROM decided))
    ORDER BY p.id
    FOR NO KEY UPDATE OF p
),

-- Their receipts that are already in the ledger. Of two decisions with one receipt, the lock makes
-- the second see which payment has it now.
taken AS MATERIALIZED (
    SELECT r.provider, r.id, r.payment_id
    FROM receipts AS r
    WHERE
        r.provider = ANY (ARRAY(SELECT DISTINCT provider FROM decided))
        AND r.id = ANY (ARRAY(
            SELECT x.id
            FROM
                decided AS d INNER JOIN current USING (id),
                jsonb_to_recordset(d.receipts) AS x (id text)
        ))
    ORDER BY r.provider, r.id
    FOR NO KEY UPDATE
),

-- Decisions with a receipt of another payment: a receipt never changes its payment.
refused AS MATERIALIZED (
    SELECT d.id
    FROM
        decided AS d,
        jsonb_to_recordset(d.receipts) AS x (id text)
        INNER JOIN taken AS t ON t.id = x.id
    WHERE t.provider = d.provider AND t.payment_id <> d.id
),

-- The `changes` of the audit trail go into the row, with what stands apart from the trail, so that
-- they cannot differ.
written AS (
    UPDATE payments AS p
    SET
        (
            version, status, update_time, complete_time, close_time, asking, ask_deadline,
            provider_reference, aliases, next_action, provider_status, provider_status_time,
            snapshot_received, snapshot_confirmed, snapshot_refunded, attention, failure_code,
            failure_message, late, looks, next_look_time, receipt_sums, fee, attention_records,
            attention_since, money_goes_back, expire_time
        ) = (
            SELECT
                n.version, n.status, n.update_time, n.complete_time, n.close_time, n.asking,
                n.ask_deadline, n.provider_reference, n.aliases, n.next_action,
                n.provider_status, n.provider_status_time, n.snapshot_received,
                n.snapshot_confirmed, n.snapshot_refunded, n.attention, n.failure_code,
                n.failure_message, n.late, n.looks, n.next_look_time, n.receipt_sums, n.fee,
                n.attention_records, n.attention_since, n.money_goes_back, n.expire_time
            FROM
                jsonb_populate_record(
                    p,
                    (d.audit #> '{details,changes}')
                    || coalesce(d.personal #> '{value,changes}', '{}')
                ) AS n
        ),
        -- The row's lock keeps the head in its place. Behind a version of the previous payd, which
        -- has no hash yet, the chain waits for `payd migrate --post`.
        audit_version = CASE
            WHEN p.audit_version = p.version THEN (d.audit ->> 'version')::integer
            ELSE p.audit_version
        END,
        audit_hash = CASE
            WHEN p.audit_version = p.version
                THEN sha256(p.audit_hash || convert_to(d.content, 'UTF8'))
            ELSE p.audit_hash
        END
    FROM decided AS d
    WHERE
        p.id = d.id
        AND p.version = d.before_version
        AND p.id = ANY (ARRAY(SELECT id FROM current))
        AND p.id <> ALL (ARRAY(SELECT id FROM refused))
    RETURNING
        p.id, p.version, p.provider, p.update_time,
        CASE WHEN p.audit_version = p.version THEN p.audit_hash END AS hash
),

audited AS (
    INSERT INTO payment_events (
        payment_id, version, event_type, actor, request_id, ip, certificate, peer, content, hash,
        chain_xid, create_time
    )
    SELECT
        w.id, w.version, d.audit ->> 'event_type', d.audit ->> 'actor',
        d.audit ->> 'request_id', coalesce(d.personal #>> '{value,ip}', ''),
        d.audit ->> 'certificate', coalesce(d.personal #>> '{value,peer}', ''), d.content, w.hash,
        CASE WHEN w.hash IS NOT NULL THEN pg_current_xact_id()::text::bigint END, w.update_time
    FROM decided AS d INNER JOIN written AS w USING (id)
),

kept_apart AS (
    INSERT INTO payment_personal_values (payment_id, version, salt, value)
    SELECT w.id, w.version, (d.personal ->> 'salt')::bytea, d.personal -> 'value'
    FROM decided AS d INNER JOIN written AS w USING (id)
    WHERE d.personal IS NOT NULL
),

-- If another payment has got a receipt since, a trigger refuses it and the statement is run again.
received AS (
    INSERT INTO receipts (provider, id, payment_id, asset, amount, state, time, details)
    SELECT
        w.provider, r.id, d.id, r.asset, r.amount, r.state, r.time,
        coalesce(r.details, '{}'::jsonb)
    FROM
        decided AS d INNER JOIN written AS w USING (id),
        jsonb_to_recordset(d.receipts) AS r (
            id text, asset text, amount numeric(78, 0), state text, time timestamptz,
            details jsonb
        )
    ORDER BY w.provider, r.id
    ON CONFLICT (provider, id) DO UPDATE
    -- The asset, too: the ledger may have another report of a receipt that no payment had.
    SET
        payment_id = excluded.payment_id, asset = excluded.asset, amount = excluded.amount,
        state = excluded.state, time = excluded.time
),

announced AS (
    INSERT INTO outbox (event_id, payment_id, subject, about, headers, body, create_time)
    SELECT e.event_id, d.id, e.subject, e.about, e.headers, e.body, w.update_time
    FROM
        decided AS d INNER JOIN written AS w USING (id),
        jsonb_to_recordset(d.events)
            AS e (event_id uuid, subject text, about text, headers jsonb, body bytea)
    RETURNING event_id
),

settled AS (
    UPDATE inbox AS i
    SET settle_time = now(), outcome = 'applied'
    FROM decided AS d INNER JOIN written USING (id)
    WHERE i.id = ANY (d.inbox_ids) AND i.settle_time IS NULL
)

-- part which_were_written --
-- Also wakes the publishers.
SELECT
    written.id,
    (SELECT pg_notify('payd_outbox', '') FROM announced LIMIT 1) AS notified
FROM written;

-- select_payment --
-- By its id and nothing else: the lookups of select_payments would make a plan that takes longer.
-- An answer shows its newest receipts: one statement less than reading them by themselves.
WITH named AS (
    SELECT 1 AS number, :payment_id::uuid AS id, :receipt_ids::text[] AS receipt_ids
),

found AS (
-- here: payments_of_named --
)

SELECT
    found.*,
    (
        SELECT jsonb_agg(to_jsonb(newest) ORDER BY newest.time, newest.id)
        FROM (
            SELECT r.id, r.asset, r.amount, r.state, r.time, r.details
            FROM receipts AS r
            WHERE r.payment_id = found.id
            ORDER BY r.time DESC, r.id DESC
            LIMIT :receipts_max::integer
        ) AS newest
    ) AS newest_receipts
FROM found;

-- find_payment --
-- The id of a payment by its idempotency key, or by a name that its provider uses: the reference,
-- the payment id, a refund's id, or an alias: of the oldest payment, if several have it. coalesce
-- runs only the lookups up to the first that finds a payment.
SELECT coalesce(
    (SELECT id FROM payments WHERE idempotency_key = :idempotency_key::text),
    (
        SELECT id FROM payments
        WHERE provider = :provider::text AND provider_reference = :reference::text
    ),
    (
        SELECT id FROM payments
        WHERE provider = :provider::text AND id = :reference_as_id::uuid
    ),
    (
        SELECT payment_id FROM refunds
        WHERE provider = :provider::text AND id = :reference_as_id::uuid
    ),
    -- An array, not LIMIT 1: with LIMIT the planner may scan the table for the first row.
    (ARRAY(
        SELECT id FROM payments
        WHERE
            provider = :provider::text
            AND aliases @> ARRAY[:reference::text]
            AND aliases <> '{}'
        ORDER BY create_time, id
    ))[1]
) AS id;

-- select_payments --
-- Payments by their ids, or by names that their providers use, as in find_payment: a row for each
-- that exists, with its number, counted from 1, and the receipts that are asked for with it.
-- Each part is looked up by the row's own values: a join with a CTE would compare all with all.
WITH named AS MATERIALIZED (
    SELECT
        n.number,
        ARRAY(SELECT jsonb_array_elements_text(n.receipt_ids::jsonb)) AS receipt_ids,
        coalesce(
            (
                SELECT p.id FROM payments AS p
                WHERE p.provider = n.provider AND p.provider_reference = n.reference
            ),
            (
                SELECT p.id FROM payments AS p
                WHERE p.id = n.id AND (n.provider IS NULL OR p.provider = n.provider)
            ),
            (SELECT r.payment_id FROM refunds AS r WHERE r.id = n.id AND r.provider = n.provider),
            (ARRAY(
                SELECT p.id FROM payments AS p
                WHERE
                    p.provider = n.provider
                    AND p.aliases @> ARRAY[n.reference]
                    AND p.aliases <> '{}'
                ORDER BY p.create_time, p.id
            ))[1]
        ) AS id
    FROM
        unnest(:providers::text[], :references::text[], :ids::uuid[], :receipt_ids::text[])
            WITH ORDINALITY AS n (provider, reference, id, receipt_ids, number)
)

-- here: payments_of_named --

-- oldest_unnamed --
-- Every open payment has a time for its next look: the others are not read.
SELECT min(create_time) AS create_time
FROM payments
WHERE next_look_time IS NOT NULL
  AND provider = :provider::text
  AND provider_reference IS NULL
  AND status IN ('CREATING', 'PENDING', 'PROCESSING', 'CANCELING');

-- newer_payments --
-- The payments that have a newer version than the one that their watchers know. A payment without
-- one costs a look into the primary key's index, and a read of its row.
WITH named AS MATERIALIZED (
    SELECT n.number, p.id, '{}'::text[] AS receipt_ids
    FROM
        unnest(:ids::uuid[], :versions::integer[]) WITH ORDINALITY AS n (id, version, number)
    INNER JOIN payments AS p ON p.id = n.id
    WHERE p.version > n.version
)

-- here: payments_of_named --

-- select_with_refunds --
-- Payments by their ids, with their refunds and disputes. Few payments have any; the other
-- statements leave them out, since the mere presence of these lookups in a plan takes time.
WITH named AS MATERIALIZED (
    SELECT
        n.number,
        n.id,
        ARRAY(SELECT jsonb_array_elements_text(n.receipt_ids::jsonb)) AS receipt_ids
    FROM
        unnest(:ids::uuid[], :receipt_ids::text[])
            WITH ORDINALITY AS n (id, receipt_ids, number)
),

found AS (
-- here: payments_of_named --
)

SELECT
    found.*,
    (
        SELECT jsonb_agg(to_jsonb(r) ORDER BY r.create_time, r.id)
        FROM refunds AS r
        WHERE r.payment_id = found.id
    ) AS refunds,
    (
        SELECT jsonb_agg(to_jsonb(d) ORDER BY d.open_time, d.id COLLATE "C")
        FROM disputes AS d
        WHERE d.payment_id = found.id
    ) AS disputes
FROM found;

-- part payments_of_named --
-- The end of statements that read payments: the rows of `named` (number, id, receipt_ids) whose
-- payments exist, with the receipts that are asked for.
SELECT
    named.number,
    p.*,
    c.wallet_address,
    c.email,
    (
        SELECT jsonb_agg(to_jsonb(i) - 'payment_id' ORDER BY i.position)
        FROM payment_line_items AS i
        WHERE i.payment_id = p.id
    ) AS items,
    -- The stored sums, if they belong to this version and to this end of the late window. The
    -- previous version of payd writes receipts without sums.
    CASE
        WHEN
            (p.receipt_sums ->> 'version')::integer = p.version
            AND (p.receipt_sums ->> 'late_end')::timestamptz = border.late_end
            THEN p.receipt_sums
        ELSE (
            SELECT
                jsonb_build_object(
                    'late_end', border.late_end,
                    'seen', jsonb_build_array(
                        sum(r.amount) FILTER (WHERE r.state = 'SEEN' AND bucket.part = 0),
                        sum(r.amount) FILTER (WHERE r.state = 'SEEN' AND bucket.part = 1),
                        sum(r.amount) FILTER (WHERE r.state = 'SEEN' AND bucket.part = 2)
                    ),
                    'confirmed', jsonb_build_array(
                        sum(r.amount) FILTER (WHERE r.state = 'CONFIRMED' AND bucket.part = 0),
                        sum(r.amount) FILTER (WHERE r.state = 'CONFIRMED' AND bucket.part = 1),
                        sum(r.amount) FILTER (WHERE r.state = 'CONFIRMED' AND bucket.part = 2)
                    )
                )
            FROM
                receipts AS r,
                LATERAL (
                    SELECT CASE
                        WHEN r.time > border.late_end THEN 2
                        WHEN r.time > p.expire_time THEN 1
                        ELSE 0
                    END AS part
                ) AS bucket
            WHERE r.payment_id = p.id AND r.state IN ('SEEN', 'CONFIRMED')
            HAVING sum(r.amount) > 0
        )
    END AS sums,
    -- Not `=`: the planner would read all receipts of the payment instead of looking up the ids.
    (
        SELECT jsonb_agg(to_jsonb(r) - 'payment_id' - 'provider' ORDER BY r.id COLLATE "C")
        FROM receipts AS r
        WHERE
            r.provider = p.provider
            AND r.id = ANY (named.receipt_ids)
            AND r.payment_id IS NOT DISTINCT FROM p.id
    ) AS receipts
FROM
    named
    INNER JOIN payments AS p ON p.id = named.id
    INNER JOIN customers AS c ON c.id = p.customer_id
CROSS JOIN LATERAL (
    SELECT
        least(p.close_time, p.expire_time)
        + make_interval(secs => :late_window_s::double precision) AS late_end
) AS border;

-- find_refund --
-- By its id or its idempotency key; the other one is NULL, and finds nothing.
SELECT id, payment_id FROM refunds
WHERE id = :refund_id::uuid
UNION ALL
SELECT id, payment_id FROM refunds
WHERE idempotency_key = :idempotency_key::text AND idempotency_key <> '';

-- list_refunds --
-- Newest first, after (:before_time, :before_id). Of each status no more than the page is read.
SELECT page.id, page.payment_id
FROM
    unnest(:statuses::text[]) AS wanted (status),
    LATERAL (
        SELECT r.id, r.payment_id, r.create_time FROM refunds AS r
        WHERE
            r.status = wanted.status
            AND (r.create_time, r.id) < (
                coalesce(:before_time::timestamptz, 'infinity'),
                coalesce(:before_id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            )
        ORDER BY r.create_time DESC, r.id DESC
        LIMIT :limit::integer
    ) AS page
ORDER BY page.create_time DESC, page.id DESC
LIMIT :limit::integer;

-- list_refunds_of_payment --
-- As list_refunds.
SELECT id, payment_id FROM refunds
WHERE
    payment_id = :payment_id::uuid
    AND status = ANY (:statuses::text[])
    AND (create_time, id) < (
        coalesce(:before_time::timestamptz, 'infinity'),
        coalesce(:before_id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
ORDER BY create_time DESC, id DESC
LIMIT :limit::integer;

-- customers_with_email --
SELECT id FROM customers
WHERE lower(email) = lower(:email::text) AND email <> ''
LIMIT :limit::integer;

-- payments_named --
-- Each branch looks up an index; names of providers once for each provider, by a loose index scan.
WITH RECURSIVE provider AS (
    (SELECT provider AS name FROM payments ORDER BY provider LIMIT 1)
    UNION ALL
    SELECT next.name
    FROM
        provider,
        LATERAL (
            SELECT p.provider AS name FROM payments AS p
            WHERE p.provider > provider.name
            ORDER BY p.provider
            LIMIT 1
        ) AS next
),

named AS (
    SELECT id FROM payments
    WHERE id = ANY (:ids::uuid[])
    UNION
    SELECT id FROM payments
    WHERE idempotency_key = ANY (:names::text[])
    UNION
    SELECT p.id FROM provider INNER JOIN payments AS p ON p.provider = provider.name
    WHERE p.provider_reference = ANY (:names::text[])
    UNION
    SELECT id FROM payments
    WHERE aliases && :names::text[] AND aliases <> '{}'
    UNION
    SELECT payment_id FROM refunds
    WHERE id = ANY (:ids::uuid[])
    UNION
    SELECT payment_id FROM refunds
    WHERE idempotency_key = ANY (:names::text[]) AND idempotency_key <> ''
    UNION
    SELECT r.payment_id FROM provider INNER JOIN refunds AS r ON r.provider = provider.name
    WHERE r.provider_reference = ANY (:names::text[])
    UNION
    SELECT payment_id FROM refunds
    WHERE next_action ->> 'memo' = ANY (:names::text[])
    UNION
    SELECT d.payment_id FROM provider INNER JOIN disputes AS d ON d.provider = provider.name
    WHERE d.id = ANY (:names::text[])
    UNION
    SELECT r.payment_id FROM provider INNER JOIN receipts AS r ON r.provider = provider.name
    WHERE r.id = ANY (:names::text[])
    UNION
    SELECT payment_id FROM receipts
    WHERE details ->> 'transaction' = ANY (:names::text[])
    UNION
    -- A refund is reported under the name of the transfer that left the account. LATERAL with
    -- LIMIT, for a lookup of each: a plain join may read all refunds.
    SELECT refunding.payment_id
    FROM
        outflows AS o
        CROSS JOIN LATERAL (
            SELECT r.payment_id FROM refunds AS r
            WHERE r.provider = o.provider AND r.provider_reference = o.id
            LIMIT 1
        ) AS refunding
    WHERE o.details ->> 'transaction' = ANY (:names::text[])
)

SELECT id FROM named
WHERE id IS NOT NULL
LIMIT :limit::integer;

-- list_payments_of_kinds --
-- Payments of these providers, methods and statuses, or of all, newest first. Of each combination
-- that exists no more than the page is read.
--
-- All lists of payments walk along an index and look at what no index has in each payment, until
-- the page is full or :walk_max payments were looked at. The last of these is returned, too, wanted
-- or not, because the next page begins after it. Of several walks that are merged, the first one
-- that ended so ends the page: behind it there may be payments that were not looked at.
WITH RECURSIVE kind AS (
    -- A loose index scan: one index lookup per provider and method.
    (SELECT provider, method FROM payments ORDER BY provider, method LIMIT 1)
    UNION ALL
    SELECT next.provider, next.method
    FROM
        kind,
        LATERAL (
            SELECT p.provider, p.method FROM payments AS p
            WHERE (p.provider, p.method) > (kind.provider, kind.method)
            ORDER BY p.provider, p.method
            LIMIT 1
        ) AS next
)

SELECT page.id, page.time, page.is_wanted, page.is_last
FROM
    kind
    CROSS JOIN unnest(:kind_statuses::text[]) AS wanted (status)
    CROSS JOIN LATERAL (
        SELECT walked.id, walked.time, walked.is_wanted, walked.is_last
        FROM (
            SELECT
                p.id,
                p.create_time AS time,
-- here: looked_at --
            FROM payments AS p
            WHERE
                p.provider = kind.provider
                AND p.method = kind.method
                AND p.status = wanted.status
-- here: newest_before --
        ) AS walked
-- here: page_of_walked --
    ) AS page
WHERE
    (:providers::text[] IS NULL OR kind.provider = ANY (:providers::text[]))
    AND (:methods::text[] IS NULL OR kind.method = ANY (:methods::text[]))
ORDER BY page.time DESC, page.id DESC
LIMIT :limit::integer;

-- list_payments_of_customers --
-- Of each customer no more than the page is read.
SELECT page.id, page.time, page.is_wanted, page.is_last
FROM
    unnest(:customer_ids::text[]) AS wanted (customer_id)
    CROSS JOIN LATERAL (
        SELECT walked.id, walked.time, walked.is_wanted, walked.is_last
        FROM (
            SELECT
                p.id,
                p.create_time AS time,
-- here: looked_at --
            FROM payments AS p
            WHERE p.customer_id = wanted.customer_id
-- here: newest_before --
        ) AS walked
-- here: page_of_walked --
    ) AS page
ORDER BY page.time DESC, page.id DESC
LIMIT :limit::integer;

-- list_payments_labelled --
-- By a subscription or by a pair of the metadata. The label is a hash: `is_wanted` compares.
SELECT walked.id, walked.time, walked.is_wanted, walked.is_last
FROM (
    SELECT
        labelled.payment_id AS id,
        labelled.create_time AS time,
-- here: looked_at --
    FROM
        (
            SELECT l.payment_id, l.create_time
            FROM payment_labels AS l
            WHERE
                l.label = hashtextextended(:label::text, 0)
                AND (l.create_time, l.payment_id) < (
                    coalesce(:before_time::timestamptz, 'infinity'),
                    coalesce(:before_id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
                )
                AND l.create_time >= coalesce(:create_time_from::timestamptz, '-infinity')
            ORDER BY l.create_time DESC, l.payment_id DESC
            LIMIT :walk_max::integer
        ) AS labelled
        -- Each is looked up when it is walked past, and those behind a full page are not.
        CROSS JOIN LATERAL (
            SELECT of_label.* FROM payments AS of_label
            WHERE of_label.id = labelled.payment_id
            LIMIT 1
        ) AS p
    WINDOW walk AS (ORDER BY labelled.create_time DESC, labelled.payment_id DESC)
    ORDER BY labelled.create_time DESC, labelled.payment_id DESC
) AS walked
-- here: page_of_walked --
;

-- list_payments_with_attention --
-- Newest first.
SELECT walked.id, walked.time, walked.is_wanted, walked.is_last
FROM (
    SELECT
        p.id,
        p.create_time AS time,
-- here: looked_at --
    FROM payments AS p
    WHERE (p.attention <> '{}' OR p.attention_since IS NOT NULL)
-- here: newest_before --
) AS walked
-- here: page_of_walked --
;

-- list_payments_of_ids --
-- Those of a reference: few.
SELECT walked.id, walked.time, walked.is_wanted, walked.is_last
FROM (
    SELECT
        p.id,
        p.create_time AS time,
-- here: looked_at --
    FROM payments AS p
    WHERE p.id = ANY (:payment_ids::uuid[])
-- here: newest_before --
) AS walked
-- here: page_of_walked --
;

-- list_attention --
-- Payments with open attention, by the oldest open reason. The previous version of payd writes no
-- attention_since: its reasons are as old as the payment's last change.
WITH open AS (
    (
        SELECT id, attention_since AS since FROM payments
        WHERE
            (attention <> '{}' OR attention_since IS NOT NULL)
            AND attention_since IS NOT NULL
            AND (attention_since, id) > (
                coalesce(:after_time::timestamptz, '-infinity'),
                coalesce(:after_id::uuid, '00000000-0000-0000-0000-000000000000')
            )
        ORDER BY attention_since, id
        LIMIT :walk_max::integer
    )
    UNION ALL
    (
        SELECT id, update_time FROM payments
        WHERE
            (attention <> '{}' OR attention_since IS NOT NULL)
            AND attention_since IS NULL
            AND (update_time, id) > (
                coalesce(:after_time::timestamptz, '-infinity'),
                coalesce(:after_id::uuid, '00000000-0000-0000-0000-000000000000')
            )
        ORDER BY update_time, id
        LIMIT :walk_max::integer
    )
)

SELECT walked.id, walked.time, walked.is_wanted, walked.is_last
FROM (
    SELECT
        oldest.id,
        oldest.since AS time,
-- here: looked_at --
    FROM
        (SELECT id, since FROM open ORDER BY since, id LIMIT :walk_max::integer) AS oldest
        CROSS JOIN LATERAL (
            SELECT of_open.* FROM payments AS of_open
            WHERE of_open.id = oldest.id
            LIMIT 1
        ) AS p
    WINDOW walk AS (ORDER BY oldest.since, oldest.id)
    ORDER BY oldest.since, oldest.id
) AS walked
WHERE walked.is_wanted OR walked.is_last
ORDER BY walked.time, walked.id
LIMIT :limit::integer;

-- part looked_at --
-- Whether the walk ends with this payment, and whether everything applies to it that was asked for.
-- What the index of the walk has is compared again: it costs little beside reading the payment.
row_number() OVER walk = :walk_max::integer AS is_last,
(
    (:customer_ids::text[] IS NULL OR p.customer_id = ANY (:customer_ids::text[]))
    AND (:payment_ids::uuid[] IS NULL OR p.id = ANY (:payment_ids::uuid[]))
    AND (:statuses::text[] IS NULL OR p.status = ANY (:statuses::text[]))
    AND (:methods::text[] IS NULL OR p.method = ANY (:methods::text[]))
    AND (:providers::text[] IS NULL OR p.provider = ANY (:providers::text[]))
    AND (:currency_code::text IS NULL OR p.currency_code = :currency_code::text)
    AND (:min_minor_units::bigint IS NULL OR p.amount_minor_units >= :min_minor_units::bigint)
    AND (:max_minor_units::bigint IS NULL OR p.amount_minor_units <= :max_minor_units::bigint)
    AND (:create_time_from::timestamptz IS NULL OR p.create_time >= :create_time_from::timestamptz)
    AND (
        :create_time_before::timestamptz IS NULL
        OR p.create_time < :create_time_before::timestamptz
    )
    AND (:subscription_id::text IS NULL OR :subscription_id::text = ANY (p.subscription_ids))
    AND (:metadata_key::text IS NULL OR p.metadata ->> :metadata_key::text = :metadata_value::text)
    -- `attention` decides, as when a payment is read, except for reasons that the previous version
    -- cannot read.
    AND (
        :attention::text[] IS NULL
        OR p.attention && :attention::text[]
        OR EXISTS (
            SELECT 1
            FROM
                jsonb_to_recordset(p.attention_records)
                    AS record (reason text, resolved_time text)
            WHERE
                record.resolved_time IS NULL
                AND record.reason = ANY (:new_attention::text[])
        )
    )
) AS is_wanted

-- part newest_before --
-- The end of a walk along an index that is sorted by creation. :before_time and :before_id are the
-- position of the page; of the first page, create_time_before.
AND (p.create_time, p.id) < (
    coalesce(:before_time::timestamptz, 'infinity'),
    coalesce(:before_id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
)
AND p.create_time >= coalesce(:create_time_from::timestamptz, '-infinity')
WINDOW walk AS (ORDER BY p.create_time DESC, p.id DESC)
ORDER BY p.create_time DESC, p.id DESC
LIMIT :walk_max::integer

-- part page_of_walked --
-- Read until the page is full.
WHERE walked.is_wanted OR walked.is_last
ORDER BY walked.time DESC, walked.id DESC
LIMIT :limit::integer

-- claim_refund_checks --
-- As claim_status_checks. Locks no payment, so it cannot deadlock with a commit.
WITH due AS MATERIALIZED (
    SELECT id FROM refunds
    WHERE next_look_time <= :now::timestamptz
    ORDER BY next_look_time
    LIMIT :limit::integer
    FOR NO KEY UPDATE SKIP LOCKED
)

UPDATE refunds AS r
SET looks = r.looks + 1, next_look_time = :now::timestamptz + :lease::interval
FROM due
WHERE r.id = due.id
RETURNING r.id, r.payment_id;

-- schedule_refund_check --
-- The time of the last change stands for the version, which is the payment's.
UPDATE refunds
SET next_look_time = :time::timestamptz
WHERE
    id = :refund_id::uuid
    AND update_time = :update_time::timestamptz
    AND next_look_time IS NOT NULL;

-- select_asking --
-- Whether a daemon has the claim to send to the provider.
SELECT ask_deadline > :now::timestamptz AS is_asked
FROM payments
WHERE id = :payment_id::uuid;

-- claim_status_checks --
-- SKIP LOCKED gives each payment to one daemon. Moving next_look_time is the lease.
-- MATERIALIZED: a plan that ran the subquery for each row could claim more than the limit.
WITH due AS MATERIALIZED (
    SELECT id FROM payments
    WHERE next_look_time <= :now::timestamptz
    ORDER BY next_look_time
    LIMIT :limit::integer
    FOR NO KEY UPDATE SKIP LOCKED
)

UPDATE payments AS p
SET looks = p.looks + 1, next_look_time = :now::timestamptz + :lease::interval
-- An array, as in claim_inbox.
WHERE p.id = ANY (ARRAY(SELECT id FROM due))
RETURNING p.id;

-- schedule_status_check --
UPDATE payments
SET next_look_time = :time::timestamptz
WHERE id = :payment_id::uuid AND version = :version::integer AND next_look_time IS NOT NULL;

-- claim_sync --
-- Of all daemons one gets the claim. A time that is far ahead comes from a clock that was wrong,
-- and holds nobody up.
UPDATE payments
SET sync_time = :now::timestamptz
WHERE
    id = :payment_id::uuid
    AND (
        sync_time IS NULL
        OR sync_time <= :now::timestamptz - :rest::interval
        OR sync_time > :now::timestamptz + :rest::interval
    )
RETURNING id;

-- open_attention --
-- For each reason: how many payments have it open, and the age of the oldest. `attention` decides,
-- as when a payment is read, except for reasons that the previous version cannot read.
WITH looked_at AS MATERIALIZED (
    SELECT attention, attention_records, update_time FROM payments
    WHERE attention <> '{}' OR attention_since IS NOT NULL
),

known AS (
    SELECT
        record.reason,
        record.since,
        record.reason = ANY (p.attention) OR record.reason = ANY (:new_reasons::text[]) AS is_open
    FROM
        looked_at AS p,
        jsonb_to_recordset(p.attention_records)
            AS record (reason text, since timestamptz, resolved_time timestamptz)
    WHERE record.resolved_time IS NULL
),

raised_by_the_previous_version AS (
    SELECT reason.name AS reason, p.update_time AS since
    FROM looked_at AS p, unnest(p.attention) AS reason (name)
    WHERE
        NOT p.attention_records @> jsonb_build_array(
            jsonb_build_object('reason', reason.name, 'resolved_time', NULL)
        )
),

open AS (
    SELECT reason, since FROM known
    WHERE is_open
    UNION ALL
    SELECT reason, since FROM raised_by_the_previous_version
)

SELECT
    reason AS name,
    count(*)::integer AS count,
    extract(EPOCH FROM :now::timestamptz - min(since))::float8 AS oldest_age_s
FROM open
GROUP BY reason;

-- open_refunds --
-- For each status that payd or a person still has to end: how many, and the age of the oldest.
SELECT
    status AS name,
    count(*)::integer AS count,
    extract(EPOCH FROM :now::timestamptz - min(create_time))::float8 AS oldest_age_s
FROM refunds
WHERE status = ANY (:statuses::text[])
GROUP BY status;

-- stored_rows --
-- Of each table the newest rows of a payment. The salts of the commitments stand apart and are left
-- out: with them a guess of an erased value could be proved. The rows of all tables share the bytes
-- of an answer, the newest of each table first; a row that no longer fits is NULL.
WITH found AS (
    SELECT 1 AS place, 'payments' AS name, 0 AS age, to_jsonb(p) AS row
    FROM payments AS p
    WHERE p.id = :payment_id::uuid
    UNION ALL
    SELECT 2, 'payment_line_items', -i.position, to_jsonb(i)
    FROM payment_line_items AS i
    WHERE i.payment_id = :payment_id::uuid
    UNION ALL
    (
        SELECT 3, 'receipts', row_number() OVER (ORDER BY r.time DESC, r.id DESC), to_jsonb(r)
        FROM receipts AS r
        WHERE r.payment_id = :payment_id::uuid
        ORDER BY r.time DESC, r.id DESC
        LIMIT :limit::integer
    )
    UNION ALL
    (
        SELECT 4, 'refunds', row_number() OVER (ORDER BY r.create_time DESC, r.id DESC), to_jsonb(r)
        FROM refunds AS r
        WHERE r.payment_id = :payment_id::uuid
        ORDER BY r.create_time DESC, r.id DESC
        LIMIT :limit::integer
    )
    UNION ALL
    (
        SELECT 5, 'disputes', row_number() OVER (ORDER BY d.open_time DESC, d.id DESC), to_jsonb(d)
        FROM disputes AS d
        WHERE d.payment_id = :payment_id::uuid
        ORDER BY d.open_time DESC, d.id DESC
        LIMIT :limit::integer
    )
    UNION ALL
    (
        SELECT
            6, 'payment_events', row_number() OVER (ORDER BY e.version DESC),
            to_jsonb(e) || jsonb_build_object('content', e.content::jsonb)
        FROM payment_events AS e
        WHERE e.payment_id = :payment_id::uuid
        ORDER BY e.version DESC
        LIMIT :limit::integer
    )
    UNION ALL
    (
        SELECT
            7, 'outbox', row_number() OVER (ORDER BY o.id DESC),
            to_jsonb(o) || jsonb_build_object('body', convert_from(o.body, 'UTF8')::jsonb)
        FROM outbox AS o
        WHERE o.payment_id = :payment_id::uuid
        ORDER BY o.id DESC
        LIMIT :limit::integer
    )
),

written AS (SELECT place, name, age, row::text AS row FROM found)

SELECT
    name,
    CASE
        WHEN sum(octet_length(row)) OVER (ORDER BY age, place) <= :bytes_max::bigint THEN row
    END AS row
FROM written
ORDER BY place, age DESC;

-- audit_trail --
SELECT
-- here: an_audit_row --
FROM payment_events AS e
WHERE e.payment_id = :payment_id::uuid
ORDER BY e.version;

-- payment_trail --
-- The newest audit rows of a payment up to a time, newest first. The clocks of two daemons may
-- differ a little: the newest row up to that time decides, and all older versions come with it.
SELECT
-- here: an_audit_row --
FROM payment_events AS e
WHERE
    e.payment_id = :payment_id::uuid
    AND e.version <= (
        SELECT newest.version
        FROM payment_events AS newest
        WHERE newest.payment_id = :payment_id::uuid AND newest.create_time <= :until::timestamptz
        ORDER BY newest.version DESC
        LIMIT 1
    )
ORDER BY e.version DESC
LIMIT :limit::integer;

-- part an_audit_row --
-- What is hashed of it, also of a row that is not chained yet; and what stands apart from it, which
-- is null if there is nothing or if it was erased.
e.ip,
e.peer,
coalesce(e.content::jsonb, jsonb_build_object(
    'version', e.version, 'event_type', e.event_type, 'actor', e.actor,
    'request_id', e.request_id, 'certificate', e.certificate, 'create_time', e.create_time,
    'details', e.details
)) AS content,
(
    SELECT v.value FROM payment_personal_values AS v
    WHERE v.payment_id = e.payment_id AND v.version = e.version
) AS personal

-- payment_before --
-- What stood in the rows of a payment before a version, put together from its audit trail. Only for
-- payments with more versions than payment_trail returns: this reads all that are older.
WITH older AS MATERIALIZED (
    SELECT
        e.version,
        coalesce(e.content::jsonb -> 'details', e.details) AS details,
        coalesce(v.value, '{}') AS personal
    FROM payment_events AS e LEFT JOIN payment_personal_values AS v USING (payment_id, version)
    WHERE e.payment_id = :payment_id::uuid AND e.version < :version::integer
)

SELECT
    first.details -> 'items' AS items,
    first.details -> 'row' || coalesce(first.personal -> 'row', '{}') || coalesce((
        SELECT jsonb_object_agg(change.key, change.value ORDER BY older.version)
        FROM
            older,
            jsonb_each(
                (older.details -> 'changes') || coalesce(older.personal -> 'changes', '{}')
            ) AS change
    ), '{}') AS row,
    (
        SELECT
            jsonb_object_agg(
                refund ->> 'id',
                refund || coalesce(older.personal #> ARRAY['refunds', refund ->> 'id'], '{}')
                ORDER BY older.version
            )
        FROM older, jsonb_array_elements(older.details -> 'refunds') AS refund
    ) AS refunds,
    (
        SELECT jsonb_object_agg(dispute ->> 'id', dispute ORDER BY older.version)
        FROM older, jsonb_array_elements(older.details -> 'disputes') AS dispute
    ) AS disputes
FROM older AS first
WHERE first.version = 1;

-- unparted_rows_of_payments --
-- Audit rows of the previous version, which have their personal values in the trail.
SELECT id, ip, peer, details
FROM payment_events
WHERE payment_id = ANY (:payment_ids::uuid[]) AND NOT details ? 'personal'
LIMIT :limit::integer;

-- part_rows --
-- A trigger lets through that details get the member `personal`, once. Two that part the same rows
-- would keep other salts: the second waits for the first, and then updates nothing.
WITH parted AS MATERIALIZED (
    SELECT * FROM
        jsonb_to_recordset(:rows::jsonb)
            AS r (id bigint, details jsonb, salt bytea, value jsonb)
),

changed AS (
    UPDATE payment_events AS e
    SET details = parted.details
    FROM parted
    WHERE
        e.id = parted.id
        AND e.id = ANY (ARRAY(SELECT id FROM parted))
        AND NOT e.details ? 'personal'
    RETURNING e.id, e.payment_id, e.version
)

INSERT INTO payment_personal_values (payment_id, version, salt, value)
SELECT changed.payment_id, changed.version, parted.salt, parted.value
FROM changed INNER JOIN parted USING (id)
WHERE parted.value IS NOT NULL;

-- customer --
SELECT id FROM customers
WHERE id = :customer_id::text;

-- payments_of_customer --
-- Oldest first.
SELECT create_time AS time, id FROM payments
WHERE
    customer_id = :customer_id::text
    AND (create_time, id) > (
        coalesce(:after_time::timestamptz, '-infinity'),
        coalesce(:after_id::uuid, '00000000-0000-0000-0000-000000000000')
    )
ORDER BY create_time, id
LIMIT :limit::integer;

-- unpublished_of_payments --
SELECT DISTINCT payment_id FROM outbox
WHERE payment_id = ANY (:payment_ids::uuid[]) AND publish_time IS NULL;

-- erase_payments --
-- Count the rows with personal values beside these payments, and with :erase erase them, and also
-- what no decision changes in the payments and their refunds. Locks are taken
-- in the order of written_decisions: payments by id, then receipts by id. Audit rows of the event
-- :forgotten say who erased; what belongs to them is the operator's and stays.
WITH found_payments AS MATERIALIZED (
    SELECT id, metadata FROM payments
    WHERE
        id = ANY (:payment_ids::uuid[])
        AND (
            request_hash <> '' OR return_url <> '' OR cancel_url <> '' OR metadata <> '{}'
            OR parameters <> '{}' OR next_action IS NOT NULL OR failure_message <> ''
        )
    ORDER BY id
    FOR NO KEY UPDATE
),

found_receipts AS MATERIALIZED (
    SELECT provider, id FROM receipts
    WHERE payment_id = ANY (:payment_ids::uuid[]) AND details - 'transaction' <> '{}'
    ORDER BY provider, id
    FOR NO KEY UPDATE
),

found_refunds AS MATERIALIZED (
    SELECT id, provider, provider_reference FROM refunds
    WHERE payment_id = ANY (:payment_ids::uuid[])
),

personal_refunds AS MATERIALIZED (
    SELECT r.id FROM refunds AS r INNER JOIN found_refunds USING (id)
    WHERE
        r.request_hash <> '' OR r.destination <> '' OR r.reason <> '' OR r.next_action IS NOT NULL
        OR r.failure_message <> ''
),

-- The transfer that carried out a refund names its receiver.
found_outflows AS MATERIALIZED (
    SELECT o.provider, o.id
    FROM
        found_refunds AS r
        CROSS JOIN LATERAL (
            SELECT one.provider, one.id, one.details FROM outflows AS one
            WHERE one.provider = r.provider AND one.id = r.provider_reference
            LIMIT 1
        ) AS o
    WHERE o.details - 'transaction' <> '{}'
),

trail AS MATERIALIZED (
    SELECT
        id,
        payment_id,
        version,
        content IS NOT NULL OR details ? 'personal' AS is_parted,
        ip <> '' OR peer <> '' AS has_address
    FROM payment_events
    WHERE payment_id = ANY (:payment_ids::uuid[]) AND event_type <> :forgotten::text
),

found_values AS MATERIALIZED (
    SELECT v.payment_id, v.version
    FROM trail INNER JOIN payment_personal_values AS v USING (payment_id, version)
    WHERE v.payment_id = ANY (:payment_ids::uuid[])
),

erased_payments AS (
    UPDATE payments
    SET request_hash = '', return_url = '', cancel_url = '', metadata = '{}', parameters = '{}'
    WHERE :erase::boolean AND id = ANY (ARRAY(SELECT id FROM found_payments))
),

erased_receipts AS (
    UPDATE receipts AS r
    SET details = jsonb_strip_nulls(
            jsonb_build_object('transaction', r.details -> 'transaction')
        )
    FROM found_receipts AS f
    WHERE :erase::boolean AND r.provider = f.provider AND r.id = f.id
),

erased_refunds AS (
    UPDATE refunds
    SET request_hash = '', destination = '', reason = '', next_action = NULL,
        failure_message = CASE WHEN failure_message IS NOT NULL THEN '' END
    WHERE :erase::boolean AND id = ANY (ARRAY(SELECT id FROM personal_refunds))
),

erased_outflows AS (
    UPDATE outflows AS o
    SET details = jsonb_strip_nulls(
            jsonb_build_object('transaction', o.details -> 'transaction')
        )
    FROM found_outflows AS f
    WHERE :erase::boolean AND o.provider = f.provider AND o.id = f.id
),

erased_values AS (
    DELETE FROM payment_personal_values AS v
    USING found_values AS f
    WHERE
        :erase::boolean
        AND v.payment_id = ANY (:payment_ids::uuid[])
        AND (v.payment_id, v.version) = (f.payment_id, f.version)
),

erased_addresses AS (
    UPDATE payment_events
    SET ip = '', peer = ''
    WHERE :erase::boolean AND id = ANY (ARRAY(SELECT id FROM trail WHERE has_address))
)

SELECT
    (
        SELECT count(*) FROM found_payments, labels_of('{}', found_payments.metadata)
    ) AS payment_labels,
    (SELECT count(*) FROM found_receipts) AS receipts,
    (SELECT count(*) FROM found_outflows) AS outflows,
    (SELECT count(*) FROM trail WHERE has_address) AS payment_events,
    (
        (SELECT count(*) FROM found_values)
        + (SELECT count(*) FROM trail WHERE NOT is_parted)
    ) AS payment_personal_values;

-- published_bodies --
SELECT id, body FROM outbox
WHERE payment_id = ANY (:payment_ids::uuid[]) AND publish_time IS NOT NULL;

-- replace_bodies --
-- Locked in order of id, as in mark_published.
WITH bare AS MATERIALIZED (
    SELECT * FROM unnest(:row_ids::bigint[], :bodies::bytea[]) AS b (id, body)
),

ours AS MATERIALIZED (
    SELECT id FROM outbox
    WHERE id = ANY (:row_ids::bigint[])
    ORDER BY id
    FOR NO KEY UPDATE
)

UPDATE outbox AS o
SET body = bare.body
FROM bare
WHERE o.id = bare.id AND o.id = ANY (ARRAY(SELECT id FROM ours));

-- retained_events --
-- Newest first.
SELECT event_id, payment_id, subject, publish_time FROM outbox
WHERE payment_id = ANY (:payment_ids::uuid[]) AND publish_time IS NOT NULL
ORDER BY publish_time DESC, id DESC
LIMIT :limit::integer;

-- names_in_reports --
-- Everything by which a report may name a customer or one of these payments.
SELECT email AS name FROM customers
WHERE id = :customer_id::text
UNION
SELECT wallet_address FROM customers
WHERE id = :customer_id::text
UNION
SELECT id::text FROM payments
WHERE id = ANY (:payment_ids::uuid[])
UNION
SELECT provider_reference FROM payments
WHERE id = ANY (:payment_ids::uuid[])
UNION
SELECT unnest(aliases) FROM payments
WHERE id = ANY (:payment_ids::uuid[])
UNION
SELECT id::text FROM refunds
WHERE payment_id = ANY (:payment_ids::uuid[])
UNION
SELECT provider_reference FROM refunds
WHERE payment_id = ANY (:payment_ids::uuid[])
UNION
SELECT id FROM disputes
WHERE payment_id = ANY (:payment_ids::uuid[])
UNION
SELECT id FROM receipts
WHERE payment_id = ANY (:payment_ids::uuid[]);

-- reports_in_trail --
SELECT DISTINCT
    jsonb_array_elements_text(coalesce(content::jsonb -> 'details', details) -> 'reports')::bigint
        AS id
FROM payment_events
WHERE payment_id = ANY (:payment_ids::uuid[]);

-- part_of_inbox --
-- Reports that were not erased, and the last one that was looked at. No index finds a name in any
-- content: this reads a limited part of the inbox.
WITH looked_at AS MATERIALIZED (
    SELECT
        id,
        settle_time IS NOT NULL AS is_settled,
        report,
        raw_body,
        report = '{"erased": true}' AND raw_body IS NULL AS is_erased
    FROM inbox
    WHERE id > :after_id::bigint
    ORDER BY id
    LIMIT :limit::integer
)

SELECT id, is_settled, report, raw_body FROM looked_at
WHERE NOT is_erased OR id = (SELECT max(id) FROM looked_at)
ORDER BY id;

-- erase_reports --
-- Of settled reports. The event id and the hash of the content stay, so that a repeated delivery
-- stores nothing anew. A raw body may be that of several reports, of which others stay.
WITH ours AS MATERIALIZED (
    SELECT id FROM inbox
    WHERE id = ANY (:row_ids::bigint[]) AND settle_time IS NOT NULL
    ORDER BY id
    FOR NO KEY UPDATE
)

UPDATE inbox
SET
    report = CASE
        WHEN id = ANY (:report_ids::bigint[]) THEN '{"erased": true}' ELSE report
    END,
    raw_body = NULL
WHERE id = ANY (ARRAY(SELECT id FROM ours));

-- erase_customer --
WITH found AS MATERIALIZED (
    SELECT id FROM customers
    WHERE id = :customer_id::text AND (wallet_address <> '' OR email <> '')
    FOR NO KEY UPDATE
),

erased AS (
    UPDATE customers
    SET wallet_address = '', email = ''
    WHERE :erase::boolean AND id = ANY (ARRAY(SELECT id FROM found))
)

SELECT count(*) AS rows FROM found;

-- payment_outbox --
-- The newest events of a payment up to a time, newest first; what was published later waits.
SELECT
    event_id, subject, about, create_time, coalesce(last_error, '') AS last_error,
    CASE WHEN publish_time <= :until::timestamptz THEN publish_time END AS publish_time
FROM outbox
WHERE payment_id = :payment_id::uuid AND create_time <= :until::timestamptz
ORDER BY id DESC
LIMIT :limit::integer;

-- rows_to_chain --
-- Audit rows that are not chained, by payment and version, with the head that they follow.
SELECT
    e.payment_id, e.version, e.event_type, e.actor, e.request_id, e.ip, e.certificate, e.peer,
    e.details, e.content, e.create_time, p.audit_version, p.audit_hash
FROM payment_events AS e INNER JOIN payments AS p ON p.id = e.payment_id
WHERE e.hash IS NULL AND e.payment_id >= :start::uuid
ORDER BY e.payment_id, e.version
LIMIT :limit::integer;

-- chain_rows --
-- Write the hashes of audit rows, and the heads, in the transaction that has read them. Payments
-- are locked in order of their ids, as in commit_decisions.
WITH given AS MATERIALIZED (
    SELECT * FROM
        jsonb_to_recordset(:payments::jsonb)
            AS g (id uuid, audit_version integer, audit_hash bytea, rows jsonb)
),

locked AS MATERIALIZED (
    SELECT id FROM payments
    WHERE id = ANY (ARRAY(SELECT id FROM given))
    ORDER BY id
    FOR NO KEY UPDATE
),

chained AS MATERIALIZED (
    SELECT g.id AS payment_id, r.*
    FROM
        given AS g INNER JOIN locked USING (id),
        jsonb_to_recordset(g.rows)
            AS r (version integer, content text, hash bytea, salt bytea, value jsonb)
),

written AS (
    UPDATE payment_events AS e
    SET
        content = c.content, details = NULL, hash = c.hash,
        chain_xid = pg_current_xact_id()::text::bigint
    FROM chained AS c
    WHERE
        e.payment_id = c.payment_id
        AND e.version = c.version
        AND e.payment_id = ANY (ARRAY(SELECT id FROM locked))
),

kept_apart AS (
    INSERT INTO payment_personal_values (payment_id, version, salt, value)
    SELECT payment_id, version, salt, value FROM chained
    WHERE value IS NOT NULL
)

UPDATE payments AS p
SET audit_version = g.audit_version, audit_hash = g.audit_hash
FROM given AS g
WHERE p.id = g.id AND p.id = ANY (ARRAY(SELECT id FROM locked));

-- newest_checkpoint --
SELECT line FROM audit_checkpoints ORDER BY number DESC LIMIT 1;

-- checkpoint_lines --
SELECT line FROM audit_checkpoints WHERE number > :after::integer ORDER BY number;

-- add_checkpoint --
-- Of two daemons that make the same one, the primary key lets one win.
INSERT INTO audit_checkpoints (number, line) VALUES (:number::integer, :line::text)
ON CONFLICT (number) DO NOTHING
RETURNING number;

-- finished_transactions --
-- Every transaction before this one has ended; later ones may commit before it or after it. Read it
-- in the snapshot in which the rows are read.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon;

-- changed_heads --
-- The newest row of each payment that a transaction of this range has chained.
SELECT DISTINCT ON (payment_id) payment_id, version, hash
FROM payment_events
WHERE chain_xid >= :since::bigint AND chain_xid < :until::bigint
ORDER BY payment_id, version DESC;

-- chained_rows --
-- What an export has, with the head that the payment's row has; of one payment or of all.
SELECT e.payment_id, e.version, e.content, e.hash, e.chain_xid, p.audit_version, p.audit_hash
FROM payment_events AS e INNER JOIN payments AS p ON p.id = e.payment_id
WHERE
    e.chain_xid >= :since::bigint
    AND (:payment_id::uuid IS NULL OR e.payment_id = :payment_id::uuid)
ORDER BY e.payment_id, e.version;

-- chained_row --
SELECT hash FROM payment_events
WHERE payment_id = :payment_id::uuid AND version = :version::integer;

-- count_unsigned_rows --
-- What was chained since a checkpoint, and what is not chained, both up to a limit. The range has
-- an end that no transaction reaches: with it the plan reads the index of chain_xid, and not the
-- table from its begin.
WITH unsigned AS MATERIALIZED (
    SELECT payment_id FROM payment_events
    WHERE
        chain_xid >= :since::bigint
        AND chain_xid < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    LIMIT :limit::integer
),

unchained AS MATERIALIZED (
    SELECT 1 AS one FROM payment_events
    WHERE hash IS NULL
    LIMIT :limit::integer
)

SELECT
    (SELECT count(*) FROM unsigned)::integer AS rows,
    (SELECT count(DISTINCT payment_id) FROM unsigned)::integer AS payments,
    (SELECT count(*) FROM unchained)::integer AS unchained;

-- unchained_rows --
-- How many rows are not chained yet, and the first of them; no row if there are none.
SELECT
    count(*) AS rows,
    count(DISTINCT payment_id) AS payments,
    (array_agg(payment_id ORDER BY payment_id, version))[1] AS payment_id,
    (array_agg(version ORDER BY payment_id, version))[1] AS version
FROM payment_events
WHERE hash IS NULL
HAVING count(*) > 0;

-- unchained_row --
-- Any row that is not chained yet, of one payment or of all.
SELECT payment_id, version FROM payment_events
WHERE hash IS NULL AND (:payment_id::uuid IS NULL OR payment_id = :payment_id::uuid)
LIMIT 1;

-- inbox_reports --
SELECT id, event_id, receive_time, attempts, report, NULL::timestamptz AS retry_time
FROM inbox
WHERE id = ANY (:ids::bigint[]);

-- later_reports --
-- Reports that were stored up to a time, and settled by one of the next changes of the payment.
SELECT id, event_id, receive_time
FROM inbox
WHERE
    id = ANY (ARRAY(
        SELECT jsonb_array_elements_text(later.details -> 'reports')::bigint
        FROM (
            SELECT coalesce(content::jsonb -> 'details', details) AS details
            FROM payment_events
            WHERE payment_id = :payment_id::uuid AND create_time > :until::timestamptz
            ORDER BY version
            LIMIT :limit::integer
        ) AS later
    ))
    AND receive_time <= :until::timestamptz
ORDER BY id;

-- waiting_reports --
-- Reports of a provider that wait to be settled: observations with one of these references, or with
-- one as their second name, and events, which have no reference until they are translated. Each
-- part uses its own index.
(
    SELECT
        id, event_id, receive_time, attempts, report, false AS is_event,
        CASE WHEN attempts > 0 THEN locked_until END AS retry_time
    FROM inbox
    WHERE
        settle_time IS NULL
        AND provider = :provider::text
        AND report ->> 'reference' = ANY (:names::text[])
    ORDER BY id
    LIMIT :limit::integer
)
UNION ALL
(
    SELECT
        id, event_id, receive_time, attempts, report, false AS is_event,
        CASE WHEN attempts > 0 THEN locked_until END AS retry_time
    FROM inbox
    WHERE
        settle_time IS NULL
        AND provider = :provider::text
        AND report ->> 'also' IS NOT NULL
        AND report ->> 'also' = ANY (:names::text[])
        AND report ->> 'reference' <> ALL (:names::text[])
    ORDER BY id
    LIMIT :limit::integer
)
UNION ALL
(
    SELECT
        id, event_id, receive_time, attempts, report, true AS is_event,
        CASE WHEN attempts > 0 THEN locked_until END AS retry_time
    FROM inbox
    WHERE settle_time IS NULL AND provider = :provider::text AND report ? 'event'
    ORDER BY id
    LIMIT :limit::integer
)
ORDER BY id
LIMIT :limit::integer;

-- receipts_for --
-- Receipts without a payment that name this one, probably meant it, or bring exactly what it
-- misses, newest first. Of a flood of such receipts only the newest are searched.
SELECT id, asset, amount, state, time, details
FROM (
    SELECT * FROM receipts
    WHERE
        payment_id IS NULL
        AND time BETWEEN :since::timestamptz AND :until::timestamptz
    ORDER BY time DESC, id
    LIMIT 1000
) AS unmatched
WHERE
    provider = :provider::text
    AND store_time <= :until::timestamptz
    AND (
        reference = ANY (:names::text[])
        OR details ->> 'likely_payment' = ANY (:names::text[])
        OR (lower(asset) = lower(:asset::text) AND amount = :missing::text::numeric)
    )
ORDER BY time DESC, id
LIMIT :limit::integer;

-- put_events --
-- The unique index ignores repeats, and keeps other contents under the same id. Rows are inserted
-- in order of the event id, so that concurrent deliveries cannot deadlock.
INSERT INTO inbox (provider, event_id, content_hash, report, raw_body, traceparent, receive_time)
SELECT
    r.provider, r.event_id, r.content_hash, r.report, r.raw_body, r.traceparent,
    :now::timestamptz
FROM
    jsonb_to_recordset(:reports::jsonb) AS r (
        provider text, event_id text, content_hash bytea, report jsonb, raw_body bytea,
        traceparent text
    )
ORDER BY r.provider, r.event_id, r.content_hash
ON CONFLICT (provider, event_id, content_hash) DO NOTHING
RETURNING provider, event_id;

-- put_reports --
-- Store what a scan or a watch read together with its cursor. FOR SHARE on the lease's row
-- conflicts with the update in take_lease: either this statement waits and then finds another
-- fence, or the next holder waits for it. Once the next holder has the lease, an older holder
-- stores nothing.
WITH held AS MATERIALIZED (
    SELECT name FROM leases
    WHERE name = :lease::text AND fence = :fence::bigint
    FOR SHARE
),

allowed AS MATERIALIZED (
    SELECT true AS so
    WHERE :lease::text IS NULL OR EXISTS (SELECT 1 FROM held)
),

moved AS (
    INSERT INTO provider_cursors (provider, name, value, next_time)
    SELECT :provider::text, :cursor_name::text, :cursor::text, now() + :rest::interval
    FROM allowed
    WHERE :cursor_name::text IS NOT NULL
    ON CONFLICT (provider, name) DO UPDATE
    SET value = excluded.value, next_time = excluded.next_time
),

-- A receipt that is not final yet may become more final. Receipts of payments change by decisions.
received AS (
    INSERT INTO receipts (provider, id, asset, amount, state, time, reference, details)
    SELECT
        :provider::text, r.id, r.asset, r.amount, r.state, r.time, r.reference,
        coalesce(r.details, '{}'::jsonb)
    FROM
        allowed,
        jsonb_to_recordset(:receipts::jsonb) AS r (
            id text, asset text, amount numeric(78, 0), state text, time timestamptz,
            reference text, details jsonb
        )
    ORDER BY r.id
    ON CONFLICT (provider, id) DO UPDATE
    SET state = excluded.state, time = excluded.time
    WHERE
        receipts.payment_id IS NULL
        AND receipts.state IN ('SEEN', 'DROPPED')
        AND excluded.state <> 'SEEN'
        AND (receipts.asset, receipts.amount) = (excluded.asset, excluded.amount)
),

left_us AS (
    INSERT INTO outflows (provider, id, asset, amount, time, details)
    SELECT :provider::text, o.id, o.asset, o.amount, o.time, coalesce(o.details, '{}'::jsonb)
    FROM
        allowed,
        jsonb_to_recordset(:outflows::jsonb) AS o (
            id text, asset text, amount numeric(78, 0), time timestamptz, details jsonb
        )
    ORDER BY o.id
    ON CONFLICT (provider, id) DO NOTHING
),

stored AS (
    INSERT INTO inbox (provider, event_id, content_hash, report, receive_time)
    SELECT r.provider, r.event_id, r.content_hash, r.report, :now::timestamptz
    FROM
        allowed,
        jsonb_to_recordset(:reports::jsonb)
            AS r (provider text, event_id text, content_hash bytea, report jsonb)
    ORDER BY r.provider, r.event_id, r.content_hash
    ON CONFLICT (provider, event_id, content_hash) DO NOTHING
    RETURNING id
)

SELECT
    EXISTS (SELECT 1 FROM allowed) AS is_allowed,
    (SELECT count(*) FROM stored)::integer AS new;

-- is_waiting --
-- Whether an observation with one of these references is stored and not settled yet.
SELECT
    EXISTS (
        SELECT 1 FROM inbox
        WHERE
            settle_time IS NULL
            AND provider = :provider::text
            AND report ->> 'reference' = ANY (:references::text[])
    )
    OR EXISTS (
        SELECT 1 FROM inbox
        WHERE
            settle_time IS NULL
            AND provider = :provider::text
            -- The index of second names has only rows with one.
            AND report ->> 'also' IS NOT NULL
            AND report ->> 'also' = ANY (:references::text[])
    ) AS waits;

-- waiting_events --
-- Includes claimed rows; locks nothing.
SELECT id, report
FROM inbox
WHERE
    settle_time IS NULL
    AND provider = :provider::text
    AND id > :after_id::bigint
    AND report ? 'event'
ORDER BY id
LIMIT :limit::integer;

-- claim_inbox --
-- SKIP LOCKED gives each row to one worker; the lease ends if the worker dies. Each provider with
-- waiting rows gets a share of the limit, so that none waits behind many rows of another.
WITH RECURSIVE waiting AS (
    -- A loose index scan: one index lookup per provider.
    SELECT min(provider) AS provider FROM inbox WHERE settle_time IS NULL
    UNION ALL
    SELECT (
        SELECT min(i.provider) FROM inbox AS i
        WHERE i.settle_time IS NULL AND i.provider > waiting.provider
    )
    FROM waiting
    WHERE waiting.provider IS NOT NULL
),

share AS (
    SELECT greatest(1, :limit::integer / greatest(1, count(provider)))::integer AS rows FROM waiting
),

next AS MATERIALIZED (
    SELECT oldest.id
    FROM waiting
    CROSS JOIN LATERAL (
        -- Not `=`, and ordered by both: the planner would read the inbox by id from its beginning.
        SELECT i.id FROM inbox AS i
        WHERE i.provider BETWEEN waiting.provider AND waiting.provider
            AND i.settle_time IS NULL
            AND i.locked_until <= now()
        ORDER BY i.provider, i.id
        LIMIT (SELECT rows FROM share)
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS oldest
)

UPDATE inbox AS i
SET attempts = i.attempts + 1, locked_until = now() + :lease::interval
-- The planner estimates too many rows and would join them with the whole inbox; with an array it
-- looks up each id.
WHERE i.id = ANY (ARRAY(SELECT id FROM next))
RETURNING
    i.id, i.provider, i.report, i.attempts, i.receive_time, i.traceparent,
    -- Evaluated now, not when stored: two daemons may store two contents at the same time.
    EXISTS (
        SELECT 1 FROM inbox AS first
        WHERE first.provider = i.provider AND first.event_id = i.event_id AND first.id < i.id
    ) AS conflicting,
    (SELECT rows FROM share) AS share,
    -- For this statement only. A crash of the server may lose a claim, which is then made again, as
    -- after a lease: no worker waits for its fsync or for a standby.
    set_config('synchronous_commit', 'off', TRUE);

-- finish_inbox --
-- Locked in order of id: after the lease of a slow daemon another may update the same rows.
WITH ours AS MATERIALIZED (
    SELECT id FROM inbox
    WHERE id = ANY (:row_ids::bigint[]) AND settle_time IS NULL
    ORDER BY id
    FOR NO KEY UPDATE
)

UPDATE inbox AS i
SET settle_time = now(), outcome = ends.outcome
FROM unnest(:row_ids::bigint[], :outcomes::text[]) AS ends (id, outcome)
WHERE i.id = ends.id AND i.id = ANY (ARRAY(SELECT id FROM ours));

-- park_inbox --
-- Locked in order of id, as in finish_inbox.
WITH ours AS MATERIALIZED (
    SELECT id FROM inbox
    WHERE id = ANY (:row_ids::bigint[]) AND settle_time IS NULL
    ORDER BY id
    FOR NO KEY UPDATE
)

UPDATE inbox AS i
SET locked_until = now() + parked.retry_in
FROM unnest(:row_ids::bigint[], :retry_in::interval[]) AS parked (id, retry_in)
WHERE i.id = parked.id AND i.id = ANY (ARRAY(SELECT id FROM ours));

-- forget_raw_bodies --
-- The event in `report` stays; the raw body may contain personal data and goes after the retention.
-- A limited batch, so that no lock lasts long; SKIP LOCKED, so that daemons do not wait for each
-- other.
WITH batch AS MATERIALIZED (
    SELECT id FROM inbox
    WHERE raw_body IS NOT NULL AND receive_time < now() - :retention::interval
    ORDER BY receive_time
    LIMIT :limit::integer
    FOR NO KEY UPDATE SKIP LOCKED
),

forgotten AS (
    UPDATE inbox
    SET raw_body = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM batch))
    RETURNING id
)

SELECT count(*)::integer AS rows FROM forgotten;

-- claim_cursor --
-- Moving next_time is the lease: the daemon that moves it reads the list, and another one continues
-- after the lease has ended.
INSERT INTO provider_cursors (provider, name, next_time)
VALUES (:provider::text, :cursor_name::text, now() + :lease::interval)
ON CONFLICT (provider, name) DO UPDATE
SET next_time = excluded.next_time
WHERE provider_cursors.next_time <= now()
RETURNING value;

-- shorten_rest --
UPDATE provider_cursors
SET next_time = now() + :rest::interval
WHERE name = :cursor_name::text AND next_time > now() + :rest::interval;

-- pass_rests --
-- For a clock that was moved: each cursor's rest, or lease, ends so much earlier.
UPDATE provider_cursors
SET next_time = next_time - :span::interval;

-- read_cursor --
SELECT value FROM provider_cursors
WHERE provider = :provider::text AND name = :cursor_name::text;

-- open_session --
-- By a statement, since poolers refuse settings in the startup message. The process id is the
-- server's; through a pooler it differs from the one in the client's startup.
SELECT
    count(set_config(wanted.name, wanted.setting, false)) AS settings,
    pg_backend_pid() AS process_id
FROM unnest(:names::text[], :settings::text[]) AS wanted (name, setting);

-- session_process --
SELECT pg_backend_pid();

-- try_lease_lock --
-- A session-level lock, so that it ends with the session of the daemon.
SELECT pg_try_advisory_lock(hashtextextended('payd lease ' || :name::text, 0)) AS is_held;

-- take_lease --
-- Run while holding the lock. Waits for put_reports with the older fence, and refuses later ones.
INSERT INTO leases (name, fence, acquire_time)
VALUES (:name::text, 1, now())
ON CONFLICT (name) DO UPDATE
SET fence = leases.fence + 1, acquire_time = now()
RETURNING fence;

-- stored_receipt --
SELECT provider, id, payment_id, asset, amount, state, time, reference, details
FROM receipts
WHERE provider = :provider::text AND id = :receipt_id::text;

-- payment_receipts --
-- Newest first; the reader turns them round.
SELECT id, asset, amount, state, time, details
FROM receipts
WHERE payment_id = :payment_id::uuid
ORDER BY time DESC, id DESC
LIMIT :limit::integer;

-- count_payment_receipts --
-- From the index alone, as far as its rows were vacuumed.
SELECT count(*) AS receipts FROM receipts
WHERE payment_id = :payment_id::uuid;

-- list_receipts --
-- Newest first. Of each provider, matched or not, no more than the page is read. With the first
-- comparison of the time the walk begins at the page; the second one leaves out what was listed.
WITH RECURSIVE source AS (
    -- A loose index scan: one index lookup per provider.
    SELECT min(provider) AS provider FROM receipts
    UNION ALL
    SELECT (SELECT min(r.provider) FROM receipts AS r WHERE r.provider > source.provider)
    FROM source
    WHERE source.provider IS NOT NULL
)

SELECT
    page.provider, page.id, page.payment_id, page.asset, page.amount, page.state, page.time,
    page.reference, page.details
FROM
    source
    CROSS JOIN unnest(:unmatched::boolean[]) AS kind (is_unmatched)
    CROSS JOIN LATERAL (
        SELECT
            r.provider, r.id, r.payment_id, r.asset, r.amount, r.state, r.time, r.reference,
            r.details
        FROM receipts AS r
        WHERE
            r.provider = source.provider
            AND (r.payment_id IS NULL) = kind.is_unmatched
            AND
-- here: receipts_of_page --
    ) AS page
WHERE :provider::text = '' OR source.provider = :provider::text
ORDER BY page.time DESC, page.provider DESC, page.id DESC
LIMIT :limit::integer;

-- list_receipts_of_payment --
SELECT r.provider, r.id, r.payment_id, r.asset, r.amount, r.state, r.time, r.reference, r.details
FROM receipts AS r
WHERE
    r.payment_id = :payment_id::uuid
    AND (:provider::text = '' OR r.provider = :provider::text)
    AND
-- here: receipts_of_page --
;

-- part receipts_of_page --
        r.time >= coalesce(:time_from::timestamptz, '-infinity')
        AND r.time <= coalesce(:before_time::timestamptz, 'infinity')
        AND (r.time, r.provider, r.id) < (
            coalesce(:before_time::timestamptz, 'infinity'),
            :before_provider::text,
            :before_id::text
        )
        ORDER BY r.time DESC, r.provider DESC, r.id DESC
        LIMIT :limit::integer

-- count_unmatched --
SELECT count(*) AS unmatched FROM receipts
WHERE payment_id IS NULL;

-- book --
-- One statement reads one snapshot: the sums match the cursor that was stored with them, and each
-- change is counted once, in ledger_sums or in ledger_changes.
WITH entries AS (
    SELECT side, asset, units FROM ledger_sums
    WHERE provider = :provider::text
    UNION ALL
    SELECT side, asset, units FROM ledger_changes
    WHERE provider = :provider::text
),

sums AS (
    SELECT side, asset, sum(units) AS units FROM entries
    GROUP BY side, asset
    HAVING sum(units) <> 0
)

SELECT
    (
        SELECT value FROM provider_cursors
        WHERE provider = :provider::text AND name = :cursor_name::text
    ) AS cursor,
    (
        SELECT coalesce(jsonb_object_agg(asset, units::text), '{}'::jsonb) FROM sums
        WHERE side = 'received'
    ) AS received,
    (
        SELECT coalesce(jsonb_object_agg(asset, units::text), '{}'::jsonb) FROM sums
        WHERE side = 'outflows'
    ) AS outflows;

-- fold_ledger --
-- Add a limited batch of changes to the sums. SKIP LOCKED gives each change to one daemon, and the
-- sums are locked in order, so that two daemons cannot deadlock.
WITH batch AS MATERIALIZED (
    SELECT id FROM ledger_changes
    ORDER BY id
    LIMIT :limit::integer
    FOR UPDATE SKIP LOCKED
),

taken AS (
    DELETE FROM ledger_changes
    WHERE id = ANY (ARRAY(SELECT id FROM batch))
    RETURNING provider, side, asset, units
),

folded AS (
    INSERT INTO ledger_sums AS s (provider, side, asset, units)
    SELECT provider, side, asset, sum(units) FROM taken
    GROUP BY provider, side, asset
    ORDER BY provider, side, asset
    ON CONFLICT (provider, side, asset) DO UPDATE
    SET units = s.units + excluded.units
)

SELECT count(*)::integer AS rows FROM taken;

-- page_of_receipts --
-- Sums of one page of the ledger, by asset, and the id after which the next page begins.
WITH page AS MATERIALIZED (
    SELECT id, lower(asset) AS asset, amount, state FROM receipts
    WHERE provider = :provider::text AND id > :after_id::text
    ORDER BY id
    LIMIT :limit::integer
),

sums AS (
    SELECT asset, sum(amount) AS units FROM page
    WHERE state = 'CONFIRMED'
    GROUP BY asset
)

SELECT
    (SELECT max(id) FROM page) AS last_id,
    (SELECT coalesce(jsonb_object_agg(asset, units::text), '{}'::jsonb) FROM sums) AS sums;

-- page_of_outflows --
-- As page_of_receipts.
WITH page AS MATERIALIZED (
    SELECT id, lower(asset) AS asset, amount FROM outflows
    WHERE provider = :provider::text AND id > :after_id::text
    ORDER BY id
    LIMIT :limit::integer
),

sums AS (
    SELECT asset, sum(amount) AS units FROM page
    GROUP BY asset
)

SELECT
    (SELECT max(id) FROM page) AS last_id,
    (SELECT coalesce(jsonb_object_agg(asset, units::text), '{}'::jsonb) FROM sums) AS sums;

-- provider_objects --
-- Payments with an object at the provider, by pages, to compare with the provider's list. Of each
-- method and status no more than the page is read.
WITH RECURSIVE kind AS (
    -- A loose index scan: one index lookup per method and status.
    (
        SELECT method, status FROM payments
        WHERE provider = :provider::text
        ORDER BY method, status
        LIMIT 1
    )
    UNION ALL
    SELECT next.method, next.status
    FROM
        kind,
        LATERAL (
            SELECT p.method, p.status FROM payments AS p
            WHERE p.provider = :provider::text AND (p.method, p.status) > (kind.method, kind.status)
            ORDER BY p.method, p.status
            LIMIT 1
        ) AS next
)

SELECT page.id, page.status, page.provider_reference, page.create_time
FROM
    kind
    CROSS JOIN LATERAL (
        SELECT p.id, p.status, p.provider_reference, p.create_time FROM payments AS p
        WHERE
            p.provider = :provider::text
            AND p.method = kind.method
            AND p.status = kind.status
            AND p.provider_reference IS NOT NULL
            AND p.create_time >= :since::timestamptz
            AND (p.create_time, p.id) > (:after_time::timestamptz, :after_id::uuid)
            AND p.create_time < :until::timestamptz
        ORDER BY p.create_time, p.id
        LIMIT :limit::integer
    ) AS page
ORDER BY page.create_time, page.id
LIMIT :limit::integer;

-- add_reconciliation --
INSERT INTO reconciliations (
    provider, since, until, start_time, end_time, objects, payments, findings
)
VALUES (
    :provider::text, :since::timestamptz, :until::timestamptz, :start_time::timestamptz,
    :end_time::timestamptz, :objects::integer, :payments::integer, :findings::jsonb
);

-- reconciliations --
-- Newest first.
SELECT id, provider, since, until, start_time, end_time, objects, payments, findings
FROM reconciliations
WHERE
    (:provider::text = '' OR provider = :provider::text)
    AND end_time <= coalesce(:before_time::timestamptz, 'infinity')
    AND (end_time, id) < (coalesce(:before_time::timestamptz, 'infinity'), :before_id::bigint)
ORDER BY end_time DESC, id DESC
LIMIT :limit::integer;

-- daily_sums --
-- One statement reads one snapshot: each change is counted once, in the sums or by itself.
SELECT
    day, method, status, currency_code,
    sum(payments)::bigint AS payments,
    sum(minor_units)::numeric AS minor_units
FROM (
    SELECT day, method, status, currency_code, payments, minor_units FROM payment_sums
    WHERE day >= :first_day::date
    UNION ALL
    SELECT day, method, status, currency_code, payments, minor_units FROM payment_sum_changes
    WHERE day >= :first_day::date
) AS entries
GROUP BY day, method, status, currency_code
HAVING sum(payments) <> 0
ORDER BY day DESC, method, currency_code, status;

-- fold_payment_sums --
-- As fold_ledger.
WITH batch AS MATERIALIZED (
    SELECT id FROM payment_sum_changes
    ORDER BY id
    LIMIT :limit::integer
    FOR UPDATE SKIP LOCKED
),

taken AS (
    DELETE FROM payment_sum_changes
    WHERE id = ANY (ARRAY(SELECT id FROM batch))
    RETURNING day, method, status, currency_code, payments, minor_units
),

folded AS (
    INSERT INTO payment_sums AS s (day, method, status, currency_code, payments, minor_units)
    SELECT day, method, status, currency_code, sum(payments), sum(minor_units) FROM taken
    GROUP BY day, method, status, currency_code
    ORDER BY day, method, status, currency_code
    ON CONFLICT (day, method, status, currency_code) DO UPDATE
    SET
        payments = s.payments + excluded.payments,
        minor_units = s.minor_units + excluded.minor_units
)

SELECT count(*)::integer AS rows FROM taken;

-- claim_outbox --
-- Only the oldest unpublished event of each payment, so that its events keep their order. Rows are
-- found by status, never by `id > cursor`: transactions may commit in another order than the
-- sequence's, and a cursor would skip the late ones.
WITH next AS MATERIALIZED (
    SELECT id FROM outbox AS head
    WHERE
        publish_time IS NULL
        AND locked_until <= now()
        AND NOT EXISTS (
            SELECT 1 FROM outbox AS older
            WHERE
                older.payment_id = head.payment_id
                AND older.publish_time IS NULL
                AND older.id < head.id
        )
    ORDER BY id
    LIMIT :limit::integer
    FOR NO KEY UPDATE SKIP LOCKED
)

UPDATE outbox AS o
SET attempts = o.attempts + 1, locked_until = now() + :lease::interval
-- An array, as in claim_inbox.
WHERE o.id = ANY (ARRAY(SELECT id FROM next)) AND o.publish_time IS NULL
RETURNING
    o.id, o.event_id, o.payment_id, o.subject, o.headers, o.body,
    (
        SELECT before.event_id FROM outbox AS before
        WHERE before.payment_id = o.payment_id AND before.id < o.id
        ORDER BY before.id DESC
        LIMIT 1
    ) AS previous_event_id,
    EXISTS (
        SELECT 1 FROM outbox AS after
        WHERE after.payment_id = o.payment_id AND after.publish_time IS NULL AND after.id > o.id
    ) AS has_next,
    -- As in claim_inbox.
    set_config('synchronous_commit', 'off', TRUE);

-- mark_published --
-- Locked in order of id: after the lease of a slow daemon another may update the same rows.
WITH ours AS MATERIALIZED (
    SELECT id FROM outbox
    WHERE id = ANY (:row_ids::bigint[]) AND publish_time IS NULL
    ORDER BY id
    FOR NO KEY UPDATE
)

UPDATE outbox
SET publish_time = now(), last_error = NULL
WHERE id = ANY (ARRAY(SELECT id FROM ours));

-- release_outbox --
-- Locked in order of id, as in mark_published.
WITH ours AS MATERIALIZED (
    SELECT id FROM outbox
    WHERE id = ANY (:row_ids::bigint[]) AND publish_time IS NULL
    ORDER BY id
    FOR NO KEY UPDATE
)

UPDATE outbox AS o
SET locked_until = now() + :retry_in::interval, last_error = failed.error
FROM unnest(:row_ids::bigint[], :errors::text[]) AS failed (id, error)
WHERE o.id = failed.id AND o.id = ANY (ARRAY(SELECT id FROM ours));

-- outbox_depth --
SELECT
    count(*) AS depth,
    coalesce(extract(EPOCH FROM :now::timestamptz - min(create_time)), 0)::float8 AS oldest_age_s
FROM outbox
WHERE publish_time IS NULL;

-- inbox_depth --
SELECT count(*) AS depth FROM inbox
WHERE settle_time IS NULL;

-- published_in_span --
-- For republishing after the stream lost acknowledged events. A payment's events were published in
-- their order, so this is their order, too.
-- here: published_event --
WHERE
    (o.publish_time, o.id) > (:after_time::timestamptz, :after_id::bigint)
    AND o.publish_time < coalesce(:before_time::timestamptz, 'infinity')
ORDER BY o.publish_time, o.id
LIMIT :limit::integer;

-- published_of_payment --
-- here: published_event --
WHERE
    o.payment_id = :payment_id::uuid
    AND (o.publish_time, o.id) > (:after_time::timestamptz, :after_id::bigint)
ORDER BY o.publish_time, o.id
LIMIT :limit::integer;

-- published_with_id --
-- here: published_event --
WHERE o.event_id = :event_id::uuid AND o.publish_time IS NOT NULL;

-- part published_event --
SELECT
    o.id, o.event_id, o.payment_id, o.subject, o.headers, o.body, o.publish_time,
    (
        SELECT before.event_id FROM outbox AS before
        WHERE before.payment_id = o.payment_id AND before.id < o.id
        ORDER BY before.id DESC
        LIMIT 1
    ) AS previous_event_id
FROM outbox AS o

-- delete_published --
-- A limited batch with SKIP LOCKED, as in forget_raw_bodies.
WITH batch AS MATERIALIZED (
    SELECT id FROM outbox
    WHERE publish_time < now() - :retention::interval
    ORDER BY publish_time
    LIMIT :limit::integer
    FOR UPDATE SKIP LOCKED
),

deleted AS (
    DELETE FROM outbox
    WHERE id = ANY (ARRAY(SELECT id FROM batch))
    RETURNING id
)

SELECT count(*)::integer AS rows FROM deleted;

-- database_time --
SELECT clock_timestamp() AS time;

-- ping --
SELECT 1 AS alive;

-- list_movements --
-- Movements of money, oldest first, with the names under which a provider reports them.
WITH
-- here: booked_movements --

SELECT
    booked.*,
    CASE
        WHEN booked.kind = 'PAYMENT' AND booked.token_address IS NOT NULL
            THEN booked.names || array_remove(
                ARRAY(
                    SELECT r.details ->> 'transaction' FROM receipts AS r
                    WHERE r.payment_id = booked.payment_id AND r.state = 'CONFIRMED'
                    ORDER BY r.time, r.id COLLATE "C"
                    LIMIT 20
                ),
                NULL
            )
        ELSE booked.names
    END AS aliases
FROM booked
ORDER BY booked.time, booked.id;

-- sum_movements --
-- Sums of the same movements, a row for each account. Each row has the place of the last movement.
WITH
-- here: booked_movements --

SELECT
    provider,
    method,
    currency,
    chain_id,
    token_address,
    token_decimals,
    count(*) FILTER (WHERE kind = 'PAYMENT') AS payments,
    count(*) FILTER (WHERE kind = 'REFUND') AS refunds,
    count(*) FILTER (WHERE kind = 'DISPUTE') AS disputes,
    count(*) FILTER (WHERE kind = 'DISPUTE_RETURN') AS dispute_returns,
    count(fee) AS payments_with_fee,
    sum(gross) AS gross,
    sum(refunded) AS refunded,
    sum(disputed) AS disputed,
    sum(fee) AS fee,
    (SELECT m.time FROM moved AS m ORDER BY m.time DESC, m.id DESC LIMIT 1) AS last_time,
    (SELECT m.id FROM moved AS m ORDER BY m.time DESC, m.id DESC LIMIT 1) AS last_id
FROM booked
GROUP BY provider, method, currency, chain_id, token_address, token_decimals;

-- part booked_movements --
-- The first :limit movements after (:after_time, :after_id) and before :before_time. Each kind is
-- read along an index of its own, no more than :limit rows of it. A dispute has no UUID: one is
-- made of its names.
moved AS MATERIALIZED (
    (
        SELECT
            p.complete_time AS time,
            p.id,
            'PAYMENT' AS kind,
            p.id AS payment_id,
            0::numeric AS amount,
            coalesce(p.provider_reference, '') AS reference,
            NULL::text AS asset
        FROM payments AS p
        WHERE
            p.complete_time < :before_time::timestamptz
            AND (p.complete_time, p.id) > (:after_time::timestamptz, :after_id::uuid)
        ORDER BY p.complete_time, p.id
        LIMIT :limit::integer
    )
    UNION ALL
    (
        SELECT
            r.complete_time, r.id, 'REFUND', r.payment_id, r.amount,
            coalesce(r.provider_reference, ''), NULL
        FROM refunds AS r
        WHERE
            r.status = 'SUCCEEDED'
            AND r.complete_time < :before_time::timestamptz
            AND (r.complete_time, r.id) > (:after_time::timestamptz, :after_id::uuid)
        ORDER BY r.complete_time, r.id
        LIMIT :limit::integer
    )
    UNION ALL
    (
        SELECT d.open_time, own.id, 'DISPUTE', d.payment_id, d.amount, d.id, d.asset
        FROM
            disputes AS d,
            LATERAL (SELECT md5('opened ' || d.provider || ' ' || d.id)::uuid AS id) AS own
        WHERE
            d.status NOT IN ('INQUIRY', 'INQUIRY_CLOSED')
            AND d.open_time >= :after_time::timestamptz
            AND d.open_time < :before_time::timestamptz
            AND (d.open_time, own.id) > (:after_time::timestamptz, :after_id::uuid)
        ORDER BY d.open_time, own.id
        LIMIT :limit::integer
    )
    UNION ALL
    (
        SELECT d.as_of, own.id, 'DISPUTE_RETURN', d.payment_id, d.amount, d.id, d.asset
        FROM
            disputes AS d,
            LATERAL (SELECT md5('returned ' || d.provider || ' ' || d.id)::uuid AS id) AS own
        WHERE
            d.status IN ('WITHDRAWN', 'WON')
            AND d.as_of >= :after_time::timestamptz
            AND d.as_of < :before_time::timestamptz
            AND (d.as_of, own.id) > (:after_time::timestamptz, :after_id::uuid)
        ORDER BY d.as_of, own.id
        LIMIT :limit::integer
    )
    ORDER BY time, id
    LIMIT :limit::integer
),

-- With the payment, its account, and what counts where. OFFSET 0 makes the planner look up each
-- payment by its id: a join with a CTE might read the whole table.
booked AS MATERIALIZED (
    SELECT
        moved.time,
        moved.id,
        moved.kind,
        moved.payment_id,
        moved.reference,
        p.provider,
        p.method,
        p.currency,
        p.chain_id,
        p.token_address,
        p.token_decimals,
        p.payment_reference,
        p.names,
        p.customer_id,
        p.idempotency_key,
        CASE moved.kind WHEN 'PAYMENT' THEN p.brought ELSE 0 END AS gross,
        CASE moved.kind WHEN 'REFUND' THEN moved.amount ELSE 0 END AS refunded,
        -- Of another asset than the payment's nothing counts, as in the domain.
        CASE
            WHEN moved.asset IS NULL THEN 0
            WHEN lower(moved.asset) <> lower(coalesce(p.token_address, p.currency)) THEN 0
            WHEN moved.kind = 'DISPUTE' THEN moved.amount
            ELSE -moved.amount
        END AS disputed,
        CASE moved.kind WHEN 'PAYMENT' THEN p.fee END AS fee
    FROM
        moved,
        LATERAL (
            SELECT
                one.provider,
                one.method,
                coalesce(one.crypto_currency, one.currency_code) AS currency,
                one.chain_id,
                one.token_address,
                one.token_decimals,
                coalesce(one.provider_reference, '') AS payment_reference,
                one.aliases AS names,
                one.customer_id,
                one.idempotency_key,
                one.fee,
                -- As Payment.confirmed: snapshots and receipts may report the same money. The sums
                -- of receipts are the payment's if they are of its version; the previous version of
                -- payd writes receipts without sums.
                greatest(
                    one.snapshot_confirmed,
                    CASE
                        WHEN (one.receipt_sums ->> 'version')::integer = one.version
                            THEN (
                                SELECT sum(part::numeric)
                                FROM jsonb_array_elements_text(one.receipt_sums -> 'confirmed')
                                    AS part
                            )
                        ELSE (
                            SELECT sum(r.amount) FROM receipts AS r
                            WHERE r.payment_id = one.id AND r.state = 'CONFIRMED'
                        )
                    END
                ) AS brought
            FROM payments AS one
            WHERE one.id = moved.payment_id
            OFFSET 0
        ) AS p
);

-- take_tags --
-- The next block of numbers, and the key that makes tags of them. A rollback gives no number back.
SELECT nextval('payment_tag_blocks') AS block, key FROM payment_tag_key;

-- hold_sending --
-- A backup was read in. Numbers for tags that were given out since are skipped, and everything that
-- looks at a provider is due at once: scans, comparisons, and the checks of open payments and
-- refunds. Watches go on from the cursors of the backup. Repeating it holds anew.
WITH skipped AS (
    SELECT setval('payment_tag_blocks', nextval('payment_tag_blocks') + 1000000)
),

cursors AS (
    UPDATE provider_cursors SET next_time = now()
    WHERE name <> :watch::text AND next_time > now()
),

payments_due AS (
    UPDATE payments SET next_look_time = now() WHERE next_look_time > now()
),

refunds_due AS (
    UPDATE refunds SET next_look_time = now() WHERE next_look_time > now()
)

INSERT INTO restores (newest_change_time, cursors)
SELECT
    (SELECT create_time FROM payment_events ORDER BY id DESC LIMIT 1),
    coalesce(
        (
            SELECT jsonb_object_agg(provider || '/' || name, value) FROM provider_cursors
        ),
        '{}'
    )
FROM skipped
ON CONFLICT (is_held) DO UPDATE
SET
    hold_time = excluded.hold_time,
    newest_change_time = excluded.newest_change_time,
    cursors = excluded.cursors;

-- newest_restore --
SELECT id, hold_time, newest_change_time, cursors, release_time
FROM restores ORDER BY id DESC LIMIT 1;

-- release_sending --
UPDATE restores SET release_time = now(), is_held = NULL WHERE is_held RETURNING id;

-- cursors_now --
-- A daemon that reads a list has a lease of a minute at most; a finished scan rests for longer.
SELECT provider, name, value, next_time > now() + :lease::interval AS rests
FROM provider_cursors ORDER BY provider, name;

-- unmatched_since --
SELECT provider, id, reference, amount, asset, time
FROM receipts WHERE payment_id IS NULL AND store_time >= :since::timestamptz
ORDER BY time DESC, id;

-- payment_versions --
SELECT id, version FROM payments WHERE id = ANY (:payment_ids::uuid[]);
