-- Payments and their amounts by day of creation, method, status and currency, so that an overview
-- reads a few rows however many payments there are. Each new payment and each change of a status
-- appends what it changed, in its own transaction; maintenance folds these changes into the sums.
-- No row is updated by two payments at once. Triggers do it, so that a daemon of an older version
-- counts, too.

CREATE TABLE payment_sums (
    day date NOT NULL,
    method text NOT NULL,
    status text NOT NULL,
    currency_code text NOT NULL,
    payments bigint NOT NULL,
    minor_units numeric NOT NULL,
    PRIMARY KEY (day, method, status, currency_code)
);

CREATE TABLE payment_sum_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day date NOT NULL,
    method text NOT NULL,
    status text NOT NULL,
    currency_code text NOT NULL,
    payments bigint NOT NULL,
    minor_units numeric NOT NULL
);

-- Days are those of UTC.
CREATE FUNCTION count_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO payment_sum_changes (day, method, status, currency_code, payments, minor_units)
        VALUES (
            (new.create_time AT TIME ZONE 'UTC')::date, new.method, new.status, new.currency_code,
            1, new.amount_minor_units
        );
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO payment_sum_changes (day, method, status, currency_code, payments, minor_units)
        VALUES (
            (old.create_time AT TIME ZONE 'UTC')::date, old.method, old.status, old.currency_code,
            -1, -old.amount_minor_units
        );
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER new_payments_are_counted AFTER INSERT ON payments
    FOR EACH ROW EXECUTE FUNCTION count_payment();

-- By row: a statement's table of changed rows would be a copy of every changed payment, and most
-- changes leave the status as it is.
CREATE TRIGGER changed_payments_are_counted AFTER UPDATE OF status ON payments
    FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION count_payment();

CREATE TRIGGER removed_payments_are_counted AFTER DELETE ON payments
    FOR EACH ROW EXECUTE FUNCTION count_payment();

-- Correct the sums to match the rows, as recount_ledger() does: one statement with one snapshot, so
-- it locks no table and may run at any time; of two at once the second sees what the first
-- corrected. The lock number is arbitrary; only this function uses it.
CREATE FUNCTION recount_payments() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7041989023);
    INSERT INTO payment_sum_changes (day, method, status, currency_code, payments, minor_units)
    SELECT day, method, status, currency_code, sum(payments), sum(minor_units)
    FROM (
        SELECT
            (create_time AT TIME ZONE 'UTC')::date AS day, method, status, currency_code,
            1 AS payments, amount_minor_units AS minor_units
        FROM payments
        UNION ALL
        SELECT day, method, status, currency_code, -payments, -minor_units FROM payment_sums
        UNION ALL
        SELECT day, method, status, currency_code, -payments, -minor_units
        FROM payment_sum_changes
    ) AS entries
    GROUP BY day, method, status, currency_code
    HAVING sum(payments) <> 0 OR sum(minor_units) <> 0;
END
$$;
