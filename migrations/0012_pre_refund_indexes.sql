-- I18: a key and a refund of the provider belong to one refund.
DROP INDEX CONCURRENTLY IF EXISTS one_refund_per_idempotency_key;
CREATE UNIQUE INDEX CONCURRENTLY one_refund_per_idempotency_key
    ON refunds (idempotency_key) WHERE idempotency_key <> '';

DROP INDEX CONCURRENTLY IF EXISTS one_refund_per_provider_object;
CREATE UNIQUE INDEX CONCURRENTLY one_refund_per_provider_object
    ON refunds (provider, provider_reference) WHERE provider_reference IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS refunds_by_payment;
CREATE INDEX CONCURRENTLY refunds_by_payment ON refunds (payment_id);

DROP INDEX CONCURRENTLY IF EXISTS refunds_by_status;
CREATE INDEX CONCURRENTLY refunds_by_status ON refunds (status, create_time, id);

DROP INDEX CONCURRENTLY IF EXISTS refunds_due_for_a_look;
CREATE INDEX CONCURRENTLY refunds_due_for_a_look
    ON refunds (next_look_time) WHERE next_look_time IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS disputes_by_payment;
CREATE INDEX CONCURRENTLY disputes_by_payment ON disputes (payment_id);

-- The previous version does not write attention_since.
DROP INDEX CONCURRENTLY IF EXISTS payments_with_attention;
CREATE INDEX CONCURRENTLY payments_with_attention
    ON payments (attention_since, id) WHERE attention <> '{}' OR attention_since IS NOT NULL;

-- I3: at most one event of a subject about a payment, about a refund, and about a dispute. Takes
-- the place of one_lifecycle_event_per_payment, for the previous version, too.
DROP INDEX CONCURRENTLY IF EXISTS one_event_per_subject_matter;
CREATE UNIQUE INDEX CONCURRENTLY one_event_per_subject_matter
    ON outbox (payment_id, subject, about) WHERE subject <> 'payment.attention';
DROP INDEX CONCURRENTLY IF EXISTS one_lifecycle_event_per_payment;
