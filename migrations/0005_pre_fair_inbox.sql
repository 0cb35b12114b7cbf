-- Each provider's evidence in its own order, so that one provider's flood is not in front of the
-- others' evidence.
CREATE INDEX inbox_of_provider_to_settle ON inbox (provider, id) WHERE settle_time IS NULL;

DROP INDEX inbox_to_settle;
