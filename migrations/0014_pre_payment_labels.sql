-- Lists of payments by subscription and by metadata, newest first. A payment has several of both,
-- and a B-tree has one entry a row. GIN has no order: it would read every payment with a common
-- pair. So each has a row here, written once: later versions of a payment do not touch it.
--
-- A label is a hash of "=SUBSCRIPTION" or "KEY=VALUE", so nothing personal stands here. Readers
-- compare the payment itself, too: different values may have the same hash.
CREATE TABLE payment_labels (
    label bigint NOT NULL,
    create_time timestamptz NOT NULL,
    payment_id uuid NOT NULL,
    PRIMARY KEY (label, create_time, payment_id)
);

CREATE FUNCTION labels_of(subscription_ids text[], metadata jsonb) RETURNS SETOF bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended('=' || id, 0) FROM unnest(subscription_ids) AS id
    UNION
    SELECT hashtextextended(key || '=' || value, 0) FROM jsonb_each_text(metadata)
$$;

CREATE FUNCTION label_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM payment_labels
        WHERE
            label = ANY (ARRAY(SELECT labels_of(old.subscription_ids, old.metadata)))
            AND create_time = old.create_time
            AND payment_id = old.id;
    END IF;
    INSERT INTO payment_labels (label, create_time, payment_id)
    SELECT label, new.create_time, new.id
    FROM labels_of(new.subscription_ids, new.metadata) AS label;
    RETURN NULL;
END
$$;

-- A trigger, so that payments of a daemon of the previous version have labels, too.
CREATE TRIGGER new_payments_are_labelled AFTER INSERT ON payments
    FOR EACH ROW EXECUTE FUNCTION label_payment();

-- payd never changes these columns. Erasing values from them erases their labels.
CREATE TRIGGER changed_payments_are_labelled
    AFTER UPDATE OF subscription_ids, metadata ON payments
    FOR EACH ROW EXECUTE FUNCTION label_payment();
