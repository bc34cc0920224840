-- name: lock_feed
-- One writer of the feed at a time, until the transaction ends: positions are given in the order of commits.
SELECT pg_advisory_xact_lock(7083465729091);

-- name: enter_feed
-- Every publication that the feed lacks, in order: this one, and any that a program from before the feed wrote.
INSERT INTO feed_entries
    (position, publication, digest, run, corrects, site, period, starts_at, ends_at, currency, units, lines, published_at)
SELECT (SELECT coalesce(max(position), 0) FROM feed_entries) + row_number() OVER (ORDER BY publication),
    publication, sha256(octets), run, corrects, site, period,
    (document -> 'period' ->> 'start')::timestamptz, (document -> 'period' ->> 'end')::timestamptz,
    document ->> 'currency',
    ARRAY(
        SELECT CASE
            WHEN coalesce(band ->> 'per', 'kWh') = 'kWh' AND coalesce(band -> 'base_units', '[1000, 1]') = '[1000, 1]'
                THEN 'Wh'
            WHEN band ->> 'per' IN ('GJ', 'MWh') OR band -> 'base_units' = '[3600, 1]' THEN 'kJ'
            ELSE 'mL'
        END
        FROM jsonb_array_elements(document -> 'bands') WITH ORDINALITY AS listed (band, place) ORDER BY place
    ),
    CASE WHEN corrects IS NULL
        THEN (SELECT count(*) FROM run_lines WHERE run_lines.run = told.run)
        ELSE (SELECT count(*) FROM correction_lines WHERE correction_lines.publication = told.publication)
    END,
    published_at
FROM (
    SELECT publications.*, site, period, document, (
        SELECT earlier.run FROM publications AS earlier JOIN allocation_runs AS other USING (run)
        WHERE other.site = mine.site AND other.period = mine.period AND earlier.publication < publications.publication
        ORDER BY earlier.publication DESC LIMIT 1
    ) AS corrects
    FROM publications JOIN allocation_runs AS mine USING (run)
    WHERE NOT EXISTS (SELECT FROM feed_entries WHERE feed_entries.publication = publications.publication)
) AS told;

-- name: feed_entry
SELECT encode(substr(digest, 1, 8), 'hex'), lines FROM feed_entries WHERE position = %(position)s;

-- name: newest_entry
SELECT position, encode(substr(digest, 1, 8), 'hex'), lines FROM feed_entries ORDER BY position DESC LIMIT 1;

-- name: feed_entries
-- sites: those the caller may see; NULL: all.
SELECT position, encode(substr(digest, 1, 8), 'hex'), publication, run, corrects, site, period, starts_at, ends_at,
    currency, units, lines, published_at
FROM feed_entries
WHERE position >= %(position)s
    AND (%(sites)s::text[] IS NULL OR site = ANY (%(sites)s)) AND (%(site)s::text IS NULL OR site = %(site)s)
    AND (%(period)s::text IS NULL OR period = %(period)s)
    AND (%(corrections)s::boolean IS NULL OR (corrects IS NOT NULL) = %(corrections)s)
    AND (%(until)s::bigint IS NULL OR position <= %(until)s)
ORDER BY position LIMIT %(most)s;

-- name: feed_run_lines
-- energy as text: as JSON every line would be parsed for a sum.
SELECT line, pool, party, unit, kind, amount_minor, energy::text FROM run_lines
WHERE run = %(run)s AND line >= %(first)s AND (%(party)s::text IS NULL OR party = %(party)s)
ORDER BY line LIMIT %(most)s;

-- name: feed_correction_lines
-- Numbered by their ids, octet by octet: the same wherever the database is restored.
SELECT place, pool, party, unit, NULL, delta_minor, NULL
FROM (
    SELECT (row_number() OVER (ORDER BY line COLLATE "C") - 1)::integer AS place, pool, party, unit, delta_minor
    FROM correction_lines WHERE publication = %(publication)s
) AS numbered
WHERE place >= %(first)s AND (%(party)s::text IS NULL OR party = %(party)s)
ORDER BY place LIMIT %(most)s;
