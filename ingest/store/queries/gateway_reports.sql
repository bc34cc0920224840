-- name: add_anchor
INSERT INTO clock_anchors (gateway, epoch, seq, boot, since_boot_ms, instant, error_ms, source)
VALUES (%(gateway)s, %(epoch)s, %(seq)s, %(boot)s, %(since_boot_ms)s, %(instant)s, %(error_ms)s, %(source)s)
ON CONFLICT DO NOTHING;

-- name: add_undated
INSERT INTO undated_envelopes (gateway, epoch, seq, boot)
VALUES (%(gateway)s, %(epoch)s, %(seq)s, %(boot)s) ON CONFLICT DO NOTHING;

-- name: date_envelopes
-- Whichever came later, envelope or anchor: the surest anchor that is here now dates what waits, once.
WITH waiting AS (
    SELECT gateway, epoch, seq, boot FROM undated_envelopes
    WHERE gateway = %(gateway)s AND epoch = %(epoch)s AND boot = %(boot)s AND dated_by IS NULL AND seq > %(after)s
    ORDER BY seq LIMIT %(most)s
),
surest AS (
    SELECT seq, since_boot_ms, instant, error_ms, source FROM clock_anchors
    WHERE gateway = %(gateway)s AND epoch = %(epoch)s AND boot = %(boot)s
    ORDER BY error_ms, seq LIMIT 1
),
dated AS (
    UPDATE undated_envelopes SET dated_by = surest.seq FROM waiting, surest
    WHERE undated_envelopes.gateway = waiting.gateway AND undated_envelopes.epoch = waiting.epoch
      AND undated_envelopes.seq = waiting.seq
    RETURNING undated_envelopes.gateway, undated_envelopes.epoch, undated_envelopes.seq,
        surest.since_boot_ms, surest.instant, surest.error_ms, surest.source
)
SELECT dated.seq, envelopes.octets, dated.since_boot_ms, dated.instant, dated.error_ms, dated.source
FROM dated
JOIN ledger ON ledger.gateway = dated.gateway AND ledger.epoch = dated.epoch AND ledger.seq = dated.seq
LEFT JOIN envelopes ON envelopes.gateway = dated.gateway AND envelopes.epoch = dated.epoch AND envelopes.seq = dated.seq
    AND envelopes.received_at = ledger.received_at
ORDER BY dated.seq;

-- name: undate
UPDATE undated_envelopes SET dated_by = NULL WHERE gateway = %(gateway)s AND epoch = %(epoch)s AND seq = %(seq)s;

-- name: count_undated
SELECT gateway, count(*) FROM undated_envelopes WHERE dated_by IS NULL GROUP BY gateway ORDER BY gateway;

-- name: report_settings
UPDATE settings_orders SET outcome = %(outcome)s, reason = %(reason)s, reported_at = %(reported_at)s
WHERE gateway = %(gateway)s AND epoch = %(epoch)s AND version = %(version)s;

-- name: lock_orders
-- One order of a gateway at a time, so that numbers have no gaps; freed with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(%(gateway)s, 7083465729085));

-- name: next_order
SELECT gateways.epoch, coalesce((SELECT max(version) FROM settings_orders WHERE gateway = %(gateway)s), 0) + 1
FROM gateways WHERE gateway = %(gateway)s;

-- name: add_order
INSERT INTO settings_orders (gateway, version, epoch, octets, ordered_by, ordered_at, ask_at)
VALUES (%(gateway)s, %(version)s, %(epoch)s, %(octets)s, %(ordered_by)s, %(ordered_at)s, %(ordered_at)s);

-- name: orders
SELECT gateway, version, epoch, octets, ordered_by, ordered_at, times, outcome, reason, reported_at
FROM settings_orders WHERE gateway = %(gateway)s ORDER BY version DESC;

-- name: due_orders
-- The newest order of a gateway, for the epoch it is in, until it was reported on: after 1, 2, 4 ... 16 minutes. An older
-- one is never sent again: the gateway would not take it any more.
WITH due AS (
    SELECT gateway, version FROM settings_orders AS one JOIN gateways USING (gateway, epoch)
    WHERE outcome IS NULL AND ask_at <= %(now)s
      AND NOT EXISTS (SELECT FROM revocations AS gone WHERE gone.gateway = one.gateway AND gone.epoch = one.epoch)
      AND NOT EXISTS (SELECT FROM settings_orders AS newer WHERE newer.gateway = one.gateway AND newer.version > one.version)
    ORDER BY ask_at, gateway LIMIT %(most)s FOR UPDATE OF one SKIP LOCKED
)
UPDATE settings_orders
SET times = times + 1, ask_at = %(now)s::timestamptz + INTERVAL '1 minute' * 2 ^ least(times, 4)
FROM due WHERE settings_orders.gateway = due.gateway AND settings_orders.version = due.version
RETURNING settings_orders.gateway, settings_orders.octets;
