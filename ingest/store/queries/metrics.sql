-- name: books
-- What the books say of themselves, one row a gauge: its name, its label or nothing, and the number.
SELECT 'gateways', '', count(*)::double precision FROM gateways WHERE NOT is_desk
UNION ALL
SELECT 'chain_gaps', '', count(*) FROM chain_heads WHERE highest_seq > contiguous_seq
UNION ALL
SELECT 'settlement_waiting_days', '', count(*) FROM unsettled_days
UNION ALL
SELECT 'settlement_waiting_seconds', '', coalesce(extract(epoch FROM now() - min(since)), 0)::double precision
FROM unsettled_days
UNION ALL
SELECT 'alerts_open', kind, count(*) FROM alerts WHERE closed_at IS NULL GROUP BY kind
UNION ALL
SELECT 'quarantine_kept', reason, count(*) FROM quarantine GROUP BY reason
UNION ALL
SELECT 'alarms', kind, count(*) FROM alarms GROUP BY kind
UNION ALL
SELECT 'events_unnumbered', '', count(*) FROM events WHERE number IS NULL
UNION ALL
SELECT 'events_newest', '', coalesce(max(number), 0) FROM events
UNION ALL
SELECT 'webhook_endpoints', state, count(*) FROM webhook_endpoints WHERE state <> 'removed' GROUP BY state
UNION ALL
SELECT 'webhook_deliveries_waiting', '', count(*) FROM webhook_deliveries JOIN webhook_endpoints USING (endpoint)
WHERE webhook_deliveries.state = 'waiting' AND webhook_endpoints.state = 'on'
UNION ALL
SELECT 'webhook_deliveries_held', '', count(*) FROM webhook_deliveries JOIN webhook_endpoints USING (endpoint)
WHERE webhook_deliveries.state = 'waiting' AND webhook_endpoints.state NOT IN ('on', 'removed')
UNION ALL
SELECT 'webhook_deliveries_dead', '', count(*) FROM webhook_deliveries JOIN webhook_endpoints USING (endpoint)
WHERE webhook_deliveries.state = 'dead' AND webhook_endpoints.state <> 'removed'
UNION ALL
SELECT 'webhook_waiting_seconds', '', coalesce(extract(epoch FROM now() - min(made_at)), 0)::double precision
FROM webhook_deliveries JOIN webhook_endpoints USING (endpoint)
WHERE webhook_deliveries.state = 'waiting' AND webhook_endpoints.state = 'on'
UNION ALL
SELECT 'job_last_success_timestamp_seconds', job, extract(epoch FROM succeeded_at)::double precision
FROM job_runs WHERE succeeded_at IS NOT NULL
UNION ALL
SELECT 'job_last_seconds', job, took_ms / 1000.0::double precision FROM job_runs WHERE took_ms IS NOT NULL
UNION ALL
SELECT 'job_failing', job, (fault IS NOT NULL)::int FROM job_runs;
