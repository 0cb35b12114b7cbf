-- Tags name payments where a remote side has room for 48 bits only, as in an address for each
-- payment. payd takes blocks of 64 numbers, and permutes them with the key. NO CYCLE: after 2^48
-- tags a payment fails, instead of receiving the money of an old one.
CREATE SEQUENCE payment_tag_blocks AS bigint MINVALUE 0 MAXVALUE 4398046511103 NO CYCLE;

-- The key never changes: with another one, old tags would be given out again. It keeps nobody who
-- can read this table from anything; it keeps customers from counting payments.
CREATE TABLE payment_tag_key (
    is_the_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    key uuid NOT NULL DEFAULT gen_random_uuid()
);

INSERT INTO payment_tag_key DEFAULT VALUES;
