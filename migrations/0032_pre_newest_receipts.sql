-- Receipts of a payment, by time: an answer shows the newest ones, and anybody may send a payment
-- thousands. It takes the place of the index by payment alone, so that receipts cost no more
-- indexes to write; what the previous version of payd looks up by payment, it finds here.
DROP INDEX CONCURRENTLY IF EXISTS receipts_of_payment;
CREATE INDEX CONCURRENTLY receipts_of_payment ON receipts (payment_id, time);

DROP INDEX CONCURRENTLY IF EXISTS receipts_by_payment;
