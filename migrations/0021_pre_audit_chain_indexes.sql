-- Rows that are not chained yet: those of the previous version, until `payd migrate --post`.
DROP INDEX CONCURRENTLY IF EXISTS payment_events_to_chain;
CREATE INDEX CONCURRENTLY payment_events_to_chain
    ON payment_events (payment_id, version) WHERE hash IS NULL;
-- What was chained since a checkpoint. Rows are added in about this order, so that a few bytes for
-- each 32 pages are enough.
DROP INDEX CONCURRENTLY IF EXISTS payment_events_by_chain_xid;
CREATE INDEX CONCURRENTLY payment_events_by_chain_xid
    ON payment_events USING brin (chain_xid) WITH (pages_per_range = 32, autosummarize = on);
