-- name: open_runs
-- Runs that somebody still relies on, or may.
SELECT run, period FROM allocation_runs WHERE site = %(site)s AND state <> 'superseded';

-- name: keep_before
-- How days stand in the runs that were computed from them, unless something about them was noted before: then what is kept
-- is older, and still what the run was computed from.
INSERT INTO run_changes (run, node, obis, day, was_digest, was_wh, first_at, last_at)
SELECT covering.run, touched.node, touched.obis, touched.day,
    sha256(array_send(energy) || array_send(quality) || convert_to(exceptions::text, 'UTF8')),
    (SELECT sum(wh) FROM unnest(energy) AS slot (wh)), now(), now()
FROM unnest(%(nodes)s::text[], %(quantities)s::text[], %(days)s::date[]) AS touched (node, obis, day)
JOIN unnest(%(runs)s::text[], %(firsts)s::date[], %(lasts)s::date[]) AS covering (run, first, last)
    ON touched.day BETWEEN covering.first AND covering.last
LEFT JOIN settled_days ON settled_days.site = %(site)s AND settled_days.node = touched.node
    AND settled_days.obis = touched.obis AND settled_days.day = touched.day
ON CONFLICT (run, node, obis, day) DO NOTHING;

-- name: keep_after
-- How they stand now.
UPDATE run_changes
SET now_digest = found.digest, now_wh = found.wh, last_at = now(), times = times + 1
FROM (
    SELECT touched.node, touched.obis, touched.day,
        sha256(array_send(energy) || array_send(quality) || convert_to(exceptions::text, 'UTF8')) AS digest,
        (SELECT sum(wh) FROM unnest(energy) AS slot (wh)) AS wh
    FROM unnest(%(nodes)s::text[], %(quantities)s::text[], %(days)s::date[]) AS touched (node, obis, day)
    LEFT JOIN settled_days ON settled_days.site = %(site)s AND settled_days.node = touched.node
        AND settled_days.obis = touched.obis AND settled_days.day = touched.day
) AS found
WHERE run = ANY (%(runs)s) AND run_changes.node = found.node AND run_changes.obis = found.obis AND run_changes.day = found.day;

-- name: forget_unchanged
-- What has become again what it was is no change.
DELETE FROM run_changes
USING unnest(%(nodes)s::text[], %(quantities)s::text[], %(days)s::date[]) AS touched (node, obis, day)
WHERE run = ANY (%(runs)s) AND run_changes.node = touched.node AND run_changes.obis = touched.obis
  AND run_changes.day = touched.day AND was_digest IS NOT DISTINCT FROM now_digest;

-- name: keep_forgotten
-- Every settled day of some nodes (NULL: all) within a run: nobody knows yet what it will be.
INSERT INTO run_changes (run, node, obis, day, was_digest, was_wh, first_at, last_at)
SELECT covering.run, node, obis, day,
    sha256(array_send(energy) || array_send(quality) || convert_to(exceptions::text, 'UTF8')),
    (SELECT sum(wh) FROM unnest(energy) AS slot (wh)), now(), now()
FROM settled_days
JOIN unnest(%(runs)s::text[], %(firsts)s::date[], %(lasts)s::date[]) AS covering (run, first, last)
    ON day BETWEEN covering.first AND covering.last
WHERE site = %(site)s AND (%(nodes)s::text[] IS NULL OR node = ANY (%(nodes)s))
ON CONFLICT (run, node, obis, day) DO UPDATE
SET now_digest = NULL, now_wh = NULL, last_at = now(), times = run_changes.times + 1;

-- name: forget_changes
DELETE FROM run_changes WHERE run = %(run)s;

-- name: summary
SELECT count(DISTINCT day)::int, count(DISTINCT node)::int, count(*)::int, min(day), max(day), min(first_at), max(last_at)
FROM run_changes WHERE run = %(run)s;

-- name: changes
SELECT node, obis, day, was_wh, now_wh, was_digest IS NOT NULL, now_digest IS NOT NULL, times, first_at, last_at
FROM run_changes
WHERE run = %(run)s
  AND (%(node)s::text IS NULL OR (node, obis, day) > (%(node)s::text, %(obis)s::text, %(day)s::date))
ORDER BY node, obis, day
LIMIT %(most)s;

-- name: changed_runs
SELECT allocation_runs.run, site, period, state, count(DISTINCT day)::int, count(DISTINCT node)::int, max(last_at)
FROM run_changes JOIN allocation_runs USING (run)
WHERE state <> 'superseded' AND (%(site)s::text IS NULL OR site = %(site)s)
GROUP BY allocation_runs.run, site, period, state
ORDER BY max(last_at) DESC, allocation_runs.run
LIMIT %(most)s;

-- name: runs_changed_by
SELECT run FROM run_changes JOIN allocation_runs USING (run)
WHERE site = %(site)s AND node = %(node)s AND obis = %(obis)s AND day = %(day)s AND state <> 'superseded'
ORDER BY run;
