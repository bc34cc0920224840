-- name: readings_due
-- Whatever was read of these meters for the marks from first to last, both included, with where it is sealed.
SELECT readings.meter, readings.profile_hash, readings.group_index, readings.started_at, readings.read_at,
    readings.quality, readings.mantissas, CASE WHEN readings.aligned THEN readings.due_at END,
    readings.gateway, readings.epoch, readings.seq, ledger.digest, coalesce(gateways.is_desk, false)
FROM readings JOIN ledger USING (gateway, epoch, seq) LEFT JOIN gateways USING (gateway)
WHERE readings.meter = ANY (%(meters)s) AND readings.due_at BETWEEN %(first)s AND %(last)s
ORDER BY readings.due_at, readings.meter, readings.gateway, readings.epoch, readings.seq;

-- name: envelope_octets
-- The ledger's received_at leads to the one chunk that holds the octets.
SELECT envelopes.gateway, envelopes.epoch, envelopes.seq, envelopes.octets
FROM unnest(%(gateways)s::text[], %(epochs)s::int[], %(seqs)s::bigint[]) AS wanted (gateway, epoch, seq)
JOIN ledger USING (gateway, epoch, seq)
JOIN envelopes USING (gateway, epoch, seq, received_at);

-- name: quarantined
SELECT reason, detail, proven, topic, gateway, epoch, seq, first_received_at, last_received_at, times, octets
FROM quarantine ORDER BY quarantined DESC LIMIT %(most)s;

-- name: alarms
SELECT kind, gateway, epoch, seq, raised_at, detail FROM alarms ORDER BY alarm DESC LIMIT %(most)s;

-- name: registers_at
-- What these meters showed at these marks, one row per meter, gateway and form of its readings. In no order: to sort is
-- a third of the work, and what an index gives is nearly always in order of mark anyway. As arrays in the binary form of
-- the wire, which is what they would be sent in; so they are read as a whole. Meter by meter, so that each stays small.
SELECT wanted.meter, shown.*
FROM unnest(%(meters)s::text[]) AS wanted (meter)
CROSS JOIN LATERAL (
    SELECT profile_hash, group_index, gateway, epoch,
        array_send(array_agg(due_at)), array_send(array_agg(seq)), array_send(array_agg(mantissas))
    FROM readings
    WHERE readings.meter = wanted.meter AND due_at = ANY (%(marks)s) AND aligned AND quality = 0
      AND cardinality(mantissas) > 0
    GROUP BY profile_hash, group_index, gateway, epoch, cardinality(mantissas)
) AS shown;

-- name: kept_digests
-- The digests of envelopes whose octets are kept, end to end in order of seq; an envelope that is not kept is left out.
SELECT ledger.gateway, ledger.epoch, array_agg(seq ORDER BY seq), string_agg(digest, ''::bytea ORDER BY seq)
FROM unnest(%(gateways)s::text[], %(epochs)s::int[], %(seqs)s::bigint[]) AS wanted (gateway, epoch, seq)
JOIN ledger USING (gateway, epoch, seq)
WHERE EXISTS (
    SELECT FROM envelopes
    WHERE envelopes.gateway = ledger.gateway AND envelopes.epoch = ledger.epoch AND envelopes.seq = ledger.seq
      AND envelopes.received_at = ledger.received_at
)
GROUP BY ledger.gateway, ledger.epoch;

-- name: registers_between
-- What these meters showed at the marks of a span, both ends included: a row for each mark and form, with the names of the
-- meters and, in the same order, their mantissas, each an array in the binary form of the wire. By mark, because that is how
-- readings lie on disk, so that each page is looked at once. All keys are plain columns: then groups are found by hash.
SELECT due_at, profile_hash, group_index, string_agg(meter, ','), string_agg(array_send(mantissas), ''::bytea)
FROM readings
WHERE meter = ANY (%(meters)s) AND due_at BETWEEN %(first)s AND %(last)s AND aligned AND quality = 0
  AND cardinality(mantissas) > 0
GROUP BY due_at, profile_hash, group_index;

-- name: read_alone
-- Until the end of the transaction: one process reads, the caller has other work for the other cores; groups stay in memory.
-- Nothing is read ahead: what is settled has just arrived, and pages that are in the cache cost a third less that way.
SELECT set_config('max_parallel_workers_per_gather', '0', true), set_config('work_mem', '64MB', true),
    set_config('effective_io_concurrency', '0', true);

-- name: measured_beyond
-- Which of these meters showed anything before, and which after a span.
SELECT wanted.meter,
    EXISTS (SELECT FROM readings WHERE readings.meter = wanted.meter AND due_at < %(first)s AND aligned AND quality = 0),
    EXISTS (SELECT FROM readings WHERE readings.meter = wanted.meter AND due_at > %(last)s AND aligned AND quality = 0)
FROM unnest(%(meters)s::text[]) AS wanted (meter);
