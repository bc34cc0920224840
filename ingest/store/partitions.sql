-- How the two big tables are laid out on plain PostgreSQL: by month (UTC), with one partition `_other` for the rest, so that
-- no row is ever refused for its time. The partitions stand in a schema of their own. Queries give steps as in hypertables.sql.

-- name: layout
-- Version of TimescaleDB where it is installed; kinds: r plain or hypertable, p partitioned, none before 0001. From here to the
-- end of the transaction its functions are found, whichever schema it was installed in.
SELECT extversion,
    (SELECT string_agg(relkind::text, '') FROM pg_class WHERE oid IN (to_regclass('readings'), to_regclass('envelopes'))),
    set_config('search_path', concat_ws(', ', current_setting('search_path'), extnamespace::regnamespace::text), true)
FROM (SELECT) AS always LEFT JOIN pg_extension ON extname = 'timescaledb';

-- name: conversions
-- No row moves: the table becomes the partition of everything else. What depends on it by identity would be left behind.
SELECT format('%%s is divided by month of %%s; what it holds becomes the partition of everything else', name, at),
    format('CREATE SCHEMA IF NOT EXISTS metertree_partitions; '
        'ALTER TABLE %%1$I SET SCHEMA metertree_partitions; ALTER TABLE metertree_partitions.%%1$I RENAME TO %%2$I; '
        'CREATE TABLE %%1$I (LIKE metertree_partitions.%%2$I INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE (%%3$I); '
        'ALTER TABLE %%1$I ATTACH PARTITION metertree_partitions.%%2$I DEFAULT; %%4$s; COMMENT ON TABLE %%1$I IS %%5$L%%6$s',
        name, name || '_other', at,
        (SELECT string_agg(pg_get_indexdef(indexrelid), '; ') FROM pg_index WHERE indrelid = pg_class.oid),
        obj_description(pg_class.oid, 'pg_class'),
        (SELECT string_agg(format('; GRANT %%s ON %%I TO %%s', privilege_type, name,
            CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END), '')
         FROM aclexplode(relacl) WHERE grantee <> relowner))
FROM (VALUES ('envelopes', 'received_at'), ('readings', 'due_at')) AS stored (name, at)
JOIN pg_class ON pg_class.oid = to_regclass(name) AND relkind = 'r';

-- name: dependents
-- Views that would go on showing the old table only.
SELECT DISTINCT ev_class::regclass::text FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = pg_depend.objid
WHERE classid = 'pg_rewrite'::regclass AND refobjid IN (
    SELECT oid FROM pg_class WHERE oid IN (to_regclass('readings'), to_regclass('envelopes')) AND relkind = 'r');

-- name: months
-- Months to come that have no partition, and months of rows that lie in the partition of everything else.
WITH coming AS (
    SELECT generate_series(date_trunc('month', %(now)s::timestamptz AT TIME ZONE 'UTC') - INTERVAL '1 month',
        date_trunc('month', %(now)s::timestamptz AT TIME ZONE 'UTC') + make_interval(months => %(months_ahead)s::int),
        INTERVAL '1 month')::date AS month
),
wanted AS (
    SELECT name, at, month FROM (VALUES ('envelopes', 'received_at'), ('readings', 'due_at')) AS stored (name, at), coming
    UNION
    SELECT 'envelopes', 'received_at', date_trunc('month', received_at AT TIME ZONE 'UTC')::date
    FROM metertree_partitions.envelopes_other WHERE isfinite(received_at)
    UNION
    SELECT 'readings', 'due_at', date_trunc('month', due_at AT TIME ZONE 'UTC')::date
    FROM metertree_partitions.readings_other WHERE isfinite(due_at)
)
SELECT format('%%s of %%s get a partition', name, to_char(month, 'YYYY-MM')),
    format('SET LOCAL lock_timeout = ''30s''; LOCK TABLE metertree_partitions.%%2$I IN ACCESS EXCLUSIVE MODE; '
        'CREATE TABLE metertree_partitions.%%3$I (LIKE %%1$I INCLUDING ALL); '
        'WITH moved AS (DELETE FROM metertree_partitions.%%2$I WHERE %%4$I >= %%5$L AND %%4$I < %%6$L RETURNING *) '
        'INSERT INTO metertree_partitions.%%3$I SELECT * FROM moved; '
        'ALTER TABLE %%1$I ATTACH PARTITION metertree_partitions.%%3$I FOR VALUES FROM (%%5$L) TO (%%6$L); '
        'DO $do$ BEGIN IF NOT EXISTS (SELECT FROM metertree_partitions.%%2$I) THEN TRUNCATE metertree_partitions.%%2$I; END IF; '
        'END $do$',
        name, name || '_other', name || to_char(month, '_YYYY_MM'), at,
        month::text || ' 00:00+00', (month + INTERVAL '1 month')::date::text || ' 00:00+00')
FROM wanted
WHERE to_regclass('metertree_partitions.' || name || to_char(month, '_YYYY_MM')) IS NULL
    AND month BETWEEN DATE '2000-01-01' AND (SELECT max(month) FROM coming)
ORDER BY month, name;

-- name: drops
-- Months that are older than their time; of envelopes only those that no statement still within its own time rests on.
WITH parts AS (
    SELECT inhparent::regclass::text AS stored, relname AS name, to_date(right(relname, 7), 'YYYY_MM') AS month
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent IN (to_regclass('envelopes'), to_regclass('readings')) AND relname ~ '_\d{4}_\d{2}$'
),
spans AS (
    SELECT *, month::timestamp AT TIME ZONE 'UTC' AS starts_at,
        (month + INTERVAL '1 month') AT TIME ZONE 'UTC' AS ends_at
    FROM parts
)
SELECT format('%%s of %%s are dropped', stored, to_char(month, 'YYYY-MM')), 
    format('SET LOCAL lock_timeout = ''30s''; DROP TABLE metertree_partitions.%%I', name)
FROM spans
WHERE (stored = 'readings' AND ends_at <= %(now)s::timestamptz - make_interval(months => %(keep_readings_months)s::int))
    OR (stored = 'envelopes' AND ends_at <= %(now)s::timestamptz - make_interval(months => %(keep_envelopes_months)s::int)
        AND NOT EXISTS (
            SELECT FROM (SELECT run, count(*)::int AS statements FROM statements GROUP BY run) AS issued
            WHERE NOT EXISTS (
                SELECT FROM run_evidence WHERE run_evidence.run = issued.run AND run_evidence.statements = issued.statements
            )
        )
        AND NOT EXISTS (
            SELECT FROM run_evidence
            WHERE issued_at > %(now)s::timestamptz - make_interval(months => %(keep_statements_months)s::int) AND oldest < ends_at AND newest >= starts_at
        ))
ORDER BY month, stored;

-- name: parts
SELECT inhparent::regclass::text, count(*)::int, 0,
    min(to_date(substring(relname FROM '\d{4}_\d{2}$'), 'YYYY_MM'))::timestamp AT TIME ZONE 'UTC',
    (max(to_date(substring(relname FROM '\d{4}_\d{2}$'), 'YYYY_MM')) + INTERVAL '1 month') AT TIME ZONE 'UTC',
    sum(pg_total_relation_size(inhrelid))::bigint
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent IN (to_regclass('envelopes'), to_regclass('readings'))
GROUP BY inhparent ORDER BY 1;
