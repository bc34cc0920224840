-- name: unsettled_days
-- Days with readings that came after the last settlement, with what makes a later arrival visible.
SELECT meter, day, arrivals FROM unsettled_days WHERE meter = ANY (%(meters)s) ORDER BY meter, day;

-- name: waiting_spans
SELECT meter, count(*)::int, min(day), max(day) FROM unsettled_days GROUP BY meter ORDER BY meter;

-- name: waiting_meters
SELECT DISTINCT meter FROM unsettled_days;

-- name: anything_waits
SELECT EXISTS (SELECT FROM unsettled_days);

-- name: forget_unsettled_days
-- Only what has not changed since it was seen: a reading that arrived meanwhile keeps its day unsettled.
-- Rows are locked in the order in which the intake writes them, so that the two never wait for each other in a ring.
WITH unchanged AS (
    SELECT meter, day
    FROM unsettled_days
    JOIN unnest(%(meters)s::text[], %(days)s::date[], %(arrivals)s::bigint[]) AS seen (meter, day, arrivals)
        USING (meter, day, arrivals)
    ORDER BY meter, day
    FOR UPDATE OF unsettled_days
)
DELETE FROM unsettled_days USING unchanged
WHERE unsettled_days.meter = unchanged.meter AND unsettled_days.day = unchanged.day;

-- name: put_settled_day
-- Writes nothing when the same inputs were settled before.
INSERT INTO settled_days (site, node, obis, day, energy, quality, exceptions, inputs_hash, settled_at)
VALUES (%(site)s, %(node)s, %(obis)s, %(day)s, %(energy)s, %(quality)s, %(exceptions)s, %(inputs_hash)s, now())
ON CONFLICT (site, node, obis, day) DO UPDATE
SET energy = excluded.energy, quality = excluded.quality, exceptions = excluded.exceptions,
    inputs_hash = excluded.inputs_hash, settled_at = excluded.settled_at
WHERE settled_days.inputs_hash <> excluded.inputs_hash;

-- name: settled_days
SELECT node, obis, day, energy, quality, exceptions
FROM settled_days
WHERE site = %(site)s AND day BETWEEN %(first)s AND %(last)s
ORDER BY node, obis, day;

-- name: settled_day
SELECT energy, quality, exceptions FROM settled_days
WHERE site = %(site)s AND node = %(node)s AND obis = %(obis)s AND day = %(day)s;

-- name: settled_points
-- One row per node and quantity, all arrays in the binary form of the wire: its days; the days on which anything flowed and
-- their slots end to end; the days that were not plainly measured throughout and their qualities; what was not normal.
-- OFFSET 0 keeps the inner query apart: otherwise each array would be looked through, and sent, twice.
SELECT node, obis, array_send(array_agg(day)),
    array_send(array_agg(day) FILTER (WHERE energy IS NOT NULL)), string_agg(energy, ''::bytea),
    array_send(array_agg(day) FILTER (WHERE quality IS NOT NULL)), string_agg(quality, ''::bytea),
    jsonb_agg(exceptions) FILTER (WHERE exceptions IS NOT NULL)
FROM (
    SELECT node, obis, day,
        CASE WHEN 0 <> ANY (energy) THEN array_send(energy) END AS energy,
        CASE WHEN 0 <> ANY (quality) THEN array_send(quality) END AS quality,
        CASE WHEN jsonb_array_length(exceptions) > 0 THEN exceptions END AS exceptions
    FROM settled_days
    WHERE site = %(site)s AND day BETWEEN %(first)s AND %(last)s
      AND (%(after)s::text IS NULL OR node > %(after)s) AND (%(until)s::text IS NULL OR node <= %(until)s)
    ORDER BY node, obis, day
    OFFSET 0
) AS sent
GROUP BY node, obis
ORDER BY node, obis;

-- name: middle_node
-- The node in the middle, in the order in which the database keeps texts.
SELECT max(node) FROM (
    SELECT node FROM unnest(%(nodes)s::text[]) AS known (node) ORDER BY node LIMIT cardinality(%(nodes)s::text[]) / 2
) AS first_half;

-- name: settled_hashes
SELECT obis, day, inputs_hash FROM settled_days
WHERE site = %(site)s AND node = %(node)s AND day = ANY (%(days)s);

-- name: settled_hashes_of
-- As above, of many nodes and quantities at once.
SELECT node, obis, day, inputs_hash FROM settled_days
WHERE site = %(site)s AND node = ANY (%(nodes)s) AND day BETWEEN %(first)s AND %(last)s;

-- name: drop_settled_days
-- What is settled anew, so that it can be copied in.
DELETE FROM settled_days USING unnest(%(nodes)s::text[], %(quantities)s::text[], %(days)s::date[]) AS replaced (node, obis, day)
WHERE settled_days.site = %(site)s AND settled_days.node = replaced.node AND settled_days.obis = replaced.obis
  AND settled_days.day = replaced.day;

-- name: copy_settled_days
COPY settled_days (site, node, obis, day, energy, quality, exceptions, inputs_hash) FROM STDIN (FORMAT BINARY);

-- name: forget_settled_days
-- Of some nodes, or where these are NULL of all.
DELETE FROM settled_days WHERE site = %(site)s AND (%(nodes)s::text[] IS NULL OR node = ANY (%(nodes)s));

-- name: known_before
-- The newest mark before an instant at which one of the meters showed the register; places say where it stands in mantissas.
SELECT max(nearest.due_at)
FROM unnest(%(meters)s::text[]) AS fitted (meter)
CROSS JOIN LATERAL (
    SELECT due_at FROM readings
    WHERE readings.meter = fitted.meter AND due_at < %(instant)s AND aligned AND quality = 0
      AND EXISTS (
          SELECT FROM unnest(%(profiles)s::bytea[], %(groups)s::smallint[], %(positions)s::int[]) AS place (profile, grp, position)
          WHERE place.profile = profile_hash AND place.grp = group_index AND mantissas[place.position] IS NOT NULL
      )
    ORDER BY due_at DESC LIMIT 1
) AS nearest;

-- name: known_after
SELECT min(nearest.due_at)
FROM unnest(%(meters)s::text[]) AS fitted (meter)
CROSS JOIN LATERAL (
    SELECT due_at FROM readings
    WHERE readings.meter = fitted.meter AND due_at > %(instant)s AND aligned AND quality = 0
      AND EXISTS (
          SELECT FROM unnest(%(profiles)s::bytea[], %(groups)s::smallint[], %(positions)s::int[]) AS place (profile, grp, position)
          WHERE place.profile = profile_hash AND place.grp = group_index AND mantissas[place.position] IS NOT NULL
      )
    ORDER BY due_at LIMIT 1
) AS nearest;
