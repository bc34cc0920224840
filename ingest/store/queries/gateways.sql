-- name: add_order
INSERT INTO install_orders (install_order, site, gateway, engineer, claim_hash, claim_key, ordered_at, expires_at)
VALUES (%(order)s, %(site)s, %(gateway)s, %(engineer)s, %(claim_hash)s, %(claim_key)s, %(ordered_at)s, %(expires_at)s);

-- name: lock_gateway
-- One enrolment of a gateway at a time, also before it has a row; freed with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(%(gateway)s, 7083465729083));

-- name: order_of_claim
SELECT install_order, site, gateway, engineer, ordered_at, expires_at, claim_hash, burned_at, burned_by, claim_key
FROM install_orders WHERE claim_hash = %(claim_hash)s OR claim_key = %(claim_key)s FOR UPDATE;

-- name: last_epoch
SELECT coalesce(max(epoch), 0) FROM gateway_keys WHERE gateway = %(gateway)s;

-- name: burn_order
UPDATE install_orders SET burned_at = %(burned_at)s, burned_by = %(burned_by)s WHERE install_order = %(order)s;

-- name: put_gateway
INSERT INTO gateways (gateway, site, epoch, enrolled_at) VALUES (%(gateway)s, %(site)s, %(epoch)s, %(enrolled_at)s)
ON CONFLICT (gateway) DO UPDATE
SET site = excluded.site, epoch = excluded.epoch, enrolled_at = excluded.enrolled_at;

-- name: add_key
INSERT INTO gateway_keys (gateway, epoch, key_id, algorithm, public_key, bundle_hash, enrolled_at)
VALUES (%(gateway)s, %(epoch)s, %(key_id)s, %(algorithm)s, %(public_key)s, %(bundle_hash)s, %(enrolled_at)s);

-- name: keys
SELECT gateway, epoch, key_id, algorithm, public_key, bundle_hash, last_seq
FROM gateway_keys WHERE key_id = ANY (%(key_ids)s) OR gateway = ANY (%(gateways)s)
ORDER BY gateway, epoch;

-- name: gateway_states
-- Counts of the newest epoch; what an earlier epoch still owes shows in its own chain head.
SELECT gateways.gateway, gateways.site, gateways.epoch, gateways.enrolled_at, gateway_keys.key_id,
    coalesce(heads.contiguous_seq, 0), coalesce(heads.highest_seq, 0), heads.newest_mark,
    coalesce(heads.envelopes, 0), coalesce(heads.repeats, 0), heads.received_at,
    (SELECT count(*) FROM quarantine
     WHERE proven AND quarantine.gateway = gateways.gateway AND quarantine.epoch = gateways.epoch)
FROM gateways
JOIN gateway_keys USING (gateway, epoch)
LEFT JOIN chain_heads AS heads USING (gateway, epoch)
WHERE NOT gateways.is_desk AND (%(gateway)s::text IS NULL OR gateways.gateway = %(gateway)s)
ORDER BY gateways.gateway;
