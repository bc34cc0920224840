-- How the two big tables are laid out on TimescaleDB (2.18 or newer). Each query gives the steps that are still to be
-- done, as words and as the statement that does it; when all is as wished it gives none. ledger stays a plain table: its
-- key (gateway, epoch, seq) is what makes a reading enter once, and a hypertable's key must hold its time column.

-- name: steps
-- Only readings are compressed: envelopes are signed noise and lose a sixteenth of their size in the columnstore, for which one
-- envelope would cost a thousand to look up. Only readings carry a policy of their own for retention: what may be dropped
-- of envelopes is for `metertree maintain` to say, because statements rest on them.
WITH given AS (
    SELECT make_interval(days => %(chunk_days)s::int) AS chunk, make_interval(days => %(compress_after_days)s::int) AS old,
        make_interval(months => %(keep_readings_months)s::int) AS keep, %(late_days)s::int AS late,
        current_setting('timescaledb.license', true) IS DISTINCT FROM 'apache' AS whole
),
stored (name, at, number) AS (VALUES ('envelopes', 'received_at', 1), ('readings', 'due_at', 2)),
zones AS (
    SELECT DISTINCT newest.zone FROM (
        SELECT DISTINCT ON (site) document -> 'calendar' ->> 'zone' AS zone FROM site_versions ORDER BY site, version DESC
    ) AS newest WHERE newest.zone IS NOT NULL
),
aggregates (number, name, late, definition) AS (
    SELECT 0, 'registers_hourly', make_interval(days => late), 'SELECT meter, profile_hash, group_index, '
        'time_bucket(INTERVAL ''1 hour'', due_at) AS starts_at, first(mantissas, due_at) AS first_mantissas, '
        'min(due_at) AS first_due_at, last(mantissas, due_at) AS last_mantissas, max(due_at) AS last_due_at, '
        'count(*) AS readings FROM readings WHERE aligned AND quality = 0 GROUP BY meter, profile_hash, group_index, 4'
    FROM given
    UNION ALL
    SELECT 1, 'registers_daily_' || lower(regexp_replace(zone, '\W+', '_', 'g')), make_interval(days => late + 2), format(
        'SELECT meter, profile_hash, group_index, time_bucket(INTERVAL ''1 day'', due_at, %%L) AS starts_at, '
        'first(mantissas, due_at) AS first_mantissas, min(due_at) AS first_due_at, last(mantissas, due_at) AS last_mantissas, '
        'max(due_at) AS last_due_at, count(*) AS readings FROM readings WHERE aligned AND quality = 0 '
        'GROUP BY meter, profile_hash, group_index, 4', zone)
    FROM given, zones
    UNION ALL
    SELECT 2, 'registers_monthly_' || lower(regexp_replace(zone, '\W+', '_', 'g')), make_interval(months => 3 + late / 28), format(
        'SELECT meter, profile_hash, group_index, time_bucket(INTERVAL ''1 month'', starts_at, %%1$L) AS starts_at, '
        'first(first_mantissas, first_due_at) AS first_mantissas, min(first_due_at) AS first_due_at, '
        'last(last_mantissas, last_due_at) AS last_mantissas, max(last_due_at) AS last_due_at, sum(readings)::bigint AS readings '
        'FROM %%2$I GROUP BY meter, profile_hash, group_index, 4',
        zone, 'registers_daily_' || lower(regexp_replace(zone, '\W+', '_', 'g')))
    FROM given, zones
),
policies AS (
    SELECT hypertable_name AS name, proc_name, config FROM timescaledb_information.jobs
    UNION ALL
    SELECT view_name, proc_name, config FROM timescaledb_information.jobs
    JOIN timescaledb_information.continuous_aggregates ON materialization_hypertable_name = jobs.hypertable_name
)
SELECT what, statement FROM (
    SELECT 10 + number, format('%%s becomes a hypertable by %%s', name, at), format(
        'SELECT create_hypertable(%%L, by_range(%%L, INTERVAL %%L), create_default_indexes => false, migrate_data => true)',
        name, at, chunk)
    FROM given, stored
    WHERE NOT EXISTS (SELECT FROM timescaledb_information.hypertables WHERE hypertable_name = name)
    UNION ALL
    SELECT 20 + number, format('chunks of %%s span %%s from now on', name, chunk),
        format('SELECT set_chunk_time_interval(%%L, INTERVAL %%L)', name, chunk)
    FROM given, stored JOIN timescaledb_information.dimensions ON hypertable_name = name
    WHERE time_interval <> chunk
    UNION ALL
    SELECT 30, 'readings get a columnstore: segment by meter, order by time',
        'ALTER TABLE readings SET (timescaledb.enable_columnstore, timescaledb.segmentby = ''meter'', '
        'timescaledb.orderby = ''due_at'')'
    FROM given
    WHERE whole AND NOT EXISTS (
        SELECT FROM timescaledb_information.hypertable_columnstore_settings
        WHERE hypertable::text IN ('readings', 'public.readings') AND segmentby = 'meter' AND orderby LIKE 'due_at%%'
    )
    UNION ALL
    SELECT 40, 'readings are no longer compressed at another age', 'CALL remove_columnstore_policy(''readings'')'
    FROM given, policies
    WHERE whole AND name = 'readings' AND proc_name = 'policy_compression' AND (config ->> 'compress_after')::interval <> old
    UNION ALL
    SELECT 41, format('readings are compressed when older than %%s', old),
        format('CALL add_columnstore_policy(''readings'', after => INTERVAL %%L, if_not_exists => true)', old)
    FROM given
    WHERE whole AND NOT EXISTS (
        SELECT FROM policies
        WHERE name = 'readings' AND proc_name = 'policy_compression' AND (config ->> 'compress_after')::interval = old
    )
    UNION ALL
    SELECT 50, 'readings are no longer dropped at another age', 'SELECT remove_retention_policy(''readings'')'
    FROM given, policies
    WHERE whole AND name = 'readings' AND proc_name = 'policy_retention' AND (config ->> 'drop_after')::interval <> keep
    UNION ALL
    SELECT 51, format('readings are dropped when older than %%s', keep),
        format('SELECT add_retention_policy(''readings'', drop_after => INTERVAL %%L, if_not_exists => true)', keep)
    FROM given
    WHERE whole AND NOT EXISTS (
        SELECT FROM policies
        WHERE name = 'readings' AND proc_name = 'policy_retention' AND (config ->> 'drop_after')::interval = keep
    )
    UNION ALL
    SELECT 60 + number, format('%%s shows the first and last registers of each span', name), format(
        'CREATE MATERIALIZED VIEW %%I WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS %%s WITH NO DATA',
        name, definition)
    FROM given, aggregates
    WHERE whole AND NOT EXISTS (SELECT FROM timescaledb_information.continuous_aggregates WHERE view_name = name)
    UNION ALL
    SELECT 70, format('%%s is no longer refreshed over another span', name),
        format('SELECT remove_continuous_aggregate_policy(%%L)', name)
    FROM given, aggregates AS wished JOIN policies USING (name)
    WHERE whole AND proc_name = 'policy_refresh_continuous_aggregate'
        AND (config ->> 'start_offset')::interval <> wished.late
    UNION ALL
    SELECT 71 + number, format('%%s is refreshed as far back as %%s', name, aggregates.late), format(
        'SELECT add_continuous_aggregate_policy(%%L, start_offset => INTERVAL %%L, end_offset => INTERVAL ''1 hour'', '
        'schedule_interval => INTERVAL ''15 minutes'', if_not_exists => true)', name, aggregates.late)
    FROM given, aggregates
    WHERE whole AND NOT EXISTS (
        SELECT FROM policies
        WHERE policies.name = aggregates.name AND proc_name = 'policy_refresh_continuous_aggregate'
            AND (config ->> 'start_offset')::interval = aggregates.late
    )
) AS steps (number, what, statement)
ORDER BY number, what;

