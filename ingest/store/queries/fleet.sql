-- name: gateway_chains
-- Every chain of every enrolled gateway, the newest epoch of each first. Behind a gap at most `looked` entries of the
-- ledger are counted. The first octets of the newest envelope in the books hold its signed head, and that its clock state.
SELECT gateways.gateway, gateways.site, keys.epoch, keys.epoch = gateways.epoch, keys.enrolled_at, keys.key_id,
    keys.algorithm, coalesce(heads.contiguous_seq, 0), coalesce(heads.highest_seq, 0), heads.newest_mark,
    coalesce(heads.envelopes, 0), coalesce(heads.repeats, 0), nullif(heads.received_at, '-infinity'), refused.messages,
    gap.since, coalesce(gap.waiting, 0), newest.octets, newest.received_at,
    ARRAY(SELECT kind FROM alerts WHERE scope = 'gateway' AND subject = gateways.gateway AND closed_at IS NULL ORDER BY kind),
    EXISTS (SELECT FROM revocations WHERE revocations.gateway = keys.gateway AND revocations.epoch = keys.epoch)
FROM gateways
JOIN gateway_keys AS keys ON keys.gateway = gateways.gateway
LEFT JOIN chain_heads AS heads ON heads.gateway = keys.gateway AND heads.epoch = keys.epoch
CROSS JOIN LATERAL (
    SELECT count(*) AS messages FROM quarantine
    WHERE proven AND quarantine.gateway = keys.gateway AND quarantine.epoch = keys.epoch
) AS refused
LEFT JOIN LATERAL (
    SELECT min(behind.received_at) AS since, count(*) AS waiting
    FROM (
        SELECT received_at FROM ledger
        WHERE ledger.gateway = keys.gateway AND ledger.epoch = keys.epoch AND seq > heads.contiguous_seq
        ORDER BY seq LIMIT %(looked)s
    ) AS behind
) AS gap ON heads.highest_seq > heads.contiguous_seq
LEFT JOIN LATERAL (
    SELECT substring(envelopes.octets FROM 1 FOR %(octets)s) AS octets, envelopes.received_at
    FROM (
        SELECT seq, received_at
        FROM (
            SELECT seq, received_at, refused FROM ledger
            WHERE ledger.gateway = keys.gateway AND ledger.epoch = keys.epoch
            ORDER BY seq DESC LIMIT 100
        ) AS last
        WHERE last.refused IS NULL
        ORDER BY seq DESC LIMIT 1
    ) AS place
    JOIN envelopes ON envelopes.gateway = keys.gateway AND envelopes.epoch = keys.epoch
        AND envelopes.seq = place.seq AND envelopes.received_at = place.received_at
    LIMIT 1
) AS newest ON keys.epoch = gateways.epoch
WHERE NOT gateways.is_desk AND (%(gateway)s::text IS NULL OR gateways.gateway = %(gateway)s)
ORDER BY gateways.gateway, keys.epoch DESC;

-- name: chain_gaps
-- What is missing below the highest seq of each chain, and when the first envelope behind each gap arrived.
SELECT found.epoch, found.first_seq, found.last_seq, found.since
FROM chain_heads AS heads
CROSS JOIN LATERAL (
    SELECT heads.epoch, lag(seq, 1, heads.contiguous_seq) OVER (ORDER BY seq) + 1 AS first_seq, seq - 1 AS last_seq,
        behind.received_at AS since
    FROM (
        SELECT seq, received_at FROM ledger
        WHERE ledger.gateway = heads.gateway AND ledger.epoch = heads.epoch AND seq > heads.contiguous_seq
        ORDER BY seq LIMIT %(looked)s
    ) AS behind
) AS found
WHERE heads.gateway = %(gateway)s AND found.first_seq <= found.last_seq
ORDER BY found.epoch DESC, found.first_seq LIMIT %(most)s;

-- name: quarantine_of_gateway
SELECT quarantined, reason, detail, proven, topic, gateway, epoch, seq, first_received_at, last_received_at, times, octets
FROM quarantine WHERE proven AND gateway = %(gateway)s
ORDER BY quarantined DESC LIMIT %(most)s;

-- name: site_faces
-- What a page needs of each site: its time zone and its names, without reading the whole description.
SELECT DISTINCT ON (site) site, document #>> '{calendar,zone}', document #>> '{names,zh}', document #>> '{names,en}'
FROM site_versions ORDER BY site, version DESC;
