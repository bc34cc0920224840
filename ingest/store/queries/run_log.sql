-- name: standing
-- Holds the run until the transaction ends, so that two people cannot move it at once.
SELECT state, steps, computed_by, checked_by FROM allocation_runs WHERE run = %(run)s FOR UPDATE;

-- name: state
SELECT state FROM allocation_runs WHERE run = %(run)s;

-- name: add_transition
INSERT INTO run_transitions (run, step, from_state, to_state, actor, reason, acted_at, recorded_at)
VALUES (%(run)s, %(step)s, %(from_state)s, %(to_state)s, %(actor)s, %(reason)s, %(acted_at)s, now());

-- name: move_run
-- Who computed stays unless the run is computed anew; then whoever checked and approved is forgotten here, not in the log.
UPDATE allocation_runs
SET state = %(to_state)s, steps = %(step)s, unexplained = %(unexplained)s,
    computed_by = CASE WHEN %(to_state)s = 'computed' THEN %(actor)s ELSE computed_by END,
    checked_by = CASE %(to_state)s WHEN 'computed' THEN NULL WHEN 'checked' THEN %(actor)s ELSE checked_by END,
    approved_by = CASE %(to_state)s WHEN 'computed' THEN NULL WHEN 'approved' THEN %(actor)s ELSE approved_by END
WHERE run = %(run)s;

-- name: book_run
UPDATE allocation_runs SET booked_at = %(booked_at)s WHERE run = %(run)s;

-- name: transitions
SELECT step, from_state, to_state, actor, reason, acted_at, recorded_at
FROM run_transitions WHERE run = %(run)s ORDER BY step;

-- name: put_reason
-- A reason may be put better until the run is approved; the log keeps who checked.
INSERT INTO run_reasons (run, subject, reason, actor, acted_at, recorded_at)
VALUES (%(run)s, %(subject)s, %(reason)s, %(actor)s, %(acted_at)s, now())
ON CONFLICT (run, subject) DO UPDATE
SET reason = excluded.reason, actor = excluded.actor, acted_at = excluded.acted_at, recorded_at = excluded.recorded_at;

-- name: reasons
SELECT subject, reason, actor, acted_at FROM run_reasons WHERE run = %(run)s ORDER BY subject;

-- name: earlier_runs
-- What publishing a run leaves behind: the published run, and whatever was computed before this one.
SELECT other.run, other.state
FROM allocation_runs AS published
JOIN allocation_runs AS other USING (site, period)
WHERE published.run = %(run)s AND other.run <> published.run AND other.state <> 'superseded'
  AND (other.state = 'published' OR other.created_at < published.created_at)
ORDER BY other.created_at, other.run;

-- name: published_periods
-- The published runs of a site, newest period first.
SELECT run, period FROM allocation_runs
WHERE site = %(site)s AND state = 'published' ORDER BY period DESC LIMIT %(most)s;

-- name: add_publication
INSERT INTO publications (run, published_at, octets) VALUES (%(run)s, %(published_at)s, %(octets)s)
RETURNING publication;

-- name: newest_publication
SELECT octets FROM publications WHERE run = %(run)s ORDER BY publication DESC LIMIT 1;

-- name: add_correction_lines
COPY correction_lines (run, corrects, line, pool, party, unit, before_minor, after_minor, delta_minor, causes, publication)
FROM STDIN;

-- name: correction_lines
SELECT corrects, line, pool, party, unit, before_minor, after_minor, delta_minor, causes
FROM correction_lines
WHERE run = %(run)s AND (%(party)s::text IS NULL OR party = %(party)s)
ORDER BY publication, line;

-- name: add_slots
COPY run_slots (run, node, imported, exported, quality) FROM STDIN (FORMAT BINARY);

-- name: slots
SELECT node, imported, exported, quality FROM run_slots WHERE run = %(run)s ORDER BY node;

-- name: add_exclusion
INSERT INTO release_exclusions (site, version, subject, reason)
VALUES (%(site)s, %(version)s, %(subject)s, %(reason)s);

-- name: exclusions
SELECT subject, reason FROM release_exclusions WHERE site = %(site)s AND version = %(version)s ORDER BY subject;