-- name: drops
-- Chunks of envelopes that are older than their time, and that no statement still within its own time rests on.
SELECT format('chunk of envelopes from %%s is dropped', range_start::date),
    format('SELECT drop_chunks(''envelopes'', older_than => %%L::timestamptz, newer_than => %%L::timestamptz)', range_end, range_start)
FROM timescaledb_information.chunks
WHERE hypertable_name = 'envelopes' AND range_end <= %(now)s::timestamptz - make_interval(months => %(keep_envelopes_months)s::int)
    AND NOT EXISTS (
        SELECT FROM (SELECT run, count(*)::int AS statements FROM statements GROUP BY run) AS issued
        WHERE NOT EXISTS (
            SELECT FROM run_evidence WHERE run_evidence.run = issued.run AND run_evidence.statements = issued.statements
        )
    )
    AND NOT EXISTS (
        SELECT FROM run_evidence
        WHERE issued_at > %(now)s::timestamptz - make_interval(months => %(keep_statements_months)s::int) AND oldest < range_end AND newest >= range_start
    )
ORDER BY range_start;

-- name: parts
SELECT hypertable_name, count(*)::int, count(*) FILTER (WHERE is_compressed)::int, min(range_start), max(range_end),
    hypertable_size(hypertable_name::regclass)
