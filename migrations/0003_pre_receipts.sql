-- The ledger of receipts: every arrival of money, in a payment or not yet; what left the account;
-- and who alone may write to it.

ALTER TABLE receipts ALTER COLUMN payment_id DROP NOT NULL;

ALTER TABLE receipts ADD COLUMN reference text NOT NULL DEFAULT '';

ALTER TABLE receipts ADD COLUMN details jsonb NOT NULL DEFAULT '{}';

ALTER TABLE receipts ADD COLUMN store_time timestamptz NOT NULL DEFAULT now();

ALTER TABLE receipts DROP CONSTRAINT receipt_state_is_known;

ALTER TABLE receipts ADD CONSTRAINT receipt_state_is_known CHECK (
    state IN ('SEEN', 'DROPPED', 'HELD', 'CONFIRMED')
);

-- What an operator has to place.
CREATE INDEX unmatched_receipts ON receipts (time DESC, id) WHERE payment_id IS NULL;

-- Money that left an account of ours; it belongs to no payment.
CREATE TABLE outflows (
    provider text NOT NULL,
    id text NOT NULL,
    asset text NOT NULL,
    amount numeric(78, 0) NOT NULL,
    time timestamptz NOT NULL,
    details jsonb NOT NULL,
    store_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, id)
);

-- Who does alone what only one may do: a writer with an older fence is refused.
CREATE TABLE leases (
    name text PRIMARY KEY,
    fence bigint NOT NULL,
    acquire_time timestamptz NOT NULL
);

-- Whether evidence of a payment is stored and not settled yet.
CREATE INDEX inbox_waiting ON inbox (provider, (report ->> 'reference'))
    WHERE settle_time IS NULL;
