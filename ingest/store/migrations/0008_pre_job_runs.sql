-- When each job was last tried, and how that ended.
CREATE TABLE job_runs (
    job text PRIMARY KEY,
    started_at timestamptz NOT NULL,
    succeeded_at timestamptz,
    took_ms bigint CHECK (took_ms >= 0),
    fault text,
    CHECK ((succeeded_at IS NULL) = (took_ms IS NULL))
);
COMMENT ON TABLE job_runs IS
    'The newest try of each job that runs now and then; succeeded_at and took_ms are those of its last success.';
COMMENT ON COLUMN job_runs.fault IS 'What the newest try ended in; NULL while it goes on, and when it went well.';
