-- name: add_session
INSERT INTO sessions (operator, token_hash, started_at, seen_at, address, device, awaits_code)
VALUES (%(operator)s, %(token_hash)s, %(at)s, %(at)s, %(address)s, %(device)s, %(awaits_code)s)
RETURNING session;

-- name: session_of_token
-- Whoever was removed has no session, from his next call on.
SELECT session, operator, started_at, seen_at, awaits_code, viewing_as, roles, sites
FROM sessions JOIN operators USING (operator)
WHERE sessions.token_hash = %(token_hash)s AND ended_at IS NULL AND removed_at IS NULL
    AND started_at > %(started_after)s AND seen_at > %(seen_after)s
    AND (NOT awaits_code OR started_at > %(code_after)s);

-- name: see_session
UPDATE sessions SET seen_at = %(at)s WHERE session = %(session)s AND seen_at < %(at)s;

-- name: sessions_of_operator
SELECT session, started_at, seen_at, address, device FROM sessions
WHERE operator = %(operator)s AND ended_at IS NULL AND NOT awaits_code
    AND started_at > %(started_after)s AND seen_at > %(seen_after)s
ORDER BY seen_at DESC, session DESC;

-- name: end_session
UPDATE sessions SET ended_at = %(at)s
WHERE session = %(session)s AND operator = %(operator)s AND ended_at IS NULL RETURNING session;

-- name: end_other_sessions
UPDATE sessions SET ended_at = %(at)s
WHERE operator = %(operator)s AND ended_at IS NULL AND session IS DISTINCT FROM %(kept)s RETURNING session;

-- name: view_as
UPDATE sessions SET viewing_as = %(role)s WHERE session = %(session)s;

-- name: delete_old_sessions
DELETE FROM sessions WHERE started_at < %(before)s;
