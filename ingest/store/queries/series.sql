-- name: settled_point
-- As `settled_points`, of one node and quantity: one row, of NULLs where nothing is settled.
SELECT array_send(array_agg(day)),
    array_send(array_agg(day) FILTER (WHERE energy IS NOT NULL)), string_agg(energy, ''::bytea),
    array_send(array_agg(day) FILTER (WHERE quality IS NOT NULL)), string_agg(quality, ''::bytea),
    jsonb_agg(exceptions) FILTER (WHERE exceptions IS NOT NULL)
FROM (
    SELECT day,
        CASE WHEN 0 <> ANY (energy) THEN array_send(energy) END AS energy,
        CASE WHEN 0 <> ANY (quality) THEN array_send(quality) END AS quality,
        CASE WHEN jsonb_array_length(exceptions) > 0 THEN exceptions END AS exceptions
    FROM settled_days
    WHERE site = %(site)s AND node = %(node)s AND obis = %(obis)s AND day BETWEEN %(first)s AND %(last)s
    ORDER BY day
    OFFSET 0
) AS sent;

-- name: shown_between
-- What a register showed at the marks of a span, one row for each form of the readings it stands in.
SELECT profile_hash, group_index, place.position, array_send(array_agg(due_at)),
    array_send(array_agg(mantissas[place.position]))
FROM readings
JOIN unnest(%(profiles)s::bytea[], %(groups)s::smallint[], %(positions)s::int[]) AS place (profile, grp, position)
    ON place.profile = profile_hash AND place.grp = group_index
WHERE meter = %(meter)s AND due_at BETWEEN %(first)s AND %(last)s AND aligned AND quality = 0
  AND mantissas[place.position] IS NOT NULL
GROUP BY profile_hash, group_index, place.position;

-- name: shown_at
-- The same at these marks only; as TimescaleDB keeps it ready of hours, days and months, see aggregates.sql.
SELECT profile_hash, group_index, place.position, array_send(array_agg(due_at)),
    array_send(array_agg(mantissas[place.position]))
FROM readings
JOIN unnest(%(profiles)s::bytea[], %(groups)s::smallint[], %(positions)s::int[]) AS place (profile, grp, position)
    ON place.profile = profile_hash AND place.grp = group_index
WHERE meter = %(meter)s AND due_at = ANY (%(marks)s::timestamptz[]) AND due_at BETWEEN %(first)s AND %(last)s
  AND aligned AND quality = 0 AND mantissas[place.position] IS NOT NULL
GROUP BY profile_hash, group_index, place.position;

-- name: newest_settled_day
SELECT max(day) FROM settled_days WHERE site = %(site)s AND node = %(node)s;
