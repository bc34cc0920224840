-- What billing reads in order, and answers to repeated requests.

CREATE TABLE feed_entries (
    position bigint PRIMARY KEY CHECK (position >= 1),
    publication bigint NOT NULL UNIQUE REFERENCES publications,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    run text NOT NULL REFERENCES allocation_runs,
    corrects text REFERENCES allocation_runs CHECK (corrects <> run),
    site text NOT NULL,
    period text NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
    currency text NOT NULL,
    units text[] NOT NULL,
    lines integer NOT NULL CHECK (lines >= 0),
    published_at timestamptz NOT NULL
);
CREATE INDEX feed_entries_by_site ON feed_entries (site, position);
COMMENT ON TABLE feed_entries IS
    'Publications in the order in which they were committed, without gap: what billing reads. corrects: the run whose lines '
    'these are the differences to; NULL: the first run of its period, whose lines count whole.';
COMMENT ON COLUMN feed_entries.digest IS
    'SHA-256 of the publication: names the entry wherever its database is restored.';
COMMENT ON COLUMN feed_entries.units IS 'Base unit of the amounts of each band of the run: Wh, mL or kJ.';

INSERT INTO feed_entries
    (position, publication, digest, run, corrects, site, period, starts_at, ends_at, currency, units, lines, published_at)
SELECT row_number() OVER (ORDER BY publication), publication, sha256(octets), run, corrects, site, period,
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
    SELECT publications.*, site, period, document,
        lag(run) OVER (PARTITION BY site, period ORDER BY publication) AS corrects
    FROM publications JOIN allocation_runs USING (run)
) AS told;

CREATE TABLE idempotency_keys (
    owner text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL CHECK (octet_length(request_hash) = 32),
    begun_at timestamptz NOT NULL,
    leased_until timestamptz NOT NULL,
    answered_at timestamptz,
    status smallint,
    headers jsonb,
    body bytea,
    PRIMARY KEY (owner, key),
    CHECK ((answered_at IS NULL) = (status IS NULL) AND (status IS NULL) = (headers IS NULL)),
    CHECK (body IS NULL OR status IS NOT NULL)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (begun_at);
COMMENT ON TABLE idempotency_keys IS
    'Requests that carried an Idempotency-Key, with the answer they got, for 24 hours. Until it is answered, whoever answers '
    'holds it by a lease; one that died loses it. owner: who asked.';
COMMENT ON COLUMN idempotency_keys.body IS 'zlib; NULL of an answer that is not to be kept because it carries a secret.';
