-- A dispute belongs to one payment for ever. Two payments may report one that nobody had when both
-- looked: the later is told to run again, and then it sees whose it has become. The previous version
-- never changes a dispute's payment, so that nothing refuses what it writes.

CREATE FUNCTION refuse_dispute_of_another() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a dispute belongs to one payment' USING ERRCODE = 'serialization_failure';
END
$$;

CREATE TRIGGER a_dispute_has_one_payment_for_ever
    BEFORE UPDATE ON disputes
    FOR EACH ROW
    WHEN (new.payment_id IS DISTINCT FROM old.payment_id)
    EXECUTE FUNCTION refuse_dispute_of_another();
