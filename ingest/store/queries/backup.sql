-- name: hold
-- For as long as the session lives: whoever finds a backup unfinished and its lock free knows that nobody is writing it.
SELECT pg_advisory_lock(hashtextextended(%(backup)s, 7083465729084));

-- name: let_go
SELECT pg_advisory_unlock(hashtextextended(%(backup)s, 7083465729084));

-- name: begin_backup
INSERT INTO backups (backup, kind, place, started_at) VALUES (%(backup)s, %(kind)s, %(place)s, %(started_at)s);

-- name: finish_backup
UPDATE backups SET finished_at = %(finished_at)s, octets = %(octets)s WHERE backup = %(backup)s;

-- name: newest_backup
SELECT backup, kind, place, started_at, finished_at, octets FROM backups
WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1;

-- name: begin_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: about
SELECT current_setting('server_version'), (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb');

-- name: tables
-- Every table of ours, those that others refer to first, with its columns but the generated ones. by: what large tables are
-- divided by, so that a part that has not changed since an earlier backup need not be read out again.
WITH RECURSIVE ours AS (
    SELECT oid, relname::text AS name FROM pg_class
    WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('ledger'))
        AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'schema_migrations'
        AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
),
depths AS (
    SELECT oid, 0 AS depth FROM ours
    UNION ALL
    SELECT conrelid, depth + 1 FROM depths JOIN pg_constraint ON confrelid = depths.oid
    WHERE contype = 'f' AND NOT condeferred AND conrelid <> confrelid AND depth < 40
),
divided (name, by, span) AS (VALUES
    ('envelopes', 'received_at', 'month'), ('readings', 'due_at', 'month'),
    ('run_lines', 'run', NULL), ('run_slots', 'run', NULL), ('statements', 'run', NULL), ('settled_days', 'site', NULL)
)
SELECT ours.name,
    (SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
     WHERE attrelid = ours.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''),
    by, span
FROM ours LEFT JOIN divided USING (name)
ORDER BY (SELECT max(depth) FROM depths WHERE depths.oid = ours.oid), ours.name;

-- name: lock_tables
SELECT format('LOCK TABLE %%s IN %%s MODE', (SELECT string_agg(quote_ident(name), ', ') FROM unnest(%(names)s::text[]) AS name),
    %(mode)s::text);

-- name: survey
-- The statement that counts the rows of each part of a table and sums up their hashes: name, bounds, rows, sum.
SELECT CASE
    WHEN %(span)s::text = 'month' THEN format(
        'SELECT CASE WHEN isfinite(part) THEN to_char(part, ''YYYY-MM'') ELSE part::text END, '
        'CASE WHEN isfinite(part) THEN part || ''+00'' ELSE part::text END, '
        'CASE WHEN isfinite(part) THEN (part + INTERVAL ''1 month'') || ''+00'' END, rows, print FROM ('
        'SELECT date_trunc(''month'', %%I AT TIME ZONE ''UTC'') AS part, count(*) AS rows, '
        'sum(hash_record_extended(each, 0))::text AS print FROM %%I AS each GROUP BY 1) AS parts ORDER BY parts.part',
        %(by)s::text, %(name)s::text)
    WHEN %(by)s::text IS NOT NULL THEN format(
        'SELECT %%1$I, %%1$I, NULL, count(*), sum(hash_record_extended(each, 0))::text FROM %%2$I AS each GROUP BY 1 ORDER BY 1',
        %(by)s::text, %(name)s::text)
    ELSE format(
        'SELECT ''all'', NULL, NULL, count(*), sum(hash_record_extended(each, 0))::text FROM %%I AS each', %(name)s::text)
END;

-- name: read_part
-- The statement that reads a part out: of [low, high), or of what equals low, or of everything.
SELECT format('COPY (SELECT %%s FROM %%I%%s) TO STDOUT (FORMAT BINARY)',
    (SELECT string_agg(quote_ident(name), ', ' ORDER BY number) FROM unnest(%(columns)s::text[]) WITH ORDINALITY AS all_of (name, number)),
    %(name)s::text,
    CASE
        WHEN %(high)s::text IS NOT NULL
            THEN format(' WHERE %%1$I >= %%2$L AND %%1$I < %%3$L', %(by)s::text, %(low)s::text, %(high)s::text)
        WHEN %(low)s::text IS NOT NULL THEN format(' WHERE %%I = %%L', %(by)s::text, %(low)s::text)
        ELSE ''
    END);

-- name: put_part
SELECT format('COPY %%I (%%s) FROM STDIN (FORMAT BINARY)', %(name)s::text,
    (SELECT string_agg(quote_ident(name), ', ' ORDER BY number) FROM unnest(%(columns)s::text[]) WITH ORDINALITY AS all_of (name, number)));

-- name: any_row
-- The statement that names the tables which hold anything.
SELECT string_agg(format('SELECT %%L WHERE EXISTS (SELECT FROM %%I)', name, name), ' UNION ALL ')
FROM unnest(%(names)s::text[]) AS name;

-- name: go_on_numbering
-- Statements after which each numbered table goes on behind its highest number.
SELECT format('SELECT setval(%%L, (SELECT max(%%I) FROM %%I))', pg_get_serial_sequence(quote_ident(relname), attname), attname, relname)
FROM unnest(%(names)s::text[]) AS wanted (name) JOIN pg_class ON pg_class.oid = to_regclass(quote_ident(name))
JOIN pg_attribute ON attrelid = pg_class.oid
WHERE attidentity <> '' AND NOT attisdropped;

-- name: analyze
ANALYZE;
