-- For the export of a period: payments by their completion. Written once for a payment: completing
-- it changes its status, which is indexed, so that this update was never a HOT one, and no later
-- update changes complete_time. The newest entries are at the right end of the index.
DROP INDEX CONCURRENTLY IF EXISTS payments_by_completion;
CREATE INDEX CONCURRENTLY payments_by_completion
    ON payments (complete_time, id) WHERE complete_time IS NOT NULL;

-- Refunds by the time at which they succeeded, for the same.
DROP INDEX CONCURRENTLY IF EXISTS refunds_by_completion;
CREATE INDEX CONCURRENTLY refunds_by_completion
    ON refunds (complete_time, id) WHERE complete_time IS NOT NULL;

-- Disputes by the time at which the provider withdrew the money, and at which it gave it back.
DROP INDEX CONCURRENTLY IF EXISTS disputes_by_opening;
CREATE INDEX CONCURRENTLY disputes_by_opening
    ON disputes (open_time) WHERE status NOT IN ('INQUIRY', 'INQUIRY_CLOSED');

DROP INDEX CONCURRENTLY IF EXISTS disputes_by_return;
CREATE INDEX CONCURRENTLY disputes_by_return
    ON disputes (as_of) WHERE status IN ('WITHDRAWN', 'WON');
