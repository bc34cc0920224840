-- name: sharers
-- The first places of others that share the costs of a party, with how many there are: no amounts, no names.
WITH places AS (
    SELECT DISTINCT pool, unit FROM run_lines
    WHERE run = %(run)s AND pool = ANY (%(pools)s) AND unit IS NOT NULL AND party <> %(party)s
),
numbered AS (
    SELECT pool, unit, row_number() OVER (PARTITION BY pool ORDER BY unit) AS place, count(*) OVER (PARTITION BY pool)
    FROM places
)
SELECT pool, unit, count FROM numbered WHERE place <= %(most)s ORDER BY pool, place;

-- name: party_history
-- What a party had to pay in each published period up to one, newest first, and the electricity of its own meters [Wh].
WITH periods AS (
    SELECT run, period, document -> 'period' ->> 'start' AS starts FROM allocation_runs
    WHERE site = %(site)s AND (run = %(run)s OR (state = 'published' AND period <> %(period)s))
        AND document -> 'period' ->> 'start' <= %(starts)s
),
paid AS (
    SELECT run, period, starts, sum(amount_minor)::bigint AS amount_minor,
        (sum((SELECT sum(band::bigint) FROM jsonb_array_elements_text(energy) AS band))
            FILTER (WHERE kind = 'metered' AND trace ->> 'measure' IN ('import', 'net')))::bigint AS energy_wh
    FROM periods JOIN run_lines USING (run) WHERE party = %(party)s GROUP BY run, period, starts
)
SELECT period, amount_minor, energy_wh FROM paid ORDER BY starts DESC, period DESC LIMIT %(most)s;

-- name: photos_of_envelopes
-- Photos of displays behind readings that people sealed, by their place in the chain.
SELECT gateway, epoch, seq, photo FROM hand_readings
WHERE photo IS NOT NULL AND (gateway, epoch, seq) IN (
    SELECT * FROM unnest(%(gateways)s::text[], %(epochs)s::int[], %(seqs)s::bigint[])
);
