-- Lists of a kind of payments must walk along payments_by_kind. Where PostgreSQL believed that all
-- payments are of one kind it took payments_by_provider, which has them in the same order, and read
-- all of them to find none of another kind: half a minute with ten million. Payments cost one index
-- less to write. The previous version compares payments with a provider's list along
-- payments_by_kind, too, but sorts them: that is daily work, and is repeated if it takes too long.
DROP INDEX CONCURRENTLY IF EXISTS payments_by_provider;
