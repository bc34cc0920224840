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

-- name: entries_asked
-- The newest entries before one, as a page asks for them.
SELECT number, at, who, verb, subject, touches, content_hash, previous, digest, content, salt
FROM audit_log
WHERE (%(before)s::bigint IS NULL OR number < %(before)s)
    AND (%(who)s::text IS NULL OR who = %(who)s) AND (%(verb)s::text IS NULL OR verb = %(verb)s)
    AND (%(subject)s::text IS NULL OR subject = %(subject)s OR touches @> ARRAY[%(subject)s::text])
    AND (%(start)s::timestamptz IS NULL OR at >= %(start)s) AND (%(end)s::timestamptz IS NULL OR at < %(end)s)
ORDER BY number DESC LIMIT %(most)s;

-- name: withdraw_content
UPDATE audit_log SET content = NULL, salt = NULL WHERE strpos(content, %(text)s) > 0 RETURNING number;

-- name: count_whole_texts
SELECT count(*) FROM audit_log WHERE strpos(content, %(text)s) > 0;

-- name: audit_now
SELECT clock_timestamp();

-- name: steps_of_now
-- The steps that this transaction has taken.
SELECT run, site, step, from_state, to_state, actor, run_transitions.reason, acted_at, period
FROM run_transitions JOIN allocation_runs USING (run)
WHERE run = ANY (%(runs)s) AND recorded_at = now() ORDER BY site, run, step;

-- name: rows_written
-- What is written once, with what its act in the log tells of it (ingest/audit_rows.py), and when it was written.
SELECT 'site/' || site, 'version ' || version || ', ' || encode(hash, 'hex'), imported_at FROM site_versions
UNION ALL
SELECT 'run/' || run, 'step ' || step || ', ' || to_state || ' by ' || actor, recorded_at FROM run_transitions
UNION ALL
SELECT 'gateway/' || gateway, 'settings ' || version || ', ' || encode(sha256(octets), 'hex'), ordered_at
FROM settings_orders
UNION ALL
SELECT 'gateway/' || gateway, 'epoch ' || epoch || ' revoked', revoked_at FROM revocations
UNION ALL
SELECT 'gateway/' || gateway, 'key ' || encode(key_id, 'hex') || ' in epoch ' || epoch, enrolled_at FROM gateway_keys
UNION ALL
SELECT 'order/' || install_order, 'install order', ordered_at FROM install_orders
UNION ALL
SELECT 'client/' || client, 'key ' || key, made_at FROM client_keys
UNION ALL
SELECT 'event/' || event, events.kind || ', ' || encode(sha256(octets), 'hex')
        || CASE WHEN binding IS NULL THEN '' ELSE ', binding' END,
    received_at
FROM installation_events AS events LEFT JOIN bindings ON binding = event;

-- name: rows_standing
-- What goes through states, as it stands. What a later act at the site superseded needs no person's word.
SELECT 'operator/' || operator,
    CASE WHEN removed_at IS NOT NULL THEN 'removed'
        WHEN roles @> usual AND roles <@ usual AND sites IS NULL THEN 'in force'
        ELSE 'in force as ' || array_to_string(roles, ',') || coalesce(' at ' || array_to_string(sites, ','), '') END,
    added_at
FROM operators, (SELECT ARRAY['approver', 'energy-manager', 'field-engineer'] AS usual) AS posts
UNION ALL
SELECT 'client/' || client,
    CASE WHEN removed_at IS NOT NULL THEN 'removed'
        ELSE 'in force as ' || array_to_string(roles, ',') || coalesce(' at ' || array_to_string(sites, ','), '') END,
    added_at
FROM clients
UNION ALL
SELECT 'binding/' || binding, state || ' by ' || decided_by, decided_at FROM bindings
WHERE state IN ('approved', 'refused');

-- name: standing_subjects
SELECT 'operator/' || operator FROM operators UNION ALL SELECT 'client/' || client FROM clients
UNION ALL SELECT 'binding/' || binding FROM bindings WHERE state <> 'pending';

-- name: site_contents
-- Documents from which no name was taken out: their hash can be made again.
SELECT site, version, hash, document, coalesce(rules, '{}') FROM site_versions WHERE site_hash IS NULL ORDER BY site, version;

-- name: add_checkpoint
INSERT INTO audit_checkpoints (number, signed_at, octets) VALUES (%(number)s, %(signed_at)s, %(octets)s)
ON CONFLICT DO NOTHING;

-- name: checkpoints
SELECT number, octets FROM audit_checkpoints ORDER BY number;
