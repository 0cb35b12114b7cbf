-- Completed payments number :first to :last, with the smallest bodies that real ones have.
-- The id of payment n is md5('s' || n): a client computes it without asking the database.

-- customers --
INSERT INTO customers (id, wallet_address, email, create_time, update_time)
SELECT 'user-' || n, '', '', now(), now()
FROM generate_series(0, 999) AS n
ON CONFLICT DO NOTHING;

-- payments --
-- One every three seconds, the newest one a day ago.
INSERT INTO payments (
    id, version, status, idempotency_key, request_hash, customer_id, method, provider,
    currency_code, amount_minor_units, subscription_ids, return_url, cancel_url, metadata,
    pricing_version, request_id, traceparent, create_time, update_time, expire_time,
    complete_time, close_time, asking, provider_reference, aliases, next_action,
    snapshot_received, snapshot_confirmed, snapshot_refunded, attention, late, looks
)
SELECT
    md5('s' || n)::uuid, 3, 'COMPLETED', md5('k' || n)::uuid::text, sha256('r'),
    'user-' || n % 1000, 'null', 'null', 'USD', 14900, ARRAY[md5('u' || n)::uuid::text],
    'https://shop.example/return', '', '{}', md5('prices') || md5('list'), '', '',
    born.at, born.at + interval '1 min', born.at + interval '30 min',
    born.at + interval '1 min', born.at + interval '1 min', 'ANSWERED', 'null_' || md5('s' || n),
    '{}',
    jsonb_build_object('kind', 'redirect', 'url', 'https://null.invalid/pay/' || md5('s' || n)),
    0, 0, 0, '{}', false, 0
FROM
    generate_series(:first::bigint, :last::bigint) AS n,
    LATERAL (
        SELECT now() - interval '1 day' - (n || ' seconds')::interval * 3 AS at
    ) AS born;

-- payment_line_items --
INSERT INTO payment_line_items (
    payment_id, position, chain_profile_id, node_type, duration, unit_price_minor_units
)
SELECT md5('s' || n)::uuid, 0, 'ethereum-mainnet', 'full', '30d', 14900
FROM generate_series(:first::bigint, :last::bigint) AS n;

-- payment_events --
INSERT INTO payment_events (
    payment_id, version, event_type, actor, request_id, ip, details, create_time
)
SELECT
    md5('s' || n)::uuid, v.version, v.event_type, 'bench', '', '',
    jsonb_build_object(
        'changes', jsonb_build_object('version', v.version, 'status', upper(v.status))
    ),
    now() - interval '1 day' - (n || ' seconds')::interval * 3
FROM
    generate_series(:first::bigint, :last::bigint) AS n,
    (
        VALUES
        (1, 'payment_creating', 'creating'),
        (2, 'payment_pending', 'pending'),
        (3, 'payment_completed', 'completed')
    ) AS v (version, event_type, status);

-- receipts --
INSERT INTO receipts (provider, id, payment_id, asset, amount, state, time)
SELECT
    'null', 'null_' || md5('s' || n), md5('s' || n)::uuid, 'USD', 14900, 'CONFIRMED',
    now() - interval '1 day' - (n || ' seconds')::interval * 3
FROM generate_series(:first::bigint, :last::bigint) AS n;

-- inbox --
INSERT INTO inbox (
    provider, event_id, content_hash, report, receive_time, attempts, settle_time, outcome
)
SELECT
    'null', 'null_' || md5('s' || n), sha256(int8send(n)),
    jsonb_build_object('id', 'null_' || md5('s' || n), 'reference', md5('s' || n)::uuid),
    now() - interval '1 day' - (n || ' seconds')::interval * 3, 1,
    now() - interval '1 day' - (n || ' seconds')::interval * 3, 'applied'
FROM generate_series(:first::bigint, :last::bigint) AS n;

-- outbox --
INSERT INTO outbox (
    event_id, payment_id, subject, headers, body, create_time, attempts, publish_time
)
SELECT
    md5('e' || n)::uuid, md5('s' || n)::uuid, 'payment.completed', '{}',
    convert_to('{"id": "' || md5('s' || n)::uuid || '", "status": "COMPLETED"}', 'UTF8'),
    now() - interval '1 day' - (n || ' seconds')::interval * 3, 1,
    -- Within the retention: no daemon deletes them while we measure.
    now() - interval '1 day'
FROM generate_series(:first::bigint, :last::bigint) AS n;

-- ledger_sums --
-- Triggers, which would do it, are off while rows are inserted.
SELECT recount_ledger();

-- labels --
-- Triggers, which would do it, are off while rows are inserted.
INSERT INTO payment_labels (label, create_time, payment_id)
SELECT label, p.create_time, p.id
FROM payments AS p, labels_of(p.subscription_ids, p.metadata) AS label
ORDER BY label, p.create_time, p.id
ON CONFLICT DO NOTHING;

-- foreign_keys --
SELECT
    conrelid::regclass::text AS relation, conname AS name,
    pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE contype = 'f' AND connamespace = 'public'::regnamespace;

-- keys --
SELECT
    conrelid::regclass::text AS relation, conname AS name,
    pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE contype IN ('p', 'u') AND conrelid::regclass::text = ANY (:tables::text[]);

-- indexes --
SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index AS i INNER JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE
    i.indrelid::regclass::text = ANY (:tables::text[])
    AND NOT EXISTS (SELECT 1 FROM pg_constraint AS k WHERE k.conindid = i.indexrelid);

-- read_indexes --
SELECT sum(pg_prewarm(oid))
FROM pg_class
WHERE relkind = 'i' AND relnamespace = 'public'::regnamespace;
