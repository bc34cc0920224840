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

-- name: first_shown
-- What a register showed first in each hour, day or month of a zone (per: hour, day, month), and when: out of the readings.
-- As TimescaleDB keeps it ready, see aggregates.sql.
SELECT meter, profile_hash, group_index, place.position, starts_at, min(due_at),
    (array_agg(mantissas[place.position] ORDER BY due_at))[1]
FROM (
    SELECT *, date_trunc(%(per)s::text, due_at, %(zone)s::text) AS starts_at FROM readings
    WHERE meter = ANY (%(meters)s) AND due_at BETWEEN %(first)s AND %(last)s AND aligned AND quality = 0
) AS measured
JOIN unnest(%(profiles)s::bytea[], %(groups)s::smallint[], %(positions)s::int[]) AS place (profile, grp, position)
    ON place.profile = profile_hash AND place.grp = group_index
GROUP BY meter, profile_hash, group_index, place.position, starts_at;

-- name: newest_settled_day
SELECT max(day) FROM settled_days WHERE site = %(site)s AND node = %(node)s;
