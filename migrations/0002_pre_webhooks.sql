-- Webhooks, scans and the comparison with a provider's own list.

ALTER TABLE payments ADD COLUMN parameters jsonb NOT NULL DEFAULT '{}';

-- For the comparison with the provider's own list.
CREATE INDEX payments_by_provider ON payments (provider, create_time, id);

ALTER TABLE inbox RENAME COLUMN observation TO report;

ALTER TABLE inbox RENAME CONSTRAINT inbox_observation_not_null TO inbox_report_not_null;

ALTER TABLE inbox ADD COLUMN raw_body bytea;

ALTER TABLE inbox DROP COLUMN conflicting;

-- The bytes of a webhook go after raw_retention.
CREATE INDEX inbox_raw_bodies ON inbox (receive_time) WHERE raw_body IS NOT NULL;

-- Where the reading of a provider's own lists goes on, and when; `next_time` is its lease, too.
CREATE TABLE provider_cursors (
    provider text NOT NULL,
    name text NOT NULL,
    value text,
    next_time timestamptz NOT NULL,
    PRIMARY KEY (provider, name)
);

-- Comparisons of what a provider has with what payd has, and what did not match.
CREATE TABLE reconciliations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    objects integer NOT NULL,
    payments integer NOT NULL,
    findings jsonb NOT NULL
);

CREATE INDEX reconciliations_by_time ON reconciliations (end_time);
