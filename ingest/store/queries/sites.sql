-- name: lock_site
-- One import, settlement or run of a site at a time, whichever process starts it; freed with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(%(site)s, 7083465729082));

-- name: newest_version
SELECT site, version, hash, document, rules, imported_at, site_hash
FROM site_versions WHERE site = %(site)s ORDER BY version DESC LIMIT 1;

-- name: newest_numbers
-- Of one site, or of all.
SELECT site, max(version) FROM site_versions WHERE %(site)s::text IS NULL OR site = %(site)s GROUP BY site ORDER BY site;

-- name: newest_versions
SELECT DISTINCT ON (site) site, version, hash, document, rules, imported_at, site_hash
FROM site_versions ORDER BY site, version DESC;

-- name: site_ids
-- The sites with the longest description first: whoever deals them out to workers is not left with them at the end.
SELECT site FROM (
    SELECT DISTINCT ON (site) site, pg_column_size(document) AS length FROM site_versions ORDER BY site, version DESC
) AS newest ORDER BY length DESC, site;

-- name: version
SELECT site, version, hash, document, rules, imported_at, site_hash
FROM site_versions WHERE site = %(site)s AND version = %(version)s;

-- name: add_version
INSERT INTO site_versions (site, version, hash, document, rules, imported_at)
VALUES (%(site)s, %(version)s, %(hash)s, %(document)s, %(rules)s, %(imported_at)s);

-- name: mark_read_days_unsettled
-- A new version may move a meter, an exchange or a ratio: whatever was read is settled again. Whoever settles is told
-- (queries/notices.sql).
WITH marked AS (
    INSERT INTO unsettled_days (meter, day, arrivals)
    SELECT DISTINCT meter, (due_at AT TIME ZONE 'UTC')::date, 1
    FROM readings WHERE meter = ANY (%(meters)s)
    ORDER BY 1, 2
    ON CONFLICT (meter, day) DO UPDATE SET arrivals = unsettled_days.arrivals + 1
)
SELECT pg_notify('metertree_unsettled', '');
