-- Labels of the payments that existed before. Sorted, which fills the index from left to right.
INSERT INTO payment_labels (label, create_time, payment_id)
SELECT label, p.create_time, p.id
FROM payments AS p, labels_of(p.subscription_ids, p.metadata) AS label
ORDER BY label, p.create_time, p.id
ON CONFLICT DO NOTHING;

-- Lists by status, method and provider, together or alone, and of all payments: of each
-- combination the newest, of which there are few.
DROP INDEX CONCURRENTLY IF EXISTS payments_by_kind;
CREATE INDEX CONCURRENTLY payments_by_kind
    ON payments (provider, method, status, create_time, id);

-- Lists by customer, and by e-mail through the customers that have it.
DROP INDEX CONCURRENTLY IF EXISTS payments_by_customer;
CREATE INDEX CONCURRENTLY payments_by_customer ON payments (customer_id, create_time, id);

DROP INDEX CONCURRENTLY IF EXISTS customers_by_email;
CREATE INDEX CONCURRENTLY customers_by_email ON customers (lower(email)) WHERE email <> '';

-- Lists of payments with attention, newest first. Few payments have any.
DROP INDEX CONCURRENTLY IF EXISTS newest_payments_with_attention;
CREATE INDEX CONCURRENTLY newest_payments_with_attention
    ON payments (create_time, id) WHERE attention <> '{}' OR attention_since IS NOT NULL;

-- Finds a payment by a transaction of a chain.
DROP INDEX CONCURRENTLY IF EXISTS receipts_by_transaction;
CREATE INDEX CONCURRENTLY receipts_by_transaction
    ON receipts ((details ->> 'transaction')) WHERE details ->> 'transaction' IS NOT NULL;

-- Finds a payment by the memo of the transfer that refunds it.
DROP INDEX CONCURRENTLY IF EXISTS refunds_by_memo;
CREATE INDEX CONCURRENTLY refunds_by_memo
    ON refunds ((next_action ->> 'memo')) WHERE next_action ->> 'memo' IS NOT NULL;
