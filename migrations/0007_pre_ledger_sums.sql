-- Running sums of the ledger, by provider, side and asset, so that an audit reads a few rows and
-- not every receipt. Each statement that changes receipts or outflows appends what it changed, in
-- its own transaction; maintenance folds these changes into the sums. No row is updated by two
-- payments at once. Triggers do it, so that a daemon of an older version counts, too.

CREATE TABLE ledger_sums (
    provider text NOT NULL,
    side text NOT NULL,
    asset text NOT NULL,
    units numeric NOT NULL,
    PRIMARY KEY (provider, side, asset),
    CONSTRAINT ledger_side_is_known CHECK (side IN ('received', 'outflows'))
);

CREATE TABLE ledger_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    side text NOT NULL,
    asset text NOT NULL,
    units numeric NOT NULL,
    CONSTRAINT ledger_change_side_is_known CHECK (side IN ('received', 'outflows'))
);

-- Only final receipts count; hex has no case.
CREATE FUNCTION count_receipts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'received', lower(asset), sum(amount)
        FROM added WHERE state = 'CONFIRMED' GROUP BY provider, lower(asset);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'received', lower(asset), -sum(amount)
        FROM removed WHERE state = 'CONFIRMED' GROUP BY provider, lower(asset);
    ELSE
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'received', asset, sum(units)
        FROM (
            SELECT provider, lower(asset) AS asset, amount AS units
            FROM added WHERE state = 'CONFIRMED'
            UNION ALL
            SELECT provider, lower(asset), -amount
            FROM removed WHERE state = 'CONFIRMED'
        ) AS both_sides
        GROUP BY provider, asset HAVING sum(units) <> 0;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_outflows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'outflows', lower(asset), sum(amount)
        FROM added GROUP BY provider, lower(asset);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'outflows', lower(asset), -sum(amount)
        FROM removed GROUP BY provider, lower(asset);
    ELSE
        INSERT INTO ledger_changes (provider, side, asset, units)
        SELECT provider, 'outflows', asset, sum(units)
        FROM (
            SELECT provider, lower(asset) AS asset, amount AS units FROM added
            UNION ALL
            SELECT provider, lower(asset), -amount FROM removed
        ) AS both_sides
        GROUP BY provider, asset HAVING sum(units) <> 0;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER added_receipts_are_counted AFTER INSERT ON receipts
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_receipts();

CREATE TRIGGER changed_receipts_are_counted AFTER UPDATE ON receipts
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_receipts();

CREATE TRIGGER removed_receipts_are_counted AFTER DELETE ON receipts
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_receipts();

CREATE TRIGGER added_outflows_are_counted AFTER INSERT ON outflows
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_outflows();

CREATE TRIGGER changed_outflows_are_counted AFTER UPDATE ON outflows
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_outflows();

CREATE TRIGGER removed_outflows_are_counted AFTER DELETE ON outflows
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_outflows();

-- Make the sums equal the rows. The comparison is one statement with one snapshot: what a
-- transaction under way adds is in neither side of it, and comes with its own change. So it locks
-- no table, and may run at any time. The advisory lock lasts until the end of the transaction: of
-- two recounts at once, the second one sees what the first one corrected, and does not correct it
-- again (under READ COMMITTED, the default). The number means nothing; only this function uses it.
CREATE FUNCTION recount_ledger() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7041989002);
    INSERT INTO ledger_changes (provider, side, asset, units)
    SELECT provider, side, asset, sum(units)
    FROM (
        SELECT provider, 'received' AS side, lower(asset) AS asset, amount AS units
        FROM receipts WHERE state = 'CONFIRMED'
        UNION ALL
        SELECT provider, 'outflows', lower(asset), amount FROM outflows
        UNION ALL
        SELECT provider, side, asset, -units FROM ledger_sums
        UNION ALL
        SELECT provider, side, asset, -units FROM ledger_changes
    ) AS entries
    GROUP BY provider, side, asset HAVING sum(units) <> 0;
END
$$;
