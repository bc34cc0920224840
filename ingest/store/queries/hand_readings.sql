-- name: add_desk
INSERT INTO gateways (gateway, site, epoch, enrolled_at, is_desk)
VALUES (%(gateway)s, %(site)s, %(epoch)s, %(enrolled_at)s, true)
ON CONFLICT (gateway) DO UPDATE SET epoch = excluded.epoch, enrolled_at = excluded.enrolled_at
WHERE gateways.is_desk AND gateways.site = excluded.site;

-- name: desk_key
-- The newest key of a desk; none where the desk has never sealed anything.
SELECT gateways.is_desk, gateways.site, keys.epoch, keys.key_id
FROM gateways LEFT JOIN gateway_keys AS keys USING (gateway)
WHERE gateways.gateway = %(gateway)s
ORDER BY keys.epoch DESC NULLS LAST LIMIT 1;

-- name: add_hand_reading
INSERT INTO hand_readings (site, meter, obis, shown, register, read_at, mark, source, photo, seen, confidence_pm,
    reader, reader_salt, entered_at, entered_by, state, doubts, gateway, epoch, seq)
VALUES (%(site)s, %(meter)s, %(obis)s, %(shown)s, %(register)s, %(read_at)s, %(mark)s, %(source)s, %(photo)s, %(seen)s,
    %(confidence_pm)s, %(reader)s, %(reader_salt)s, %(entered_at)s, %(entered_by)s, %(state)s, %(doubts)s, %(gateway)s,
    %(epoch)s, %(seq)s)
RETURNING hand_reading;

-- name: find_hand_reading
SELECT hand_reading, site, meter, obis, shown, register, read_at, mark, source, photo, seen, confidence_pm, reader,
    entered_at, entered_by, state, doubts, decided_by, decided_at, reason, gateway, epoch, seq, reader_salt
FROM hand_readings WHERE hand_reading = %(number)s FOR UPDATE;

-- name: list_hand_readings
SELECT hand_reading, site, meter, obis, shown, register, read_at, mark, source, photo, seen, confidence_pm, reader,
    entered_at, entered_by, state, doubts, decided_by, decided_at, reason, gateway, epoch, seq, reader_salt
FROM hand_readings
WHERE (%(site)s::text IS NULL OR site = %(site)s) AND (%(meter)s::text IS NULL OR meter = %(meter)s)
    AND (%(state)s::text IS NULL OR state = %(state)s)
ORDER BY hand_reading DESC LIMIT %(most)s;

-- name: same_hand_reading
-- The same register at the same mark, as it was entered before and not refused.
SELECT hand_reading, register, state FROM hand_readings
WHERE meter = %(meter)s AND obis = %(obis)s AND mark = %(mark)s AND state IN ('waiting', 'counted', 'kept', 'yielded')
ORDER BY hand_reading DESC LIMIT 1;

-- name: decide_hand_reading
UPDATE hand_readings SET state = %(state)s, decided_by = %(decided_by)s, decided_at = %(decided_at)s, reason = %(reason)s,
    gateway = %(gateway)s, epoch = %(epoch)s, seq = %(seq)s
WHERE hand_reading = %(number)s;

-- name: take_out_reading
-- The sealed envelope stays as evidence; its register no longer bounds any energy.
DELETE FROM readings WHERE meter = %(meter)s AND due_at = %(mark)s
    AND gateway = %(gateway)s AND epoch = %(epoch)s AND seq = %(seq)s;

-- name: hand_read_meters
SELECT DISTINCT meter FROM hand_readings WHERE meter = ANY (%(meters)s) AND state = 'counted';

-- name: yield_to_bus
-- Where the bus's own reading of a mark came after a person's, it is the finer one and counts; both would count twice.
WITH late AS (
    SELECT hand_reading, meter, mark, gateway, epoch, seq FROM hand_readings
    WHERE state = 'counted' AND meter = ANY (%(meters)s) AND EXISTS (
        SELECT FROM readings
        WHERE readings.meter = hand_readings.meter AND readings.due_at = hand_readings.mark AND readings.aligned
            AND readings.quality = 0 AND readings.gateway <> hand_readings.gateway
    )
),
taken AS (
    DELETE FROM readings USING late
    WHERE readings.meter = late.meter AND readings.due_at = late.mark AND readings.gateway = late.gateway
        AND readings.epoch = late.epoch AND readings.seq = late.seq
)
UPDATE hand_readings SET state = 'yielded' FROM late WHERE hand_readings.hand_reading = late.hand_reading
RETURNING hand_readings.hand_reading;

-- name: registers_beside
-- What is known of a meter around a mark: two measured sweeps before it, those at it, the next one behind.
(SELECT due_at, profile_hash, group_index, started_at, read_at, quality, mantissas, gateway, epoch, seq
 FROM readings WHERE meter = %(meter)s AND due_at < %(mark)s AND aligned AND quality = 0
 ORDER BY due_at DESC LIMIT %(earlier)s)
UNION ALL
(SELECT due_at, profile_hash, group_index, started_at, read_at, quality, mantissas, gateway, epoch, seq
 FROM readings WHERE meter = %(meter)s AND due_at >= %(mark)s AND aligned AND quality = 0
 ORDER BY due_at LIMIT 2);


-- name: waiting_readings
SELECT site, min(entered_at) FROM hand_readings WHERE state = 'waiting' GROUP BY site ORDER BY site;
