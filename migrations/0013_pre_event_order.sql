-- Finds the event before an event of a payment, published or not. Takes the place of
-- outbox_order_in_payment, which has unpublished events only.
DROP INDEX CONCURRENTLY IF EXISTS outbox_by_payment;
CREATE INDEX CONCURRENTLY outbox_by_payment ON outbox (payment_id, id);
DROP INDEX CONCURRENTLY IF EXISTS outbox_order_in_payment;
