-- Finds a payment by the transaction that refunded it.
DROP INDEX CONCURRENTLY IF EXISTS outflows_by_transaction;
CREATE INDEX CONCURRENTLY outflows_by_transaction
    ON outflows ((details ->> 'transaction')) WHERE details ->> 'transaction' IS NOT NULL;
