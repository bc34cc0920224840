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
