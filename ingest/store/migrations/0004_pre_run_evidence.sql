-- Which envelopes the statements of a run rest on, as the span in which they were received: those may not be dropped
-- while one of the statements has to stay provable. A run that is not read yet holds everything.

CREATE TABLE run_evidence (
    run text PRIMARY KEY REFERENCES allocation_runs,
    statements integer NOT NULL,
    issued_at timestamptz NOT NULL,
    oldest timestamptz,
    newest timestamptz,
    CHECK ((oldest IS NULL) = (newest IS NULL))
);
COMMENT ON TABLE run_evidence IS
    'Of a run''s statements: how many they are, when the newest was issued, and from when to when the envelopes they name were '
    'received. Retention drops none of these before its time, and none at all while a run with statements is missing here.';
