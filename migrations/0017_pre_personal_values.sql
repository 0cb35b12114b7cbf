-- Personal values stand apart from the audit trail, which only has commitments to them. Erasing a
-- customer's data deletes rows here, and the trail stays as it is.
CREATE TABLE payment_personal_values (
    payment_id uuid NOT NULL,
    version integer NOT NULL,
    salt bytea NOT NULL,
    value jsonb NOT NULL,
    PRIMARY KEY (payment_id, version)
);

-- Rows of the previous version have no `personal` in their details. Once their personal values were
-- put apart they have, and from then on only the addresses of the caller may go.
CREATE FUNCTION refuse_other_details() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF
        new.ip IN ('', old.ip)
        AND new.peer IN ('', old.peer)
        AND (
            new.details = old.details
            OR (NOT old.details ? 'personal' AND new.details ? 'personal')
        )
    THEN
        RETURN new;
    END IF;
    RAISE EXCEPTION 'payment_events is append-only';
END
$$;

CREATE TRIGGER personal_values_may_go BEFORE UPDATE ON payment_events
    FOR EACH ROW EXECUTE FUNCTION refuse_other_details();

DROP TRIGGER payment_events_are_append_only ON payment_events;

CREATE TRIGGER payment_events_are_append_only
    BEFORE
    DELETE OR TRUNCATE
    OR UPDATE OF id, payment_id, version, event_type, actor, request_id, certificate, create_time
    ON payment_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
