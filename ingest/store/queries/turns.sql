-- name: take_site
-- Held until the end of the transaction, which is idle meanwhile; a server that cuts off idle ones shall not cut this.
SELECT pg_try_advisory_xact_lock(hashtextextended(%(site)s, 7083465729085))
FROM set_config('idle_in_transaction_session_timeout', '0', true);

-- name: take_jobs
SELECT pg_try_advisory_lock(7083465729084);

-- name: leave_jobs
SELECT pg_advisory_unlock_all();
