-- name: certificate_of_request
SELECT chain FROM gateway_certificates WHERE gateway = %(gateway)s AND csr_digest = %(csr_digest)s;

-- name: certificate_kept
-- The certificate, when it was revoked, and by which other request than this one it was renewed, if it was.
SELECT kept.gateway, kept.ends_at, revocations.revoked_at,
    (SELECT newer.csr_digest FROM gateway_certificates AS newer
     WHERE newer.renews = kept.digest AND newer.csr_digest <> %(csr_digest)s ORDER BY newer.issued_at LIMIT 1)
FROM gateway_certificates AS kept
LEFT JOIN revocations USING (gateway, epoch)
WHERE kept.digest = %(digest)s;

-- name: certificates_counted
SELECT count(*), count(*) FILTER (WHERE issued_at > %(since)s) FROM gateway_certificates WHERE gateway = %(gateway)s;

-- name: add_certificate
INSERT INTO gateway_certificates (digest, gateway, epoch, serial, csr_digest, chain, issued_at, ends_at, renews)
VALUES (%(digest)s, %(gateway)s, %(epoch)s, %(serial)s, %(csr_digest)s, %(chain)s, %(issued_at)s, %(ends_at)s,
    %(renews)s);

-- name: revoked_certificates
-- One that has lapsed is not believed by anybody, and need not be listed.
SELECT serial, revoked_at FROM gateway_certificates JOIN revocations USING (gateway, epoch)
WHERE ends_at > %(now)s ORDER BY serial;

-- name: certificates_of
SELECT certificates.serial, certificates.epoch, certificates.issued_at, certificates.ends_at, revocations.revoked_at,
    certificates.digest, certificates.renews
FROM gateway_certificates AS certificates
LEFT JOIN revocations USING (gateway, epoch)
WHERE certificates.gateway = %(gateway)s ORDER BY certificates.issued_at, certificates.serial;

-- name: certificates_ending
-- Of each gateway the certificate that lasts longest, where it ends by then or did; those of revoked epochs may.
SELECT gateway, max(ends_at) FROM gateway_certificates
WHERE (gateway, epoch) NOT IN (SELECT gateway, epoch FROM revocations)
GROUP BY gateway HAVING max(ends_at) <= %(before)s ORDER BY gateway;

-- name: key_facts
SELECT epoch, key_level, last_seq FROM gateway_keys WHERE gateway = %(gateway)s ORDER BY epoch DESC;

-- name: gateways_let_in
SELECT gateway FROM gateways
WHERE (gateway, epoch) NOT IN (SELECT gateway, epoch FROM revocations) ORDER BY gateway;

-- name: key_of_epoch
SELECT keys.algorithm, keys.public_key, gateways.site, revocations.revoked_at, keys.last_seq IS NOT NULL
FROM gateway_keys AS keys
JOIN gateways ON gateways.gateway = keys.gateway
LEFT JOIN revocations ON revocations.gateway = keys.gateway AND revocations.epoch = keys.epoch
WHERE keys.gateway = %(gateway)s AND keys.epoch = %(epoch)s;

-- name: key_state
-- The old key of a handover, held until the transaction ends.
SELECT keys.rolled_by, gateways.epoch = keys.epoch,
    coalesce((SELECT highest_seq FROM chain_heads AS heads
        WHERE heads.gateway = keys.gateway AND heads.epoch = keys.epoch), 0)
FROM gateway_keys AS keys
JOIN gateways USING (gateway)
WHERE keys.gateway = %(gateway)s AND keys.epoch = %(epoch)s
FOR UPDATE OF keys;

-- name: end_key
UPDATE gateway_keys SET last_seq = %(last_seq)s, rolled_by = %(rolled_by)s
WHERE gateway = %(gateway)s AND epoch = %(epoch)s;

-- name: set_key_level
UPDATE gateway_keys SET key_level = %(key_level)s WHERE gateway = %(gateway)s AND epoch = %(epoch)s;
