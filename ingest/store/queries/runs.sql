-- name: add_run
INSERT INTO allocation_runs
    (run, site, period, state, booked_at, site_version, inputs_hash, engine_version, document, created_at,
    computed_by, unexplained)
VALUES (%(run)s, %(site)s, %(period)s, %(state)s, %(booked_at)s, %(site_version)s, %(inputs_hash)s, %(engine_version)s,
    %(document)s, now(), %(computed_by)s, %(unexplained)s);

-- name: add_lines
COPY run_lines (run, line, pool, party, unit, energy, amount_minor, trace, kind) FROM STDIN;

-- name: run
SELECT run, site, period, state, booked_at, site_version, document FROM allocation_runs WHERE run = %(run)s;

-- name: run_head
SELECT run, site, period, state, booked_at, site_version FROM allocation_runs WHERE run = %(run)s;

-- name: confirm_run
-- A newer version of the site gives the same run.
UPDATE allocation_runs SET site_version = %(version)s
WHERE run = %(run)s AND state <> 'published' AND site_version < %(version)s
RETURNING site_version;

-- name: run_heads
-- Newest first; the document stays where it is, because a list needs only its heads.
SELECT run, site, period, state, booked_at, site_version
FROM allocation_runs
WHERE (%(site)s::text IS NULL OR site = %(site)s) AND (%(period)s::text IS NULL OR period = %(period)s)
ORDER BY created_at DESC, run
LIMIT %(most)s;

-- name: count_runs
-- Drafts have no statements, so they take no version number.
SELECT count(*) FROM allocation_runs WHERE site = %(site)s AND period = %(period)s AND state <> 'draft';

-- name: lines
SELECT line, pool, party, unit, energy, amount_minor, trace, kind
FROM run_lines
WHERE run = %(run)s AND (%(party)s::text IS NULL OR party = %(party)s) AND (%(pool)s::text IS NULL OR pool = %(pool)s)
ORDER BY line;

-- name: totals
SELECT party, count(*), sum(amount_minor)::bigint FROM run_lines WHERE run = %(run)s GROUP BY party ORDER BY party;
