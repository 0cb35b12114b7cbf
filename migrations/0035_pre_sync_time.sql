-- When a caller last had payd ask the provider about a payment: of several daemons one asks. The
-- previous version neither writes nor reads it.
ALTER TABLE payments ADD COLUMN sync_time timestamptz;
