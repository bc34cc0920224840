-- name: erasures
SELECT erasure, kind, site, subject, reason, erased_at FROM erasures ORDER BY erasure;

-- name: add_erasure
INSERT INTO erasures (kind, site, subject, reason, erased_at)
VALUES (%(kind)s, %(site)s, %(subject)s, %(reason)s, %(erased_at)s) RETURNING erasure;

-- name: site_documents
SELECT version, document, site_hash FROM site_versions WHERE site = %(site)s ORDER BY version FOR UPDATE;

-- name: put_document
UPDATE site_versions SET document = %(document)s, site_hash = %(site_hash)s WHERE site = %(site)s AND version = %(version)s;

-- name: blank_disputes
-- What a party wrote and sent when it disputed. The audit log holds a digest of it.
UPDATE disputes SET reason = '(erased)', photo = NULL
FROM statements JOIN allocation_runs USING (run)
WHERE statements.number = disputes.statement AND site = %(site)s AND statements.party = %(party)s;

-- name: drop_party_photos
DELETE FROM photos WHERE put_by = %(by)s
    AND NOT EXISTS (SELECT FROM hand_readings WHERE hand_readings.photo = photos.photo)
    AND NOT EXISTS (SELECT FROM disputes WHERE disputes.photo = photos.photo);

-- name: statements_of_party
SELECT count(*), max(issued_at) FROM statements JOIN allocation_runs USING (run)
WHERE allocation_runs.site = %(site)s AND statements.party = %(party)s;

-- name: engineers
SELECT engineer FROM install_orders
UNION SELECT unnest(ARRAY[reader, entered_by, decided_by]) FROM hand_readings
UNION SELECT put_by FROM photos
ORDER BY engineer;

-- name: orders_of_engineer
SELECT count(*) + (SELECT count(*) FROM hand_readings WHERE %(engineer)s IN (reader, entered_by, decided_by)),
    count(*) FILTER (WHERE burned_at IS NULL AND expires_at > %(now)s), max(ordered_at)
FROM install_orders WHERE engineer = %(engineer)s;

-- name: put_engineer
-- Without its salt, the hash that names him in a sealed reading names nobody.
WITH readings_without AS (
    UPDATE hand_readings SET reader_salt = CASE WHEN reader <> %(engineer)s THEN reader_salt END,
        reader = CASE WHEN reader = %(engineer)s THEN %(pseudonym)s ELSE reader END,
        entered_by = CASE WHEN entered_by = %(engineer)s THEN %(pseudonym)s ELSE entered_by END,
        decided_by = CASE WHEN decided_by = %(engineer)s THEN %(pseudonym)s ELSE decided_by END
    WHERE %(engineer)s IN (reader, entered_by, decided_by)
),
photos_without AS (UPDATE photos SET put_by = %(pseudonym)s WHERE put_by = %(engineer)s)
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
VACUUM site_versions, install_orders, audit_log, hand_readings, photos, disputes;
