-- name: add_serial
INSERT INTO meter_serials (gateway, epoch, seq, meter, serial, read_at)
VALUES (%(gateway)s, %(epoch)s, %(seq)s, %(meter)s, %(serial)s, %(read_at)s) ON CONFLICT DO NOTHING;

-- name: supersede
-- Envelopes may come in any order: of one meter at one gateway only the newest word stands.
UPDATE meter_serials SET state = 'past'
WHERE gateway = %(gateway)s AND meter = %(meter)s AND state <> 'past' AND (epoch, seq) < (
    SELECT epoch, seq FROM meter_serials
    WHERE gateway = %(gateway)s AND meter = %(meter)s ORDER BY epoch DESC, seq DESC LIMIT 1
);

-- name: open_serials
-- What is not known to fit, with what the same meter told before.
SELECT gateways.site, seen.gateway, seen.epoch, seen.seq, seen.meter, seen.serial, seen.read_at, (
    SELECT before.serial FROM meter_serials AS before
    WHERE before.gateway = seen.gateway AND before.meter = seen.meter AND before.state = 'past' AND before.serial <> seen.serial
    ORDER BY before.epoch DESC, before.seq DESC LIMIT 1
)
FROM meter_serials AS seen JOIN gateways USING (gateway)
WHERE seen.state = 'open' ORDER BY gateways.site, seen.meter;

-- name: written_serials
-- As the newest version of the site has it, for these meters that are there now: node, serial, reading gateway.
SELECT described ->> 'id', described ->> 'node', described ->> 'serial', port ->> 'gateway'
FROM (
    SELECT document FROM site_versions WHERE site = %(site)s ORDER BY version DESC LIMIT 1
) AS newest
CROSS JOIN jsonb_array_elements(document -> 'meters') AS described
JOIN jsonb_array_elements(document -> 'ports') AS port ON port ->> 'id' = described ->> 'port'
WHERE described ->> 'id' = ANY (%(meters)s)
    AND coalesce((described -> 'span' ->> 'end')::timestamptz > %(now)s, true);

-- name: judge_serial
UPDATE meter_serials SET state = %(state)s
WHERE gateway = %(gateway)s AND epoch = %(epoch)s AND seq = %(seq)s AND meter = %(meter)s AND state = 'open';

-- name: serials_told
-- What meters of a site, gateway or node, or one meter, told of themselves, the oldest first.
SELECT gateway, meter_serials.epoch, seq, meter, serial, read_at, state FROM meter_serials JOIN gateways USING (gateway)
WHERE (%(site)s::text IS NULL OR gateways.site = %(site)s) AND (%(gateway)s::text IS NULL OR gateway = %(gateway)s)
  AND (%(meter)s::text IS NULL OR meter = %(meter)s)
  AND (%(node)s::text IS NULL OR meter IN (
    SELECT described ->> 'id'
    FROM (SELECT DISTINCT ON (site) document FROM site_versions ORDER BY site, version DESC) AS newest
    CROSS JOIN jsonb_array_elements(document -> 'meters') AS described WHERE described ->> 'node' = %(node)s
  ))
ORDER BY read_at, gateway, meter_serials.epoch, seq LIMIT %(most)s;

-- name: broken_counters
-- Nodes whose registers fell, jumped, or changed the meter without a word, so that energy is held.
SELECT site, node, array_agg(DISTINCT odd ->> 'reason' ORDER BY odd ->> 'reason'),
    min((odd ->> 'start')::timestamptz), max((odd ->> 'end')::timestamptz)
FROM settled_days CROSS JOIN jsonb_array_elements(exceptions) AS odd
WHERE exceptions <> '[]' AND day >= %(since)s AND odd ->> 'quality' = 'held' AND odd ->> 'reason' = ANY (%(reasons)s)
GROUP BY site, node ORDER BY site, node LIMIT %(most)s;
