-- name: lock_alerts
-- One look or acknowledgement at a time: numbers of changes rise in the order of commits, so a reader misses none.
SELECT pg_advisory_xact_lock(7083465729065);

-- name: open_alerts
SELECT alert, kind, scope, subject, severity, opened_at, seen_at, closed_at, times, detail,
    acknowledged_at, acknowledged_by, note, change
FROM alerts WHERE closed_at IS NULL ORDER BY alert;

-- name: lately_closed
SELECT DISTINCT ON (kind, scope, subject) alert, kind, scope, subject, severity, opened_at, seen_at, closed_at, times,
    detail, acknowledged_at, acknowledged_by, note, change
FROM alerts WHERE closed_at > %(since)s
ORDER BY kind, scope, subject, closed_at DESC;

-- name: find_alert
SELECT alert, kind, scope, subject, severity, opened_at, seen_at, closed_at, times, detail,
    acknowledged_at, acknowledged_by, note, change
FROM alerts WHERE alert = %(alert)s;

-- name: list_alerts
-- The newest change first, for people.
SELECT alert, kind, scope, subject, severity, opened_at, seen_at, closed_at, times, detail,
    acknowledged_at, acknowledged_by, note, change
FROM alerts
WHERE (NOT %(only_open)s::boolean OR closed_at IS NULL) AND (%(kind)s::text IS NULL OR kind = %(kind)s)
    AND (%(scope)s::text IS NULL OR scope = %(scope)s) AND (%(subject)s::text IS NULL OR subject = %(subject)s)
ORDER BY closed_at IS NOT NULL, change DESC LIMIT %(most)s;

-- name: changed_alerts
-- In order of change, for programs that pull.
SELECT alert, kind, scope, subject, severity, opened_at, seen_at, closed_at, times, detail,
    acknowledged_at, acknowledged_by, note, change
FROM alerts
WHERE change > %(after)s AND (NOT %(only_open)s::boolean OR closed_at IS NULL)
    AND (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(scope)s::text IS NULL OR scope = %(scope)s)
    AND (%(subject)s::text IS NULL OR subject = %(subject)s)
ORDER BY change LIMIT %(most)s;

-- name: newest_change
SELECT coalesce(max(change), 0) FROM alerts;

-- name: add_alerts
-- Numbers come from the table under its lock, not from a sequence: a restored table needs nothing set.
INSERT INTO alerts (alert, kind, scope, subject, severity, opened_at, seen_at, detail, change)
SELECT (SELECT coalesce(max(alert), 0) FROM alerts) + row_number() OVER (ORDER BY place), kind, scope, subject, severity,
    %(now)s::timestamptz, %(now)s::timestamptz, detail, (SELECT coalesce(max(change), 0) FROM alerts) + row_number() OVER (ORDER BY place)
FROM unnest(%(kinds)s::text[], %(scopes)s::text[], %(subjects)s::text[], %(severities)s::text[], %(details)s::jsonb[])
    WITH ORDINALITY AS came (kind, scope, subject, severity, detail, place)
RETURNING alert;

-- name: reopen_alerts
UPDATE alerts
SET closed_at = NULL, seen_at = %(now)s, times = times + 1, detail = came.detail, severity = came.severity,
    change = (SELECT coalesce(max(change), 0) FROM alerts) + came.place
FROM unnest(%(alerts)s::bigint[], %(severities)s::text[], %(details)s::jsonb[])
    WITH ORDINALITY AS came (alert, severity, detail, place)
WHERE alerts.alert = came.alert;

-- name: see_alerts
UPDATE alerts SET seen_at = greatest(seen_at, %(now)s), detail = came.detail
FROM unnest(%(alerts)s::bigint[], %(details)s::jsonb[]) AS came (alert, detail)
WHERE alerts.alert = came.alert;

-- name: weigh_alerts
UPDATE alerts
SET severity = came.severity, change = (SELECT coalesce(max(change), 0) FROM alerts) + came.place
FROM unnest(%(alerts)s::bigint[], %(severities)s::text[]) WITH ORDINALITY AS came (alert, severity, place)
WHERE alerts.alert = came.alert;

-- name: close_alerts
UPDATE alerts SET closed_at = %(now)s, change = (SELECT coalesce(max(change), 0) FROM alerts) + came.place
FROM unnest(%(alerts)s::bigint[]) WITH ORDINALITY AS came (alert, place)
WHERE alerts.alert = came.alert;

