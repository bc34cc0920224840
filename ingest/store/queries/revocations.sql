-- name: enrolled_epochs
SELECT DISTINCT epoch FROM gateway_keys WHERE gateway = %(gateway)s ORDER BY epoch;

-- name: add_revocation
INSERT INTO revocations (gateway, epoch, revoked_at, revoked_by, reason)
VALUES (%(gateway)s, %(epoch)s, %(at)s, %(by)s, %(reason)s)
ON CONFLICT DO NOTHING RETURNING epoch;

-- name: revocations
SELECT gateway, epoch, revoked_at, revoked_by, reason FROM revocations
WHERE %(gateway)s::text IS NULL OR gateway = %(gateway)s ORDER BY gateway, epoch;

-- name: revoked_of
SELECT gateway, epoch FROM revocations
JOIN unnest(%(gateways)s::text[], %(epochs)s::int[]) AS wanted (gateway, epoch) USING (gateway, epoch);
