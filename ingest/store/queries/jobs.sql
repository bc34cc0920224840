-- name: job_runs
SELECT job, started_at, succeeded_at, took_ms, fault FROM job_runs ORDER BY job;

-- name: record_start
INSERT INTO job_runs (job, started_at) VALUES (%(job)s, %(started_at)s)
ON CONFLICT (job) DO UPDATE SET started_at = excluded.started_at, fault = NULL;

-- name: record_success
INSERT INTO job_runs (job, started_at, succeeded_at, took_ms)
VALUES (%(job)s, %(started_at)s, %(succeeded_at)s, %(took_ms)s)
ON CONFLICT (job) DO UPDATE SET started_at = excluded.started_at, succeeded_at = excluded.succeeded_at,
    took_ms = excluded.took_ms, fault = NULL;

-- name: record_fault
INSERT INTO job_runs (job, started_at, fault) VALUES (%(job)s, %(started_at)s, %(fault)s)
ON CONFLICT (job) DO UPDATE SET started_at = excluded.started_at, fault = excluded.fault;