-- name: acknowledge
UPDATE alerts
SET acknowledged_at = %(now)s::timestamptz, acknowledged_by = %(by)s, note = %(note)s,
    closed_at = CASE WHEN %(closes)s::boolean THEN coalesce(closed_at, %(now)s::timestamptz) ELSE closed_at END,
    change = (SELECT coalesce(max(change), 0) FROM alerts) + 1
WHERE alert = %(alert)s;

-- name: clones
-- How many alarms of equivocation each gateway has, and how many of them somebody has acknowledged. Counted, because
-- neither times nor numbers of alarms rise in the order of commits.
SELECT gateway, count(*), coalesce((
        SELECT max((detail ->> 'count')::bigint) FROM alerts
        WHERE kind = 'equivocation' AND scope = 'gateway' AND subject = alarms.gateway AND acknowledged_at IS NOT NULL
    ), 0), (array_agg(epoch ORDER BY alarm DESC))[1], (array_agg(seq ORDER BY alarm DESC))[1], max(raised_at)
FROM alarms WHERE kind = 'equivocation' AND gateway IS NOT NULL
GROUP BY gateway ORDER BY gateway;

-- name: losses
-- Runs that were told again and longer are counted once: they share their first seq, and their seqs are joined. Counted
-- as numeric: a gateway may tell of every seq there is, in more than one epoch.
SELECT alarms.gateway, count(*), coalesce((
        SELECT max((detail ->> 'count')::bigint) FROM alerts
        WHERE kind = 'batches-lost' AND scope = 'gateway' AND subject = alarms.gateway AND acknowledged_at IS NOT NULL
    ), 0), (
        SELECT least(coalesce(sum(upper(run) - lower(run)), 0), 9223372036854775807)::bigint
        FROM (
            SELECT unnest(range_agg(numrange(first_seq, last_seq + 1::numeric))) AS run FROM lost_batches
            WHERE lost_batches.gateway = alarms.gateway GROUP BY epoch
        ) AS runs
    ), (SELECT min(first_mark) FROM lost_batches WHERE lost_batches.gateway = alarms.gateway),
    (SELECT max(last_mark) FROM lost_batches WHERE lost_batches.gateway = alarms.gateway), max(raised_at)
FROM alarms WHERE kind = 'batches-lost' AND gateway IS NOT NULL
GROUP BY alarms.gateway ORDER BY alarms.gateway;

-- name: claims_misused
-- How many machines presented claims that were not theirs, by the gateway the claims were given for, and how many of them
-- somebody has acknowledged; and the newest: of which order, from where, with which key, naming itself how, and the key
-- that this claim had registered.
SELECT install_orders.gateway, count(*), coalesce((
        SELECT max((detail ->> 'count')::bigint) FROM alerts
        WHERE kind = 'claim-misused' AND scope = 'gateway' AND subject = install_orders.gateway AND acknowledged_at IS NOT NULL
    ), 0),
    (array_agg(install_order ORDER BY first_at DESC))[1], (array_agg(address ORDER BY first_at DESC))[1],
    (array_agg(claim_misuses.key_id ORDER BY first_at DESC))[1], (array_agg(claim_misuses.gateway ORDER BY first_at DESC))[1],
    (array_agg(gateway_keys.key_id ORDER BY first_at DESC))[1], max(first_at)
FROM claim_misuses JOIN install_orders USING (install_order)
LEFT JOIN gateway_keys ON gateway_keys.bundle_hash = install_orders.burned_by
GROUP BY install_orders.gateway ORDER BY install_orders.gateway;

-- name: refusals_since
SELECT reason, count(*), (array_agg(DISTINCT gateway) FILTER (WHERE gateway IS NOT NULL))[1:20]
FROM quarantine WHERE first_received_at > %(since)s
GROUP BY reason ORDER BY reason;

-- name: waits_since
-- Of meters that their site still has: others have no point to settle.
SELECT min(since) FROM unsettled_days
WHERE since < %(before)s AND meter IN (
    SELECT described ->> 'id'
    FROM (SELECT DISTINCT ON (site) document FROM site_versions ORDER BY site, version DESC) AS newest
    CROSS JOIN jsonb_array_elements(document -> 'meters') AS described
);

-- name: anything_waits_since
SELECT EXISTS (SELECT FROM unsettled_days WHERE since < %(before)s);

-- name: backed_up
-- When the newest good backup was finished; NULL without one. Then, since when there has been something to back up.
SELECT (SELECT max(finished_at) FROM backups), (SELECT min(enrolled_at) FROM gateway_keys);

-- name: equivocations_of
SELECT epoch, seq, raised_at, detail FROM alarms
WHERE kind = 'equivocation' AND gateway = %(gateway)s ORDER BY alarm DESC LIMIT %(most)s;
