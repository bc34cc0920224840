-- name: inbox_runs
-- Runs that wait for a step of somebody, newest first. A large document is not looked into: that would take seconds.
SELECT run, site, period, state, unexplained, created_at,
    CASE WHEN pg_column_size(document) < 4000000 THEN jsonb_array_length(jsonb_path_query_array(document,
        '$.exceptions[*] ? (@.quality == "estimated" || @.quality == "missing" || @.quality == "held")')) END
FROM allocation_runs
WHERE state IN ('computed', 'checked', 'approved') ORDER BY created_at DESC, run LIMIT %(most)s;

-- name: inbox_gateways
-- Of which site each gateway is, for alerts that name one.
SELECT gateway, site FROM gateways;

-- name: inbox_disputes
SELECT disputes.dispute, allocation_runs.site, allocation_runs.period, disputes.statement, disputes.reason, disputes.raised_at
FROM disputes
JOIN statements ON statements.number = disputes.statement
JOIN allocation_runs USING (run)
WHERE disputes.state = 'open' ORDER BY disputes.dispute LIMIT %(most)s;

-- name: inbox_counts
-- How much waits, by kind and site; site NULL where it is of none, or of nobody knows which.
SELECT 'alert', coalesce(gateways.site, CASE WHEN alerts.scope = 'site' THEN alerts.subject ELSE alerts.detail ->> 'site' END),
    count(*)::int
FROM alerts LEFT JOIN gateways ON alerts.scope = 'gateway' AND gateways.gateway = alerts.subject
WHERE closed_at IS NULL AND acknowledged_by IS NULL GROUP BY 2
UNION ALL
SELECT 'run', site, count(*)::int FROM allocation_runs WHERE state IN ('computed', 'checked', 'approved') GROUP BY 2
UNION ALL
SELECT 'binding', site, count(*)::int FROM bindings WHERE state IN ('held', 'pending', 'refused') GROUP BY 2
UNION ALL
SELECT 'reading', site, count(*)::int FROM hand_readings WHERE state = 'waiting' GROUP BY 2
UNION ALL
SELECT 'dispute', allocation_runs.site, count(*)::int
FROM disputes JOIN statements ON statements.number = disputes.statement JOIN allocation_runs USING (run)
WHERE disputes.state = 'open' GROUP BY 2
UNION ALL
SELECT 'late', site, count(DISTINCT run)::int FROM run_changes JOIN allocation_runs USING (run) GROUP BY 2
UNION ALL
SELECT 'quarantine', gateways.site, count(*)::int FROM quarantine LEFT JOIN gateways USING (gateway) GROUP BY 2;
