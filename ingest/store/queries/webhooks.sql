-- name: add_endpoint
INSERT INTO webhook_endpoints (endpoint, owner, url, kinds, sites, description, state, added_at, state_at)
VALUES (%(endpoint)s, %(owner)s, %(url)s, %(kinds)s, %(sites)s, %(description)s, 'on', %(now)s, %(now)s);

-- name: endpoints
SELECT endpoint, owner, url, kinds, sites, description, state, added_at, state_at, failures, failing_since, paused_until,
    delivered_at,
    (SELECT count(*) FROM webhook_deliveries
        WHERE webhook_deliveries.endpoint = webhook_endpoints.endpoint AND webhook_deliveries.state = 'waiting'),
    (SELECT count(*) FROM webhook_deliveries
        WHERE webhook_deliveries.endpoint = webhook_endpoints.endpoint AND webhook_deliveries.state = 'dead')
FROM webhook_endpoints
WHERE state <> 'removed' AND (%(endpoint)s::text IS NULL OR endpoint = %(endpoint)s)
    AND (%(owner)s::text IS NULL OR owner = %(owner)s)
ORDER BY added_at, endpoint;

-- name: hold_endpoint
-- Keeps others from changing it until the transaction ends.
SELECT state, failures, failing_since FROM webhook_endpoints WHERE endpoint = %(endpoint)s FOR UPDATE;

-- name: change_endpoint
UPDATE webhook_endpoints
SET url = %(url)s, kinds = %(kinds)s, sites = %(sites)s, description = %(description)s WHERE endpoint = %(endpoint)s;

-- name: turn_endpoint
-- Turned on again it begins anew: what waits is due at once.
UPDATE webhook_endpoints SET state = %(state)s, state_at = %(now)s,
    failures = CASE WHEN %(state)s = 'on' THEN 0 ELSE failures END,
    failing_since = CASE WHEN %(state)s = 'on' THEN NULL ELSE failing_since END,
    paused_until = CASE WHEN %(state)s = 'on' THEN NULL ELSE paused_until END
WHERE endpoint = %(endpoint)s;

-- name: hasten_deliveries
UPDATE webhook_deliveries SET next_at = %(now)s, attempt = 0, leased_until = NULL
WHERE endpoint = %(endpoint)s AND state = 'waiting';

-- name: drop_waiting
DELETE FROM webhook_deliveries WHERE endpoint = %(endpoint)s AND state = 'waiting';

-- name: note_health
UPDATE webhook_endpoints SET failures = %(failures)s, failing_since = %(failing_since)s, paused_until = %(paused_until)s,
    delivered_at = CASE WHEN %(failures)s = 0 THEN %(now)s ELSE delivered_at END
WHERE endpoint = %(endpoint)s;

-- name: add_secret
INSERT INTO webhook_secrets (endpoint, number, algorithm, sealed, public_key, made_at)
VALUES (%(endpoint)s, %(number)s, %(algorithm)s, %(sealed)s, %(public_key)s, %(now)s);

-- name: end_secrets
-- Every one that has no end, or a later one.
UPDATE webhook_secrets SET ends_at = %(ends_at)s
WHERE endpoint = %(endpoint)s AND (ends_at IS NULL OR ends_at > %(ends_at)s);

-- name: secrets
SELECT number, algorithm, sealed, public_key, made_at, ends_at FROM webhook_secrets
WHERE endpoint = %(endpoint)s ORDER BY number DESC;

