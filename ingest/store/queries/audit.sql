-- name: lock_audit
-- One writer of the log at a time, so that each entry follows the one before; freed with the transaction.
SELECT pg_advisory_xact_lock(7083465729087);

-- name: audit_head
SELECT number, digest FROM audit_log ORDER BY number DESC LIMIT 1;

-- name: add_entry
INSERT INTO audit_log (number, at, who, verb, subject, touches, content_hash, previous, digest, content, salt)
VALUES (%(number)s, %(at)s, %(who)s, %(verb)s, %(subject)s, %(touches)s, %(content_hash)s, %(previous)s, %(digest)s,
    %(content)s, %(salt)s);

-- name: audit_page
SELECT number, at, who, verb, subject, touches, content_hash, previous, digest, content, salt
FROM audit_log WHERE number > %(after)s ORDER BY number LIMIT %(most)s;

-- name: entries_touching
SELECT number, at, who, verb, subject, touches, content_hash, previous, digest, content, salt
FROM audit_log
WHERE (%(subjects)s::text[] IS NULL OR subject = ANY (%(subjects)s) OR touches && %(subjects)s)
    AND (%(who)s::text IS NULL OR who = %(who)s) AND (%(verb)s::text IS NULL OR verb = %(verb)s)
ORDER BY number DESC LIMIT %(most)s;

-- name: withdraw_content
UPDATE audit_log SET content = NULL, salt = NULL WHERE strpos(content, %(text)s) > 0 RETURNING number;

-- name: audit_now
SELECT clock_timestamp();

-- name: steps_of_now
-- The steps that this transaction has taken.
SELECT run, site, step, from_state, to_state, actor, run_transitions.reason, acted_at
FROM run_transitions JOIN allocation_runs USING (run)
WHERE run = ANY (%(runs)s) AND recorded_at = now() ORDER BY site, run, step;
