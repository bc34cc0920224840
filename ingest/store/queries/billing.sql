-- name: charges
-- In the order in which they were made; sites: those the caller may see, NULL: all.
SELECT charge, statement, site, period, party, amount_minor, currency, created_at, invoice, acknowledged_at, place
FROM charges
WHERE place > %(after)s AND (%(sites)s::text[] IS NULL OR site = ANY (%(sites)s))
    AND (%(site)s::text IS NULL OR site = %(site)s) AND (%(period)s::text IS NULL OR period = %(period)s)
    AND (%(party)s::text IS NULL OR party = %(party)s) AND (%(statement)s::text IS NULL OR statement = %(statement)s)
    AND (%(acknowledged)s::boolean IS NULL OR (invoice IS NOT NULL) = %(acknowledged)s)
ORDER BY place LIMIT %(most)s;

-- name: hold_charge
SELECT charge, statement, site, period, party, amount_minor, currency, created_at, invoice, acknowledged_at, place
FROM charges WHERE charge = %(charge)s FOR UPDATE;

-- name: charge
SELECT charge, statement, site, period, party, amount_minor, currency, created_at, invoice, acknowledged_at, place
FROM charges WHERE charge = %(charge)s;

-- name: charge_lines
SELECT line, stated_minor, before_minor, amount_minor FROM charge_lines WHERE charge = %(charge)s ORDER BY line COLLATE "C";

-- name: acknowledge_charge
UPDATE charges SET invoice = %(invoice)s, acknowledged_at = %(at)s, acknowledged_by = %(by)s
WHERE charge = %(charge)s AND invoice IS NULL;

-- name: run_of_statement
SELECT run FROM statements WHERE number = %(number)s;

-- name: statements
-- The document of a run is looked into once, not for each of its statements: it may hold megabytes.
WITH listed AS MATERIALIZED (
    SELECT number, run, site, period, statements.party, state AS run_state, issued_at
    FROM statements JOIN allocation_runs USING (run)
    WHERE number > %(after)s AND (%(sites)s::text[] IS NULL OR site = ANY (%(sites)s))
        AND (%(run)s::text IS NULL OR run = %(run)s) AND (%(site)s::text IS NULL OR site = %(site)s)
        AND (%(period)s::text IS NULL OR period = %(period)s) AND (%(party)s::text IS NULL OR party = %(party)s)
    ORDER BY number LIMIT %(most)s
),
priced AS MATERIALIZED (
    SELECT run, document ->> 'currency' AS currency FROM allocation_runs WHERE run IN (SELECT run FROM listed)
)
SELECT number, run, site, period, party,
    (SELECT coalesce(sum(amount_minor), 0)::bigint FROM run_lines
     WHERE run_lines.run = listed.run AND run_lines.party = listed.party),
    currency, run_state,
    (SELECT to_state FROM statement_states WHERE statement = number ORDER BY step DESC LIMIT 1), issued_at
FROM listed JOIN priced USING (run) ORDER BY number;

-- name: residuals
SELECT pool, party, amount_minor FROM run_lines WHERE run = %(run)s AND unit IS NULL ORDER BY pool, party;

-- name: lines_page
SELECT line, pool, party, unit, energy, amount_minor, trace, kind
FROM run_lines
WHERE run = %(run)s AND line > %(after)s
    AND (%(party)s::text IS NULL OR party = %(party)s) AND (%(pool)s::text IS NULL OR pool = %(pool)s)
ORDER BY line LIMIT %(most)s;

-- name: run_heads_page
-- Newest first, behind the run at which the page before ended.
SELECT run, site, period, state, booked_at, site_version
FROM allocation_runs AS listed
WHERE (%(site)s::text IS NULL OR site = %(site)s) AND (%(period)s::text IS NULL OR period = %(period)s)
    AND (SELECT listed.created_at < earlier.created_at OR (listed.created_at = earlier.created_at AND listed.run > earlier.run)
         FROM allocation_runs AS earlier WHERE earlier.run = %(after)s)
ORDER BY created_at DESC, run LIMIT %(most)s;
