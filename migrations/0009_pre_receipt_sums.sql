-- Sums of a payment's receipts, with the version of the payment to which they belong: the previous
-- version of payd changes payments and receipts without them.
ALTER TABLE payments ADD COLUMN receipt_sums jsonb;
