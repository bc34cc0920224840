-- name: sites_of_gateways
-- The version of the site that is in force for each gateway, so that its document is read only when it changed.
SELECT gateways.gateway, gateways.site, max(site_versions.version)
FROM gateways LEFT JOIN site_versions USING (site)
WHERE gateways.gateway = ANY (%(gateways)s)
GROUP BY gateways.gateway, gateways.site;

-- name: begin_chains
INSERT INTO chain_heads (gateway, epoch, contiguous_seq, head_hash, highest_seq, received_at)
SELECT gateway, epoch, 0, decode(repeat('00', 32), 'hex'), 0, '-infinity'
FROM unnest(%(gateways)s::text[], %(epochs)s::int[]) AS wanted (gateway, epoch)
ORDER BY gateway, epoch
ON CONFLICT (gateway, epoch) DO NOTHING;

-- name: lock_chains
-- In one order everywhere, so that two workers with the same chains wait for each other and never deadlock.
SELECT gateway, epoch, contiguous_seq, head_hash, highest_seq
FROM chain_heads
JOIN unnest(%(gateways)s::text[], %(epochs)s::int[]) AS wanted (gateway, epoch) USING (gateway, epoch)
ORDER BY gateway, epoch
FOR UPDATE OF chain_heads;

-- name: ledger_entries
SELECT gateway, epoch, seq, digest, previous_hash
FROM ledger
JOIN unnest(%(gateways)s::text[], %(epochs)s::int[], %(seqs)s::bigint[]) AS wanted (gateway, epoch, seq)
    USING (gateway, epoch, seq);

-- name: message_digests
-- By the time of the ledger, so that only the month in which a message lies is looked at.
SELECT gateway, epoch, seq, sha256(octets)
FROM ledger
JOIN unnest(%(gateways)s::text[], %(epochs)s::int[], %(seqs)s::bigint[]) AS wanted (gateway, epoch, seq)
    USING (gateway, epoch, seq)
JOIN envelopes USING (gateway, epoch, seq, received_at)
WHERE refused IS NULL;

-- name: open_losses
SELECT gateway, epoch, first_seq, last_seq, last_digest
FROM unnest(%(gateways)s::text[], %(epochs)s::int[]) AS wanted (gateway, epoch)
JOIN chain_heads USING (gateway, epoch)
JOIN lost_batches USING (gateway, epoch)
WHERE last_seq > contiguous_seq
ORDER BY gateway, epoch, first_seq, last_seq;

-- name: enter_loss
INSERT INTO lost_batches (gateway, epoch, first_seq, last_seq, last_digest, cause, first_mark, last_mark,
    received_at, octets)
VALUES (%(gateway)s, %(epoch)s, %(first_seq)s, %(last_seq)s, %(last_digest)s, %(cause)s, %(first_mark)s, %(last_mark)s,
    %(received_at)s, %(octets)s)
ON CONFLICT DO NOTHING;

-- name: following
SELECT seq, digest FROM ledger
WHERE gateway = %(gateway)s AND epoch = %(epoch)s AND seq > %(seq)s
ORDER BY seq LIMIT %(most)s;

-- name: copy_ledger
COPY ledger (gateway, epoch, seq, digest, previous_hash, received_at, refused) FROM STDIN (FORMAT BINARY);

-- name: copy_envelopes
COPY envelopes (gateway, epoch, seq, received_at, octets) FROM STDIN (FORMAT BINARY);

-- name: copy_readings
COPY readings (meter, due_at, aligned, started_at, read_at, quality, profile_hash, group_index, mantissas,
    gateway, epoch, seq) FROM STDIN (FORMAT BINARY);

-- name: add_unsettled_days
INSERT INTO unsettled_days (meter, day, arrivals)
SELECT meter, day, 1 FROM unnest(%(meters)s::text[], %(days)s::date[]) AS arrived (meter, day)
ORDER BY meter, day
ON CONFLICT (meter, day) DO UPDATE SET arrivals = unsettled_days.arrivals + 1;

