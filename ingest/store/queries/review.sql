-- name: run_rows
-- Runs with what a list shows of each, newest first; sites NULL: of all. No document is read: those of large sites are large.
SELECT allocation_runs.run, site, period, state, booked_at, site_version, created_at, computed_by, checked_by, approved_by,
    unexplained, complete_at, steps.states, steps.entered, sums.amount_minor, sums.lines
FROM allocation_runs
LEFT JOIN run_completions USING (run)
CROSS JOIN LATERAL (
    SELECT array_agg(to_state ORDER BY step) AS states, array_agg(recorded_at ORDER BY step) AS entered
    FROM run_transitions WHERE run_transitions.run = allocation_runs.run
) AS steps
CROSS JOIN LATERAL (
    SELECT sum(amount_minor)::bigint AS amount_minor, count(*)::int AS lines
    FROM run_lines WHERE run_lines.run = allocation_runs.run
) AS sums
WHERE (%(sites)s::text[] IS NULL OR site = ANY (%(sites)s))
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(period)s::text IS NULL OR period LIKE %(period)s)
ORDER BY created_at DESC, allocation_runs.run
LIMIT %(most)s OFFSET %(skip)s;

-- name: count_runs
SELECT state, count(*)::int FROM allocation_runs
WHERE (%(sites)s::text[] IS NULL OR site = ANY (%(sites)s)) AND (%(period)s::text IS NULL OR period LIKE %(period)s)
GROUP BY state;

-- name: run_head
SELECT run, site, period, state, booked_at, site_version FROM allocation_runs WHERE run = %(run)s;

-- name: stage_facts
SELECT created_at, complete_at, (
    SELECT array_agg(to_state ORDER BY step) FROM run_transitions WHERE run_transitions.run = allocation_runs.run
), (
    SELECT array_agg(recorded_at ORDER BY step) FROM run_transitions WHERE run_transitions.run = allocation_runs.run
), computed_by, checked_by, approved_by
FROM allocation_runs LEFT JOIN run_completions USING (run)
WHERE allocation_runs.run = %(run)s;

-- name: earlier_periods
-- One run of each earlier period of the same length of label, newest period first: the published one, else the newest.
SELECT DISTINCT ON (period) period, run FROM allocation_runs
WHERE site = %(site)s AND length(period) = length(%(period)s)
  AND split_part(period, '--', CASE WHEN period LIKE '%%--%%' THEN 2 ELSE 1 END) < split_part(%(period)s, '--', 1)
  AND state NOT IN ('draft', 'superseded')
ORDER BY period DESC, state = 'published' DESC, created_at DESC
LIMIT %(most)s;

-- name: rivals
-- The other runs of the same period, newest first: what this one is a new version of, or what took its place.
SELECT run, state, created_at FROM allocation_runs
WHERE site = %(site)s AND period = %(period)s AND run <> %(run)s ORDER BY created_at DESC LIMIT %(most)s;

-- name: compared_lines
-- The lines of a run beside those of the one before; a line that only one of them has comes too.
SELECT here.line, there.line, coalesce(here.pool, there.pool), coalesce(here.party, there.party),
    coalesce(here.unit, there.unit), coalesce(here.kind, there.kind), coalesce(here.amount_minor, 0),
    coalesce(there.amount_minor, 0)
FROM (
    SELECT line, pool, party, unit, coalesce(unit, '') AS place, kind, amount_minor FROM run_lines WHERE run = %(run)s
) AS here
FULL JOIN (
    SELECT line, pool, party, unit, coalesce(unit, '') AS place, kind, amount_minor FROM run_lines WHERE run = %(before)s
) AS there
ON here.pool = there.pool AND here.party = there.party AND here.place = there.place
ORDER BY here.line NULLS LAST, there.line;

-- name: line_history
-- What each line of a run was in other runs, in any order.
SELECT here.line, array_agg(there.amount_minor)
FROM run_lines AS here
JOIN run_lines AS there ON there.run = ANY (%(others)s) AND here.pool = there.pool AND here.party = there.party
    AND coalesce(here.unit, '') = coalesce(there.unit, '')
WHERE here.run = %(run)s
GROUP BY here.line;

-- name: line_details
SELECT line, energy, trace FROM run_lines WHERE run = %(run)s AND line = ANY (%(lines)s);

-- name: site_terms
SELECT document #>> '{calendar,zone}', document ->> 'currency', document #>> '{names,zh}', document #>> '{names,en}'
FROM site_versions WHERE site = %(site)s AND version = %(version)s;

-- name: newest_erasure
-- Names that are kept in memory are those of before an erasure, or of after.
SELECT coalesce(max(erasure), 0) FROM erasures WHERE site = %(site)s;

-- name: site_versions
SELECT version, imported_at FROM site_versions WHERE site = %(site)s AND rules IS NOT NULL
ORDER BY version DESC LIMIT %(most)s;

-- name: job_of_run
SELECT started_at, ended_at FROM ordered_jobs WHERE run = %(run)s AND started_at IS NOT NULL ORDER BY ended_at LIMIT 1;
