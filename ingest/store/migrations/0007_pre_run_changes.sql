-- Settled days that are no longer what a run was computed from, and a time of settlement that COPY need not bring.
ALTER TABLE settled_days ALTER COLUMN settled_at SET DEFAULT now();

CREATE TABLE run_changes (
    run text NOT NULL REFERENCES allocation_runs,
    node text NOT NULL,
    obis text NOT NULL,
    day date NOT NULL,
    was_digest bytea CHECK (octet_length(was_digest) = 32),
    was_wh bigint,
    now_digest bytea CHECK (octet_length(now_digest) = 32),
    now_wh bigint,
    times integer NOT NULL DEFAULT 0,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (run, node, obis, day)
);
COMMENT ON TABLE run_changes IS
    'Settled days that are no longer what a run was computed from: energy [Wh] and SHA-256 of the whole day then and now, '
    'NULL where it was not or is not settled. A day that becomes again what it was has no row.';
