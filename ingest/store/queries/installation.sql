-- name: keep_order_file
UPDATE install_orders SET order_file = %(order_file)s, voucher_hash = %(voucher_hash)s, planned = %(planned)s
WHERE install_order = %(order)s;

-- name: order_papers
-- By the order's id: what the engineer takes along.
SELECT order_file, voucher_hash FROM install_orders WHERE install_order = %(order)s;

-- name: orders
SELECT install_order, site, gateway, engineer, ordered_at, expires_at, burned_at, order_file IS NOT NULL
FROM install_orders
WHERE (%(site)s::text IS NULL OR site = %(site)s) AND (%(gateway)s::text IS NULL OR gateway = %(gateway)s)
ORDER BY ordered_at DESC, install_order LIMIT 1000;

-- name: newest_order_file
-- The plan by which a gateway was installed last.
SELECT order_file FROM install_orders
WHERE gateway = %(gateway)s AND site = %(site)s AND order_file IS NOT NULL
ORDER BY ordered_at DESC LIMIT 1;

-- name: newest_plan
-- The meters of that plan, and the voucher that came with it.
SELECT planned, voucher_hash FROM install_orders
WHERE gateway = %(gateway)s AND site = %(site)s AND order_file IS NOT NULL
ORDER BY ordered_at DESC LIMIT 1;

-- name: sent_to
-- Who was sent to a gateway last, by the order it was enrolled with.
SELECT engineer FROM install_orders WHERE gateway = %(gateway)s AND burned_at <= %(by)s
ORDER BY burned_at DESC, install_order LIMIT 1;

-- name: belongs_to
-- Whether a gateway is, or was, enrolled for a site.
SELECT EXISTS (SELECT FROM gateways WHERE gateway = %(gateway)s AND site = %(site)s)
    OR EXISTS (SELECT FROM install_orders WHERE gateway = %(gateway)s AND site = %(site)s AND burned_at IS NOT NULL);

-- name: add_grant
INSERT INTO grants (gateway, epoch, octets, granted_at)
VALUES (%(gateway)s, %(epoch)s, %(octets)s, %(granted_at)s);

-- name: grant
SELECT octets FROM grants WHERE gateway = %(gateway)s AND epoch = %(epoch)s;

-- name: event_tail
-- The newest event of a chain.
SELECT number, digest FROM installation_events
WHERE gateway = %(gateway)s AND epoch = %(epoch)s ORDER BY number DESC LIMIT 1;

-- name: event_digest
SELECT digest, state, reason FROM installation_events WHERE event = %(event)s;

-- name: add_event
INSERT INTO installation_events (event, gateway, epoch, number, site, kind, digest, octets, done_at, done_by, device,
    meters, nodes, received_at, state, reason, site_version)
VALUES (%(event)s, %(gateway)s, %(epoch)s, %(number)s, %(site)s, %(kind)s, %(digest)s, %(octets)s, %(done_at)s,
    %(done_by)s, %(device)s, %(meters)s, %(nodes)s, %(received_at)s, %(state)s, %(reason)s, %(site_version)s);

-- name: settle_event
UPDATE installation_events SET state = %(state)s, reason = %(reason)s, site_version = %(site_version)s
WHERE event = %(event)s;

-- name: site_version_of_events
UPDATE installation_events SET site_version = %(site_version)s WHERE event = ANY (%(events)s);

-- name: held_events
-- Those that wait for the site to fit them; whoever refused one wants it no more.
SELECT event, octets FROM installation_events AS events
WHERE site = %(site)s AND state = 'held'
  AND NOT EXISTS (SELECT FROM bindings WHERE binding = event AND bindings.state IN ('refused', 'superseded'))
ORDER BY received_at, gateway, epoch, number;

-- name: event
SELECT event, gateway, epoch, number, site, octets, received_at, state, reason, site_version
FROM installation_events WHERE event = %(event)s;

-- name: history
-- Of a site, gateway, meter or node, the oldest first.
SELECT event, gateway, epoch, number, site, octets, received_at, state, reason, site_version
FROM installation_events
WHERE (%(site)s::text IS NULL OR site = %(site)s) AND (%(gateway)s::text IS NULL OR gateway = %(gateway)s)
  AND (%(meter)s::text IS NULL OR %(meter)s = ANY (meters)) AND (%(node)s::text IS NULL OR %(node)s = ANY (nodes))
ORDER BY done_at, received_at, gateway, epoch, number LIMIT %(most)s;

-- name: read_before
-- Which of these meters had been read at all.
SELECT wanted.meter FROM unnest(%(meters)s::text[]) AS wanted (meter)
WHERE EXISTS (SELECT FROM readings WHERE readings.meter = wanted.meter);
