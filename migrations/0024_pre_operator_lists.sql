-- Lists of receipts, of a provider or of all: matched or not, the newest first.
DROP INDEX CONCURRENTLY IF EXISTS receipts_by_time;
CREATE INDEX CONCURRENTLY receipts_by_time
    ON receipts (provider, (payment_id IS NULL), time, id);

-- The sums of the payments that were there before the triggers. It locks no table.
SELECT recount_payments();
