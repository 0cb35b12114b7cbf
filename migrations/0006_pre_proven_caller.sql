-- Who made a change, as its connection proves it, beside `actor` and `ip`, which a caller claims.
-- The defaults are for rows of a version that does not know these columns, and rewrite no row.
ALTER TABLE payment_events
    ADD COLUMN certificate text NOT NULL DEFAULT '',
    ADD COLUMN peer text NOT NULL DEFAULT '';
