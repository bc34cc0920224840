-- name: add_events
INSERT INTO events (event, kind, site, subject, at, body, endpoint)
SELECT event, kind, site, subject, at, body, %(endpoint)s
FROM unnest(%(ids)s::text[], %(kinds)s::text[], %(sites)s::text[], %(subjects)s::text[], %(ats)s::timestamptz[], %(bodies)s::jsonb[])
    AS came (event, kind, site, subject, at, body);

-- name: anything_unnumbered
SELECT EXISTS (SELECT FROM events WHERE number IS NULL);

-- name: lock_numbers
-- One at a time, to the commit: numbers rise in the order in which they become visible, and a reader skips none.
SELECT pg_advisory_xact_lock(7083465729066);

-- name: number_events
-- In the order in which they were told, as far as that is known: within a transaction, by what happened when.
WITH next AS (
    SELECT event, row_number() OVER (ORDER BY told_at, at, ctid) AS place
    FROM (SELECT event, told_at, at, ctid FROM events WHERE number IS NULL ORDER BY told_at, at, ctid LIMIT %(most)s) AS oldest
)
UPDATE events SET number = (SELECT coalesce(max(number), 0) FROM events) + next.place
FROM next WHERE events.event = next.event RETURNING events.event;

-- name: lay_out_deliveries
-- For every endpoint that is to be told, also one that is off just now: it is told once it is on again.
INSERT INTO webhook_deliveries (endpoint, event)
SELECT webhook_endpoints.endpoint, events.event FROM events JOIN webhook_endpoints ON state <> 'removed'
    AND CASE WHEN events.endpoint IS NOT NULL THEN events.endpoint = webhook_endpoints.endpoint
        ELSE (webhook_endpoints.kinds IS NULL OR events.kind = ANY (webhook_endpoints.kinds))
            AND (webhook_endpoints.sites IS NULL OR events.site = ANY (webhook_endpoints.sites)) END
WHERE event = ANY (%(events)s)
ON CONFLICT DO NOTHING;

-- name: number_bounds
SELECT coalesce(min(number), 1), coalesce(max(number), 0) FROM events;

-- name: events_after
SELECT number, event, kind, site, subject, at, body FROM events
WHERE number > %(after)s AND number <= %(until)s AND endpoint IS NULL
    AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s)) AND (%(sites)s::text[] IS NULL OR site = ANY (%(sites)s))
ORDER BY number LIMIT %(most)s;

-- name: find_event
SELECT number, event, kind, site, subject, at, body FROM events WHERE event = %(event)s AND number IS NOT NULL;

-- name: drop_events
DELETE FROM events WHERE told_at < %(before)s AND number < (SELECT max(number) FROM events);

-- name: sites_of_gateways
SELECT gateway, site FROM gateways WHERE gateway = ANY (%(gateways)s);
