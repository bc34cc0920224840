-- name: winner_of_order
SELECT key_id FROM install_orders JOIN gateway_keys ON gateway_keys.bundle_hash = install_orders.burned_by
WHERE install_order = %(order)s;

-- name: note_misuse
INSERT INTO claim_misuses (install_order, bundle_hash, reason, gateway, key_id, address, first_at, last_at)
SELECT %(order)s, %(bundle_hash)s, %(reason)s, %(gateway)s, %(key_id)s, %(address)s, %(now)s, %(now)s
WHERE (SELECT count(*) FROM claim_misuses WHERE install_order = %(order)s AND bundle_hash <> %(bundle_hash)s) < %(most)s
ON CONFLICT (install_order, bundle_hash) DO UPDATE
SET times = claim_misuses.times + 1, last_at = excluded.last_at, address = excluded.address
RETURNING times;

-- name: misuses
SELECT install_order, install_orders.gateway, claim_misuses.gateway, claim_misuses.key_id, gateway_keys.key_id, reason,
    address, first_at, last_at, times
FROM claim_misuses JOIN install_orders USING (install_order)
LEFT JOIN gateway_keys ON gateway_keys.bundle_hash = install_orders.burned_by
WHERE %(gateway)s::text IS NULL OR install_orders.gateway = %(gateway)s
ORDER BY first_at, install_order;
