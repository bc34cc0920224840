-- Work that people order at the console, and since when the readings of a run were complete.

CREATE TABLE ordered_jobs (
    job text PRIMARY KEY,
    kind text NOT NULL,
    site text NOT NULL,
    subject text NOT NULL,
    order_of jsonb NOT NULL,
    ordered_by text NOT NULL CHECK (ordered_by <> ''),
    ordered_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'refused', 'interrupted')),
    events integer NOT NULL DEFAULT 0,
    started_at timestamptz,
    ended_at timestamptz,
    run text REFERENCES allocation_runs,
    told text NOT NULL DEFAULT '',
    CHECK ((state IN ('waiting', 'running')) = (ended_at IS NULL)),
    CHECK (run IS NULL OR state = 'done')
);
CREATE INDEX ordered_jobs_open ON ordered_jobs (site, subject) WHERE ended_at IS NULL;
CREATE INDEX ordered_jobs_by_run ON ordered_jobs (run) WHERE run IS NOT NULL;
COMMENT ON TABLE ordered_jobs IS
    'Work that somebody ordered at the console, such as closing a period: who, when, how far, and what came of it. Whoever '
    'does it holds a lock of the session named by the job; one that is running and not locked was interrupted.';
COMMENT ON COLUMN ordered_jobs.events IS 'How many events the job has told; the newest is how far it is.';

CREATE TABLE ordered_job_events (
    job text NOT NULL REFERENCES ordered_jobs,
    number integer NOT NULL CHECK (number >= 1),
    at timestamptz NOT NULL,
    body jsonb NOT NULL,
    PRIMARY KEY (job, number)
);
COMMENT ON TABLE ordered_job_events IS 'What a job told on its way, in order; whoever watches goes on after the last he saw.';

CREATE TABLE site_days (
    site text NOT NULL,
    day date NOT NULL,
    settled_at timestamptz NOT NULL,
    PRIMARY KEY (site, day)
);
COMMENT ON TABLE site_days IS 'When anything of a local day of a site was last settled to something new.';

CREATE TABLE run_completions (
    run text PRIMARY KEY REFERENCES allocation_runs,
    complete_at timestamptz NOT NULL
);
COMMENT ON TABLE run_completions IS
    'When the last day that a run was computed from had been settled, as it stood when the run was computed.';
