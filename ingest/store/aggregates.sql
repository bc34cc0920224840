-- What TimescaleDB keeps ready of registers (hypertables.sql makes it): the first and last in each hour, day and month. These
-- queries name what plain PostgreSQL has not, so they are asked only where `kept` is.

-- name: kept
-- What is kept ready of the hours, days or months of a zone. Hours are kept by UTC, so they are only those of a zone that
-- differs by whole hours.
SELECT format('%%I', view_name) FROM timescaledb_information.continuous_aggregates
WHERE view_name = CASE %(per)s::text
    WHEN 'hour' THEN 'registers_hourly'
    WHEN 'day' THEN 'registers_daily_' || lower(regexp_replace(%(zone)s::text, '\W+', '_', 'g'))
    WHEN 'month' THEN 'registers_monthly_' || lower(regexp_replace(%(zone)s::text, '\W+', '_', 'g'))
END
AND (%(per)s::text <> 'hour' OR %(whole_hours)s::boolean);

-- name: first_shown
-- As `shown_at` of queries/series.sql; what `kept` gave stands in the place of registers_kept. A day more at both ends: what
-- begins at a midnight that clocks skip may be filed under another instant.
SELECT meter, profile_hash, group_index, place.position, first_due_at, first_mantissas[place.position]
FROM registers_kept
JOIN unnest(%(profiles)s::bytea[], %(groups)s::smallint[], %(positions)s::int[]) AS place (profile, grp, position)
    ON place.profile = profile_hash AND place.grp = group_index
WHERE meter = ANY (%(meters)s)
  AND starts_at BETWEEN %(first)s::timestamptz - INTERVAL '1 day' AND %(last)s::timestamptz + INTERVAL '1 day'
  AND first_due_at BETWEEN %(first)s AND %(last)s;

-- name: refreshes
-- What brings each up to date over all readings that are still there, the finest first, because months rest on days. Only
-- spans in which readings came since are worked out again. Never from before the oldest readings: what was kept of those that
-- are dropped would go with them.
SELECT format('%%s is up to date from %%s', view_name, oldest::date),
    format('CALL refresh_continuous_aggregate(%%L, %%L::timestamptz, NULL)', view_name, oldest)
FROM timescaledb_information.continuous_aggregates,
    (SELECT min(range_start) AS oldest FROM timescaledb_information.chunks WHERE hypertable_name = 'readings') AS kept
WHERE view_name ~ '^registers_(hourly$|daily_|monthly_)' AND oldest IS NOT NULL
ORDER BY array_position(ARRAY['h', 'd', 'm'], substr(view_name, 11, 1)), view_name;