-- name: claim_delivery
-- The delivery that has been due longest of any endpoint that is on, not resting, and has fewer in hand than it may. Who
-- claims holds a lease and no lock, so that nothing waits for another's server. It is due again when the lease ends, so
-- one index says what is due and what is in hand, however much waits.
WITH found AS (
    SELECT endpoint, due.event
    FROM webhook_endpoints CROSS JOIN LATERAL (
        SELECT event, next_at FROM webhook_deliveries
        WHERE webhook_deliveries.endpoint = webhook_endpoints.endpoint AND state = 'waiting' AND next_at <= %(now)s
        ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE state = 'on' AND (paused_until IS NULL OR paused_until <= %(now)s)
        AND (
            SELECT count(*) FROM webhook_deliveries
            WHERE webhook_deliveries.endpoint = webhook_endpoints.endpoint AND state = 'waiting'
                AND next_at > %(now)s AND next_at <= %(until)s AND leased_until > %(now)s
        ) < %(at_once)s
    ORDER BY next_at LIMIT 1
)
UPDATE webhook_deliveries SET leased_until = %(until)s, next_at = %(until)s, attempt = attempt + 1
FROM found
WHERE webhook_deliveries.endpoint = found.endpoint AND webhook_deliveries.event = found.event
RETURNING webhook_deliveries.endpoint, webhook_deliveries.event, attempt,
    (SELECT url FROM webhook_endpoints WHERE endpoint = found.endpoint),
    (SELECT owner FROM webhook_endpoints WHERE endpoint = found.endpoint);

-- name: settle_delivery
-- Only if nobody has sent it anew meanwhile: then the try counts for nothing. The last twenty tries are kept.
UPDATE webhook_deliveries SET state = %(state)s, next_at = %(next_at)s, leased_until = NULL,
    delivered_at = CASE WHEN %(state)s = 'delivered' THEN %(now)s ELSE delivered_at END,
    tries = CASE WHEN jsonb_array_length(tries) >= 20 THEN tries - 0 ELSE tries END || %(tried)s::jsonb
WHERE endpoint = %(endpoint)s AND event = %(event)s AND attempt = %(attempt)s AND state = 'waiting'
    AND leased_until IS NOT NULL
RETURNING event;

-- name: deliveries
SELECT webhook_deliveries.endpoint, event, kind, subject, number, webhook_deliveries.state, made_at, attempt, next_at,
    webhook_deliveries.delivered_at, tries
FROM webhook_deliveries JOIN events USING (event)
WHERE webhook_deliveries.endpoint = %(endpoint)s
    AND (%(state)s::text IS NULL OR webhook_deliveries.state = %(state)s)
    AND (%(before)s::bigint IS NULL OR number < %(before)s)
ORDER BY number DESC LIMIT %(most)s;

-- name: replay_one
INSERT INTO webhook_deliveries (endpoint, event, next_at)
SELECT %(endpoint)s, event, %(now)s FROM events WHERE event = %(event)s AND number IS NOT NULL AND (endpoint = %(endpoint)s OR (endpoint IS NULL
    AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s)) AND (%(sites)s::text[] IS NULL OR site = ANY (%(sites)s))))
ON CONFLICT (endpoint, event) DO UPDATE SET state = 'waiting', attempt = 0, next_at = %(now)s, leased_until = NULL
RETURNING event;

-- name: replay_since
-- Of what the endpoint gets now; `dead` takes dead letters only.
INSERT INTO webhook_deliveries (endpoint, event, next_at)
SELECT %(endpoint)s, event, %(now)s FROM events
WHERE number IS NOT NULL AND told_at >= %(since)s AND endpoint IS NULL
    AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s)) AND (%(sites)s::text[] IS NULL OR site = ANY (%(sites)s))
    AND (NOT %(only_dead)s OR EXISTS (
        SELECT FROM webhook_deliveries
        WHERE webhook_deliveries.endpoint = %(endpoint)s AND webhook_deliveries.event = events.event AND state = 'dead'
    ))
ON CONFLICT (endpoint, event) DO UPDATE SET state = 'waiting', attempt = 0, next_at = %(now)s, leased_until = NULL
RETURNING event;

-- name: owner
-- What the one who added an endpoint may now; nothing once he was removed.
SELECT roles, sites FROM operators WHERE %(kind)s = 'operator' AND operator = %(name)s AND removed_at IS NULL
UNION ALL
SELECT roles, sites FROM clients WHERE %(kind)s = 'client' AND client = %(name)s AND removed_at IS NULL;

-- name: failing_endpoints
-- What a person should look at: endpoints turned off by what they answered, that fail for a while, or have dead letters.
SELECT endpoint, owner, url, state,
    CASE state WHEN 'on' THEN least(failing_since, dead.since) ELSE state_at END, failing_since IS NOT NULL, dead.letters
FROM webhook_endpoints CROSS JOIN LATERAL (
    SELECT count(*) AS letters, min(made_at) AS since FROM webhook_deliveries
    WHERE webhook_deliveries.endpoint = webhook_endpoints.endpoint AND webhook_deliveries.state = 'dead'
) AS dead
WHERE state IN ('gone', 'failing') OR (state = 'on' AND (failing_since <= %(before)s OR dead.letters > 0))
ORDER BY endpoint;
