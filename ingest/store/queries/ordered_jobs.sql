-- name: add_job
INSERT INTO ordered_jobs (job, kind, site, subject, order_of, ordered_by, ordered_at)
VALUES (%(job)s, %(kind)s, %(site)s, %(subject)s, %(order_of)s, %(ordered_by)s, %(ordered_at)s);

-- name: lock_subject
-- Two people who press at once get one job: held until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended(%(kind)s || '/' || %(site)s || '/' || %(subject)s, 7083465729091));

-- name: open_job
SELECT job FROM ordered_jobs
WHERE kind = %(kind)s AND site = %(site)s AND subject = %(subject)s AND ended_at IS NULL
ORDER BY ordered_at LIMIT 1;

-- name: job
SELECT job, kind, site, subject, order_of, ordered_by, ordered_at, state, events, started_at, ended_at, run, told
FROM ordered_jobs WHERE job = %(job)s;

-- name: jobs
SELECT job, kind, site, subject, order_of, ordered_by, ordered_at, state, events, started_at, ended_at, run, told
FROM ordered_jobs WHERE %(sites)s::text[] IS NULL OR site = ANY (%(sites)s)
ORDER BY ended_at IS NOT NULL, ordered_at DESC LIMIT %(most)s;

-- name: waiting_jobs
-- What nobody has begun, oldest first.
SELECT job FROM ordered_jobs WHERE state = 'waiting' ORDER BY ordered_at, job;

-- name: begin_job
UPDATE ordered_jobs SET state = 'running', started_at = %(at)s WHERE job = %(job)s AND state = 'waiting' RETURNING job;

-- name: tell_event
WITH numbered AS (
    UPDATE ordered_jobs SET events = events + 1 WHERE job = %(job)s AND ended_at IS NULL RETURNING events
)
INSERT INTO ordered_job_events (job, number, at, body) SELECT %(job)s, events, %(at)s, %(body)s FROM numbered;

-- name: end_job
UPDATE ordered_jobs SET state = %(state)s, ended_at = %(at)s, run = %(run)s, told = %(told)s
WHERE job = %(job)s AND ended_at IS NULL RETURNING job;

-- name: events_after
SELECT number, at, body FROM ordered_job_events WHERE job = %(job)s AND number > %(after)s ORDER BY number;

-- name: newest_event
SELECT number, at, body FROM ordered_job_events WHERE job = %(job)s ORDER BY number DESC LIMIT 1;

-- name: hold_job
-- Held by the session of whoever does the job: it goes with his connection.
SELECT pg_try_advisory_lock(hashtextextended(%(job)s, 7083465729092));

-- name: let_go_job
SELECT pg_advisory_unlock(hashtextextended(%(job)s, 7083465729092));

-- name: lock_left_job
-- Given where nobody holds it, until the transaction ends.
SELECT pg_try_advisory_xact_lock(hashtextextended(%(job)s, 7083465729092));

-- name: running_jobs
SELECT job FROM ordered_jobs WHERE state = 'running';

-- name: note_settled_days
INSERT INTO site_days (site, day, settled_at)
SELECT %(site)s, day, now() FROM unnest(%(days)s::date[]) AS touched (day) ORDER BY day
ON CONFLICT (site, day) DO UPDATE SET settled_at = excluded.settled_at;

-- name: note_completion
INSERT INTO run_completions (run, complete_at)
SELECT %(run)s, max(settled_at) FROM site_days
WHERE site = %(site)s AND day BETWEEN %(first)s AND %(last)s
HAVING max(settled_at) IS NOT NULL
ON CONFLICT (run) DO NOTHING;
