-- name: sign_in_of
SELECT operator, password_hash, password_at, code_secret, code_since, code_step, recovery_hashes
FROM sign_ins JOIN operators USING (operator) WHERE operator = %(operator)s AND removed_at IS NULL;

-- name: hold_sign_in
SELECT operator, password_hash, password_at, code_secret, code_since, code_step, recovery_hashes
FROM sign_ins JOIN operators USING (operator) WHERE operator = %(operator)s AND removed_at IS NULL
FOR UPDATE OF sign_ins;

-- name: sign_ins_set_up
-- Who has chosen a password and a second factor, and whose link is still open.
SELECT operator, password_at, code_since, newest.expires_at
FROM operators LEFT JOIN sign_ins USING (operator) LEFT JOIN LATERAL (
    SELECT max(expires_at) AS expires_at FROM sign_in_links
    WHERE sign_in_links.operator = operators.operator AND ended_at IS NULL AND expires_at > %(at)s
) AS newest ON true;

-- name: set_password
INSERT INTO sign_ins (operator, password_hash, password_at) VALUES (%(operator)s, %(password_hash)s, %(at)s)
ON CONFLICT (operator) DO UPDATE SET password_hash = EXCLUDED.password_hash, password_at = EXCLUDED.password_at;

-- name: renew_hash
UPDATE sign_ins SET password_hash = %(password_hash)s WHERE operator = %(operator)s AND password_hash = %(before)s;

-- name: set_code
UPDATE sign_ins SET code_secret = %(secret)s, code_since = %(at)s, code_step = %(step)s,
    recovery_hashes = %(recovery_hashes)s
WHERE operator = %(operator)s;

-- name: drop_code
UPDATE sign_ins SET code_secret = NULL, code_since = NULL, code_step = 0, recovery_hashes = '{}'
WHERE operator = %(operator)s AND code_secret IS NOT NULL RETURNING operator;

-- name: use_code
-- Of two who show the same code at once, one is too late.
UPDATE sign_ins SET code_step = %(step)s WHERE operator = %(operator)s AND code_step < %(step)s RETURNING operator;

-- name: use_recovery
UPDATE sign_ins SET recovery_hashes = array_remove(recovery_hashes, %(digest)s)
WHERE operator = %(operator)s AND %(digest)s = ANY (recovery_hashes) RETURNING cardinality(recovery_hashes);

-- name: add_link
INSERT INTO sign_in_links (token_hash, operator, made_at, made_by, expires_at)
VALUES (%(token_hash)s, %(operator)s, %(at)s, %(by)s, %(expires_at)s);

-- name: end_links
UPDATE sign_in_links SET ended_at = %(at)s WHERE operator = %(operator)s AND ended_at IS NULL;

-- name: operator_of_link
SELECT operator, expires_at FROM sign_in_links JOIN operators USING (operator)
WHERE sign_in_links.token_hash = %(token_hash)s AND ended_at IS NULL AND removed_at IS NULL AND expires_at > %(at)s;

-- name: end_link
UPDATE sign_in_links SET ended_at = %(at)s
WHERE token_hash = %(token_hash)s AND ended_at IS NULL AND expires_at > %(at)s RETURNING operator;

-- name: lock_first
-- Of several programs that start at once, one makes the first administrator; freed with the transaction.
SELECT pg_advisory_xact_lock(7083465729088);

-- name: add_failure
INSERT INTO sign_in_failures (operator_hash, address, failed_at) VALUES (%(operator_hash)s, %(address)s, %(at)s);

-- name: count_failures
SELECT count(*) FILTER (WHERE operator_hash = %(operator_hash)s AND address = %(address)s),
    count(*) FILTER (WHERE operator_hash = %(operator_hash)s),
    count(*) FILTER (WHERE address = %(address)s)
FROM sign_in_failures
WHERE (operator_hash = %(operator_hash)s OR address = %(address)s) AND failed_at > %(since)s;

-- name: forgive
DELETE FROM sign_in_failures
WHERE failed_at < %(since)s OR (operator_hash = %(operator_hash)s AND address = %(address)s);
