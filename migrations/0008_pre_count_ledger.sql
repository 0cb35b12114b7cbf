-- The sums of the rows that were there before the triggers. A transaction of its own, so that the
-- triggers' lock does not last as long as this count.
SELECT recount_ledger();