FROM timescaledb_information.chunks
WHERE hypertable_name IN ('envelopes', 'readings')
GROUP BY hypertable_name ORDER BY hypertable_name;

-- name: policies
SELECT hypertable_name || ' ' || replace(proc_name, 'policy_', '') || coalesce(' ' || (config ->> 'compress_after'), '')
    || coalesce(' ' || (config ->> 'drop_after'), '') || coalesce(' ' || (config ->> 'start_offset'), '')
FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL ORDER BY 1;

-- name: open_chunks
-- Octets of the largest index among the chunks of readings that are written now, and of the server's memory for pages.
SELECT coalesce(max(octets), 0)::bigint, pg_size_bytes(current_setting('shared_buffers'))
FROM (
    SELECT pg_indexes_size((quote_ident(chunk_schema) || '.' || quote_ident(chunk_name))::regclass) AS octets
    FROM timescaledb_information.chunks
    WHERE hypertable_name = 'readings' AND NOT is_compressed
    ORDER BY range_start DESC LIMIT 8
) AS newest;

-- name: from_partitions
-- One transaction for each table: until it is committed, all is as before.
SELECT format('%%s, partitioned by month, becomes a hypertable by %%s; all rows are written anew', name, at),
    format('SET LOCAL lock_timeout = ''30s''; LOCK TABLE %%1$I IN ACCESS EXCLUSIVE MODE; '
        'CREATE TABLE %%2$I (LIKE %%1$I INCLUDING ALL EXCLUDING INDEXES); '
        'SELECT create_hypertable(%%2$L, by_range(%%3$L, INTERVAL %%4$L), create_default_indexes => false); '
        'INSERT INTO %%2$I SELECT * FROM %%1$I; DROP TABLE %%1$I; ALTER TABLE %%2$I RENAME TO %%1$I; %%5$s; '
        'COMMENT ON TABLE %%1$I IS %%6$L',
        name, name || '_hypertable', at, make_interval(days => %(chunk_days)s::int),
        (SELECT string_agg(replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON '), '; ') FROM pg_index WHERE indrelid = pg_class.oid),
        obj_description(pg_class.oid, 'pg_class'))
FROM (VALUES ('envelopes', 'received_at'), ('readings', 'due_at')) AS stored (name, at)
JOIN pg_class ON pg_class.oid = to_regclass(name) AND relkind = 'p';