-- name: quarantine
INSERT INTO quarantine (digest, reason, detail, proven, topic, gateway, epoch, seq, octets,
    first_received_at, last_received_at)
VALUES (%(digest)s, %(reason)s, %(detail)s, %(proven)s, %(topic)s, %(gateway)s, %(epoch)s, %(seq)s, %(octets)s,
    %(received_at)s, %(received_at)s)
ON CONFLICT (digest, reason, topic) DO UPDATE
SET times = quarantine.times + 1, last_received_at = excluded.last_received_at, detail = excluded.detail;

-- name: bound_unproven
-- Anyone who reaches the broker can send rubbish: of what no key has proven only the newest is kept.
DELETE FROM quarantine WHERE NOT proven AND quarantined <= (
    SELECT quarantined FROM quarantine WHERE NOT proven ORDER BY quarantined DESC OFFSET %(most)s LIMIT 1);

-- name: raise_alarm
INSERT INTO alarms (raised_at, kind, gateway, epoch, seq, detail)
VALUES (%(raised_at)s, %(kind)s, %(gateway)s, %(epoch)s, %(seq)s, %(detail)s)
ON CONFLICT DO NOTHING;

-- name: advance_chains
UPDATE chain_heads
SET contiguous_seq = came.contiguous_seq, head_hash = came.head_hash, highest_seq = came.highest_seq,
    newest_mark = greatest(chain_heads.newest_mark, came.newest_mark),
    envelopes = chain_heads.envelopes + came.envelopes, repeats = chain_heads.repeats + came.repeats,
    received_at = came.received_at
FROM unnest(%(gateways)s::text[], %(epochs)s::int[], %(contiguous_seq)s::bigint[], %(head_hash)s::bytea[],
    %(highest_seq)s::bigint[], %(newest_mark)s::timestamptz[], %(envelopes)s::bigint[], %(repeats)s::bigint[],
    %(received_at)s::timestamptz[]) AS came (gateway, epoch, contiguous_seq, head_hash, highest_seq, newest_mark,
    envelopes, repeats, received_at)
WHERE chain_heads.gateway = came.gateway AND chain_heads.epoch = came.epoch;

-- name: refused
-- One reason per seq: that of the envelope which holds it comes before that of a clone ('sequence-replayed', the last).
SELECT gateway, epoch, seq, reason
FROM unnest(%(gateways)s::text[], %(epochs)s::int[]) AS wanted (gateway, epoch)
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (seq) seq, reason FROM quarantine
    WHERE proven AND quarantine.gateway = wanted.gateway AND quarantine.epoch = wanted.epoch
    ORDER BY seq DESC, reason LIMIT %(most)s
) AS newest
ORDER BY gateway, epoch, seq;

-- name: list_kept
SELECT quarantined, reason, detail, proven, topic, gateway, epoch, seq, first_received_at, last_received_at, times, octets
FROM quarantine WHERE %(reason)s::text IS NULL OR reason = %(reason)s::text
ORDER BY quarantined DESC LIMIT %(most)s;

-- name: find_kept
SELECT quarantined, reason, detail, proven, topic, gateway, epoch, seq, first_received_at, last_received_at, times, octets
FROM quarantine WHERE quarantined = %(number)s;

-- name: forget_kept
DELETE FROM quarantine WHERE quarantined = %(number)s;

-- name: reasons_kept
SELECT reason, count(*) FROM quarantine GROUP BY reason ORDER BY reason;

-- name: find_held
SELECT digest, refused, received_at FROM ledger
WHERE gateway = %(gateway)s AND epoch = %(epoch)s AND seq = %(seq)s;

-- name: admit_ledger
UPDATE ledger SET refused = NULL
WHERE gateway = %(gateway)s AND epoch = %(epoch)s AND seq = %(seq)s AND refused IS NOT NULL;

-- name: admit_head
UPDATE chain_heads SET envelopes = envelopes + 1, newest_mark = greatest(newest_mark, %(mark)s::timestamptz)
WHERE gateway = %(gateway)s AND epoch = %(epoch)s;
