-- The audit trail becomes a chain of hashes. A new row has its bytes in `content`, and no `details`;
-- the previous version of payd writes and reads neither, and `payd migrate --post` chains its rows.
ALTER TABLE payment_events
    ALTER COLUMN details DROP NOT NULL,
    -- All of the row as canonical JSON, as it was hashed.
    ADD COLUMN content text,
    -- SHA-256 of the hash of the row before and of `content`; none until the row is chained.
    ADD COLUMN hash bytea,
    -- The transaction that chained it: checkpoints find by it what is new.
    ADD COLUMN chain_xid bigint,
    ADD CONSTRAINT content_or_details CHECK (num_nonnulls(content, details) = 1) NOT VALID,
    ADD CONSTRAINT chained_with_content CHECK (
        num_nulls(hash, chain_xid) IN (0, 2) AND (hash IS NULL OR content IS NOT NULL)
    ) NOT VALID;

ALTER TABLE payments
    -- How far the chain of the payment goes: to `version`, unless the previous version changed it.
    ADD COLUMN audit_version integer NOT NULL DEFAULT 0,
    ADD COLUMN audit_hash bytea;

-- What was signed about the heads of the chains that had changed since the checkpoint before.
CREATE TABLE audit_checkpoints (
    number integer PRIMARY KEY,
    line text NOT NULL
);

CREATE FUNCTION refuse_other_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_checkpoints is append-only';
END
$$;

CREATE TRIGGER audit_checkpoints_are_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_checkpoint();

-- Besides the addresses of the caller, which may go, a row changes at most twice, both before it is
-- chained: its personal values are put apart, and it gets its content and its hash.
CREATE OR REPLACE FUNCTION refuse_other_details() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF
        new.ip IN ('', old.ip)
        AND new.peer IN ('', old.peer)
        AND (
            (new.details, new.content, new.hash, new.chain_xid)
            IS NOT DISTINCT FROM (old.details, old.content, old.hash, old.chain_xid)
            OR (
                NOT old.details ? 'personal'
                AND new.details ? 'personal'
                AND num_nonnulls(new.content, new.hash) = 0
            )
            OR (
                old.hash IS NULL
                AND new.hash IS NOT NULL
                AND coalesce(old.content, new.content) = new.content
            )
        )
    THEN
        RETURN new;
    END IF;
    RAISE EXCEPTION 'payment_events is append-only';
END
$$;
