-- name: hold_statement
-- Nobody else moves the statement until the transaction ends.
SELECT number FROM statements WHERE number = %(number)s FOR UPDATE;

-- name: standing
SELECT step, to_state FROM statement_states WHERE statement = %(number)s ORDER BY step DESC LIMIT 1;

-- name: add_step
INSERT INTO statement_states (statement, step, from_state, to_state, actor, acted_at)
VALUES (%(number)s, %(step)s, %(from_state)s, %(to_state)s, %(actor)s, %(acted_at)s);

-- name: states
SELECT step, to_state, actor, acted_at FROM statement_states WHERE statement = %(number)s ORDER BY step;

-- name: step_all
-- One step of all statements of a run that stand where it may be taken from; they are held until the transaction ends.
WITH held AS (SELECT number FROM statements WHERE run = %(run)s ORDER BY number FOR UPDATE),
newest AS (
    SELECT DISTINCT ON (number) number, step, to_state
    FROM held LEFT JOIN statement_states ON statement = number ORDER BY number, step DESC NULLS LAST
)
INSERT INTO statement_states (statement, step, from_state, to_state, actor, acted_at)
SELECT number, coalesce(step, 0) + 1, to_state, %(to_state)s, %(actor)s, %(acted_at)s
FROM newest
WHERE CASE WHEN %(to_state)s = 'issued' THEN coalesce(to_state, 'superseded') = 'superseded'
    ELSE to_state IS NOT NULL AND to_state <> 'superseded' END
RETURNING statement;

-- name: find_link
SELECT number, link_expires_at FROM statements WHERE token_hash = %(token_hash)s;

-- name: hold_links
SELECT number, party, run, link_issue, link_expires_at FROM statements
WHERE number = %(number)s OR run = %(run)s ORDER BY number FOR UPDATE;

-- name: put_link
UPDATE statements
SET token_hash = %(token_hash)s, link_issue = %(link_issue)s, link_expires_at = %(link_expires_at)s
WHERE number = %(number)s;

-- name: add_dispute
INSERT INTO disputes (statement, line, reason, photo, raised_at)
VALUES (%(statement)s, %(line)s, %(reason)s, %(photo)s, %(raised_at)s)
ON CONFLICT ON CONSTRAINT disputes_once DO NOTHING RETURNING dispute;

-- name: disputes_of_statement
SELECT dispute, statement, line, reason, photo, raised_at, state, answer, answered_by, answered_at
FROM disputes WHERE statement = %(number)s ORDER BY dispute;

-- name: dispute
SELECT dispute, statement, line, reason, photo, raised_at, state, answer, answered_by, answered_at
FROM disputes WHERE dispute = %(dispute)s;

-- name: answer_dispute
UPDATE disputes SET state = %(state)s, answer = %(answer)s, answered_by = %(by)s, answered_at = %(at)s
WHERE dispute = %(dispute)s;

-- name: list_disputes
-- Newest first, after the cursor (the number of the last one seen).
SELECT dispute, disputes.statement, line, reason, photo, raised_at, disputes.state, answer, answered_by, answered_at,
    site, period, party
FROM disputes JOIN statements ON number = disputes.statement JOIN allocation_runs USING (run)
WHERE (%(state)s::text IS NULL OR disputes.state = %(state)s)
    AND (%(sites)s::text[] IS NULL OR site = ANY (%(sites)s))
    AND (%(period)s::text IS NULL OR period = %(period)s)
    AND (%(before)s::bigint IS NULL OR dispute < %(before)s)
ORDER BY dispute DESC LIMIT %(most)s;

-- name: count_disputes
-- Of each period that has statements out: how many are out, seen, confirmed, and how many disputes stand how.
WITH newest AS (
    SELECT DISTINCT ON (statement) statement, to_state FROM statement_states ORDER BY statement, step DESC
),
out AS (
    SELECT site, period, number, to_state,
        EXISTS (SELECT FROM charges WHERE charges.statement = number) AS is_charged,
        EXISTS (SELECT FROM statement_states AS one WHERE one.statement = number AND one.to_state = 'seen') AS is_seen
    FROM newest JOIN statements ON number = statement JOIN allocation_runs USING (run)
    WHERE (%(sites)s::text[] IS NULL OR site = ANY (%(sites)s))
),
told AS (
    SELECT site, period, disputes.state, count(*) AS found
    FROM disputes JOIN statements ON number = disputes.statement JOIN allocation_runs USING (run)
    GROUP BY site, period, disputes.state
)
SELECT site, period,
    count(*) FILTER (WHERE to_state <> 'superseded'), count(*) FILTER (WHERE is_seen AND to_state <> 'superseded'),
    count(*) FILTER (WHERE is_charged AND to_state <> 'superseded'),
    coalesce((SELECT found FROM told WHERE (told.site, told.period, state) = (out.site, out.period, 'open')), 0),
    coalesce((SELECT found FROM told WHERE (told.site, told.period, state) = (out.site, out.period, 'upheld')), 0),
    coalesce((SELECT found FROM told WHERE (told.site, told.period, state) = (out.site, out.period, 'recomputed')), 0)
FROM out GROUP BY site, period ORDER BY period DESC, site LIMIT %(most)s;

-- name: charged_before
-- What earlier charges of the same party and period hold, by line.
SELECT line, sum(charge_lines.amount_minor)::bigint
FROM charges JOIN charge_lines USING (charge)
WHERE (site, period, party) = (%(site)s, %(period)s, %(party)s) AND charges.statement <> %(statement)s
GROUP BY line;

-- name: add_charge
INSERT INTO charges (charge, statement, site, period, party, amount_minor, currency, created_at)
VALUES (%(charge)s, %(statement)s, %(site)s, %(period)s, %(party)s, %(amount_minor)s, %(currency)s, %(created_at)s);

-- name: add_charge_lines
COPY charge_lines (statement, line, charge, stated_minor, before_minor, amount_minor) FROM STDIN;

-- name: charges_of_statement
SELECT charge, statement, site, period, party, amount_minor, currency, created_at, invoice
FROM charges WHERE statement = %(number)s ORDER BY place;

-- name: lines_charged
SELECT line FROM charge_lines WHERE statement = %(number)s;

-- name: newer_statement
-- The statement that stands in a superseded one's place: of the same party, of the published run of the period.
SELECT newer.number
FROM statements AS old JOIN allocation_runs AS run USING (run)
JOIN allocation_runs AS published ON (published.site, published.period, published.state) = (run.site, run.period, 'published')
JOIN statements AS newer ON (newer.run, newer.party) = (published.run, old.party)
WHERE old.number = %(number)s AND newer.number <> old.number;
