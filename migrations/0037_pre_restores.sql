-- Each time that a backup was read into this database. Until it is released, no daemon sends: it
-- creates nothing at a provider and publishes no event. The previous version does not read it.
CREATE TABLE restores (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hold_time timestamptz NOT NULL DEFAULT now(),
    -- When the newest change in the backup was made; what came later is lost.
    newest_change_time timestamptz,
    -- How far scans, comparisons and watches had read: PROVIDER/NAME of the cursor → its value.
    cursors jsonb NOT NULL,
    release_time timestamptz,
    -- True until it is released, then null: one restore at a time is held.
    is_held boolean DEFAULT true CHECK (is_held),
    CONSTRAINT one_restore_is_held UNIQUE (is_held)
);
