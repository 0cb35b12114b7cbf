-- A receipt belongs to one payment for ever. Two payments may want one that the ledger did not
-- have when both looked: the later is told to run again, and then it sees whose it has become.

CREATE FUNCTION refuse_receipt_of_another() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a receipt belongs to one payment' USING ERRCODE = 'serialization_failure';
END
$$;

CREATE TRIGGER a_receipt_has_one_payment_for_ever
    BEFORE UPDATE ON receipts
    FOR EACH ROW
    WHEN (old.payment_id IS NOT NULL AND new.payment_id IS DISTINCT FROM old.payment_id)
    EXECUTE FUNCTION refuse_receipt_of_another();
