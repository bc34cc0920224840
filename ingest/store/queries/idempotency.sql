-- name: drop_old_keys
DELETE FROM idempotency_keys WHERE begun_at < clock_timestamp() - make_interval(hours => %(hours)s);

-- name: claim_key
-- A new key, or one whose holder died with the same request unanswered. begun_at tells this try from an earlier one.
INSERT INTO idempotency_keys (owner, key, request_hash, begun_at, leased_until)
VALUES (%(owner)s, %(key)s, %(request_hash)s, clock_timestamp(),
    clock_timestamp() + make_interval(secs => %(lease_s)s))
ON CONFLICT (owner, key) DO UPDATE
SET begun_at = excluded.begun_at, leased_until = excluded.leased_until
WHERE idempotency_keys.answered_at IS NULL AND idempotency_keys.leased_until < clock_timestamp()
    AND idempotency_keys.request_hash = excluded.request_hash
RETURNING begun_at;

-- name: known_key
SELECT request_hash, answered_at IS NOT NULL, status, headers, body FROM idempotency_keys
WHERE owner = %(owner)s AND key = %(key)s;

-- name: renew_key
UPDATE idempotency_keys SET leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE owner = %(owner)s AND key = %(key)s AND begun_at = %(begun_at)s AND answered_at IS NULL;

-- name: answer_key
UPDATE idempotency_keys SET answered_at = clock_timestamp(), status = %(status)s, headers = %(headers)s, body = %(body)s
WHERE owner = %(owner)s AND key = %(key)s AND begun_at = %(begun_at)s AND answered_at IS NULL;

-- name: free_key
DELETE FROM idempotency_keys
WHERE owner = %(owner)s AND key = %(key)s AND begun_at = %(begun_at)s AND answered_at IS NULL;
