-- name: unread_runs
-- Runs with statements whose evidence is not known, or was read before the last of them was issued.
SELECT run, statements, issued_at
FROM (
    SELECT run, count(*)::int AS statements, max(issued_at) AS issued_at FROM statements GROUP BY run
) AS issued
WHERE NOT EXISTS (
    SELECT FROM run_evidence WHERE run_evidence.run = issued.run AND run_evidence.statements = issued.statements
)
ORDER BY run;

-- name: statements_of_run
-- Those that carry their own evidence need nothing else.
SELECT number, octets FROM statements WHERE run = %(run)s AND bundle IS NULL ORDER BY number;

-- name: span_of_envelopes
SELECT min(received_at), max(received_at)
FROM unnest(%(gateways)s::text[], %(epochs)s::int[], %(seqs)s::bigint[]) AS wanted (gateway, epoch, seq)
JOIN ledger USING (gateway, epoch, seq);

-- name: put_run_evidence
INSERT INTO run_evidence (run, statements, issued_at, oldest, newest)
VALUES (%(run)s, %(statements)s, %(issued_at)s, %(oldest)s, %(newest)s)
ON CONFLICT (run) DO UPDATE SET statements = excluded.statements, issued_at = excluded.issued_at,
    oldest = excluded.oldest, newest = excluded.newest;
