-- name: erasures
SELECT erasure, kind, site, subject, reason, erased_at FROM erasures ORDER BY erasure;

-- name: add_erasure
INSERT INTO erasures (kind, site, subject, reason, erased_at)
VALUES (%(kind)s, %(site)s, %(subject)s, %(reason)s, %(erased_at)s) RETURNING erasure;

-- name: site_documents
SELECT version, document, site_hash FROM site_versions WHERE site = %(site)s ORDER BY version FOR UPDATE;

-- name: put_document
UPDATE site_versions SET document = %(document)s, site_hash = %(site_hash)s WHERE site = %(site)s AND version = %(version)s;

-- name: statements_of_party
SELECT count(*), max(issued_at) FROM statements JOIN allocation_runs USING (run)
WHERE allocation_runs.site = %(site)s AND statements.party = %(party)s;

-- name: engineers
SELECT DISTINCT engineer FROM install_orders ORDER BY engineer;

-- name: orders_of_engineer
SELECT count(*), count(*) FILTER (WHERE burned_at IS NULL AND expires_at > %(now)s), max(ordered_at)
FROM install_orders WHERE engineer = %(engineer)s;

-- name: put_engineer
UPDATE install_orders SET engineer = %(pseudonym)s WHERE engineer = %(engineer)s;

-- name: mentions
-- Statements that count the rows of each column of text in which something is written out.
SELECT relname::text, attname::text,
    format('SELECT count(*) FROM %%I WHERE strpos(%%I::text, %%L) > 0', relname, attname, %(text)s::text)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('ledger')) AND relkind = 'r'
    AND attnum > 0 AND NOT attisdropped AND atttypid IN ('text'::regtype, 'jsonb'::regtype)
    AND relname NOT IN ('ledger', 'chain_heads', 'readings', 'envelopes', 'settled_days', 'run_slots', 'schema_migrations')
    AND NOT relispartition
ORDER BY 1, 2;

-- name: sweep_out
-- What was written over is gone from the files too, not only from sight.
VACUUM site_versions, install_orders, audit_log;
