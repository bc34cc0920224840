-- name: notice_restores
-- Backups whose rows say unfinished, and that nobody is writing: this database came out of them, or they were broken off.
UPDATE backups SET noticed_at = %(now)s
WHERE finished_at IS NULL AND noticed_at IS NULL
    AND pg_try_advisory_xact_lock(hashtextextended(backup, 7083465729084))
RETURNING backup;

-- name: ask_all
-- For every chain that may ever have been written, whatever is known of it: a gateway that has no more says nothing.
INSERT INTO resend_requests (gateway, epoch, after_seq, asked_since, ask_at)
SELECT gateway, epoch, coalesce(contiguous_seq, 0), %(now)s, %(now)s
FROM gateway_keys LEFT JOIN chain_heads USING (gateway, epoch)
WHERE gateway NOT IN (SELECT gateway FROM gateways WHERE is_desk)
ON CONFLICT (gateway, epoch) DO UPDATE
SET after_seq = excluded.after_seq, asked_since = excluded.asked_since, ask_at = excluded.ask_at, times = 0;

-- name: close_requests
-- A chain that was heard since has had a receipt that says what is held. Who was not heard in the time that gateways keep
-- what was receipted has nothing left to send.
DELETE FROM resend_requests
WHERE asked_since <= %(now)s::timestamptz - make_interval(days => %(kept_days)s)
    OR EXISTS (
        SELECT FROM chain_heads
        WHERE chain_heads.gateway = resend_requests.gateway AND chain_heads.epoch = resend_requests.epoch
            AND chain_heads.received_at > resend_requests.asked_since
    );

-- name: due_requests
-- Each is asked after 1, 2, 4 ... minutes, then every 8 hours or so; workers share them.
WITH due AS (
    SELECT gateway, epoch FROM resend_requests WHERE ask_at <= %(now)s
    ORDER BY ask_at, gateway, epoch LIMIT %(most)s FOR UPDATE SKIP LOCKED
),
asked AS (
    UPDATE resend_requests
    SET times = times + 1, ask_at = %(now)s::timestamptz + INTERVAL '1 minute' * 2 ^ least(times, 9)
    FROM due WHERE resend_requests.gateway = due.gateway AND resend_requests.epoch = due.epoch
    RETURNING resend_requests.gateway, resend_requests.epoch
)
SELECT gateway, epoch, coalesce(contiguous_seq, 0), head_hash
FROM asked LEFT JOIN chain_heads USING (gateway, epoch)
ORDER BY gateway, epoch;

-- name: open_requests
SELECT gateway, epoch, after_seq, asked_since, ask_at, times FROM resend_requests ORDER BY gateway, epoch;
