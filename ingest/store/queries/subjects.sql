-- Of which site the subject of a call is: for who may see some sites only.

-- name: run
SELECT site FROM allocation_runs WHERE run = %(name)s;

-- name: statement
SELECT runs.site FROM statements JOIN allocation_runs AS runs USING (run) WHERE number = %(name)s;

-- name: gateway
SELECT site FROM gateways WHERE gateway = %(name)s;

-- name: binding
SELECT site FROM bindings WHERE binding = %(name)s;

-- name: alert
SELECT coalesce(gateways.site, CASE WHEN alerts.scope = 'site' THEN alerts.subject END)
FROM alerts LEFT JOIN gateways ON alerts.scope = 'gateway' AND gateways.gateway = alerts.subject
WHERE alert::text = %(name)s;

-- name: reading
SELECT site FROM hand_readings WHERE hand_reading::text = %(name)s;

-- name: quarantine
SELECT gateways.site FROM quarantine JOIN gateways USING (gateway) WHERE quarantined::text = %(name)s;

-- name: charge
SELECT site FROM charges WHERE charge = %(name)s;

-- name: dispute
SELECT site FROM disputes JOIN statements ON number = disputes.statement JOIN allocation_runs USING (run)
WHERE dispute::text = %(name)s;
