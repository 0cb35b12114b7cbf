-- Finds unsettled evidence of a payment under its second name: a status check asks for it, also when
-- many reports wait. Most reports have no second name, and cost this index nothing.
DROP INDEX CONCURRENTLY IF EXISTS inbox_waiting_also;
CREATE INDEX CONCURRENTLY inbox_waiting_also ON inbox (provider, (report ->> 'also'))
    WHERE settle_time IS NULL AND report ->> 'also' IS NOT NULL;
