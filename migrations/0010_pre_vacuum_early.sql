-- By default a table is vacuumed when a fifth of its rows are dead: two million of ten million
-- payments. Until then each look for waiting rows reads the index entries of rows that waited
-- once. By default VACUUM also leaves those entries when few pages have dead rows.
ALTER TABLE payments SET (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.01,
    vacuum_index_cleanup = on
);
ALTER TABLE receipts SET (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.01,
    vacuum_index_cleanup = on
);
ALTER TABLE inbox SET (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.01,
    vacuum_index_cleanup = on
);
ALTER TABLE outbox SET (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.01,
    vacuum_index_cleanup = on
);
