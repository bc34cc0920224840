-- The whole database of the central service, on one page.
--
-- Times are instants (UTC inside); a `day` of settled_days is a local day of the site. Energy is integer Wh, money
-- integer minor units. `envelopes` and `readings` become hypertables where TimescaleDB is present (hypertables.sql), and
-- are partitioned by month elsewhere (partitions.sql); they carry no unique index, because `ledger` decides what is new.

-- 1. Who may speak, and for which meters ------------------------------------------------------------------------

CREATE TABLE install_orders (
    install_order text PRIMARY KEY,
    site text NOT NULL,
    gateway text NOT NULL,
    engineer text NOT NULL,
    claim_hash bytea NOT NULL UNIQUE CHECK (octet_length(claim_hash) = 32),
    ordered_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > ordered_at),
    burned_at timestamptz,
    burned_by bytea,
    order_file bytea,
    voucher_hash bytea CHECK (octet_length(voucher_hash) = 32),
    planned text[],
    claim_key bytea UNIQUE CHECK (octet_length(claim_key) = 32),
    CHECK ((burned_at IS NULL) = (burned_by IS NULL))
);
COMMENT ON TABLE install_orders IS 'Leave for one gateway to enrol once; only the hash of its claim is kept.';
COMMENT ON COLUMN install_orders.order_file IS
    'What the engineer takes along: voucher and plan, signed by the centre; without the claim.';
COMMENT ON COLUMN install_orders.voucher_hash IS 'SHA-256 of the voucher: what the first installation event names.';
COMMENT ON COLUMN install_orders.planned IS 'The meters of the plan, which stands in order_file.';
COMMENT ON COLUMN install_orders.claim_key IS 'Public half of the key that is made of the claim: a bundle proves it.';

CREATE TABLE gateways (
    gateway text PRIMARY KEY,
    site text NOT NULL,
    epoch integer NOT NULL CHECK (epoch >= 1),
    enrolled_at timestamptz NOT NULL,
    is_desk boolean NOT NULL DEFAULT false
);
COMMENT ON COLUMN gateways.epoch IS
    'The newest enrolled epoch; envelopes of earlier ones are still accepted under their own key.';
COMMENT ON COLUMN gateways.is_desk IS
    'Not a machine: the chain of a site in which the centre seals what people read.';

CREATE TABLE gateway_keys (
    gateway text NOT NULL REFERENCES gateways,
    epoch integer NOT NULL CHECK (epoch >= 1),
    key_id bytea NOT NULL,
    algorithm smallint NOT NULL,
    public_key bytea NOT NULL,
    bundle_hash bytea NOT NULL CHECK (octet_length(bundle_hash) = 32),
    enrolled_at timestamptz NOT NULL,
    key_level text,
    last_seq bigint CHECK (last_seq >= 0),
    rolled_by bytea CHECK (octet_length(rolled_by) = 32),
    PRIMARY KEY (gateway, epoch)
);
COMMENT ON TABLE gateway_keys IS
    'The one key that signs for a gateway in an epoch. algorithm: COSE number (-8 Ed25519, -7 ES256).';
COMMENT ON COLUMN gateway_keys.bundle_hash IS
    'SHA-256 of the enrolment bundle: what the envelope with seq 1 may name as its predecessor.';
COMMENT ON COLUMN gateway_keys.key_level IS
    'Where the gateway says that its private key is kept (file, token); NULL: it did not say.';
COMMENT ON COLUMN gateway_keys.last_seq IS
    'Last seq that this key may sign: it has handed over to another, by the statement with SHA-256 rolled_by. NULL: it has '
    'not.';

CREATE TABLE gateway_certificates (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    gateway text NOT NULL,
    epoch integer NOT NULL CHECK (epoch >= 1),
    serial text NOT NULL UNIQUE,
    csr_digest bytea NOT NULL CHECK (octet_length(csr_digest) = 32),
    chain bytea[] NOT NULL,
    issued_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > issued_at),
    renews bytea REFERENCES gateway_certificates,
    UNIQUE (gateway, csr_digest)
);
CREATE INDEX gateway_certificates_by_renewed ON gateway_certificates (renews);
COMMENT ON TABLE gateway_certificates IS
    'TLS certificates that the issuing authority gave (chain: DER, its own first). One request gets one certificate, however '
    'often it comes. renews: the one before; two that renew the same one are a copy of the card. Those of a revoked epoch are '
    'revoked.';

CREATE TABLE site_versions (
    site text NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    document jsonb NOT NULL,
    rules jsonb,
    imported_at timestamptz NOT NULL,
    site_hash bytea CHECK (octet_length(site_hash) = 32),
    PRIMARY KEY (site, version)
);
COMMENT ON TABLE site_versions IS
    'Every imported site, whole; the highest version is in force. hash covers document and rules.';
COMMENT ON COLUMN site_versions.site_hash IS
    'Hash of the site as imported, where names were taken out of the document since; NULL: that of the document.';

CREATE TABLE revocations (
    gateway text NOT NULL,
    epoch integer NOT NULL CHECK (epoch >= 1),
    revoked_at timestamptz NOT NULL,
    revoked_by text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (gateway, epoch)
);
COMMENT ON TABLE revocations IS
    'Epochs whose keys count no more, for good: what they sign goes to quarantine from revoked_at on. A new order gives the '
    'gateway a new epoch.';

CREATE TABLE claim_misuses (
    install_order text NOT NULL REFERENCES install_orders,
    bundle_hash bytea NOT NULL CHECK (octet_length(bundle_hash) = 32),
    reason text NOT NULL,
    gateway text NOT NULL,
    key_id bytea NOT NULL,
    address text NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    times bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (install_order, bundle_hash)
);
COMMENT ON TABLE claim_misuses IS
    'Rightful claims that were presented again by another key, for another gateway, or too late: somebody else had the claim.';

CREATE TABLE grants (
    gateway text NOT NULL,
    epoch integer NOT NULL,
    octets bytea NOT NULL,
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (gateway, epoch),
    FOREIGN KEY (gateway, epoch) REFERENCES gateway_keys
);
COMMENT ON TABLE grants IS 'The centre''s signed answer to the enrolment bundle of an epoch, given again as often as asked.';

CREATE TABLE installation_events (
    event text PRIMARY KEY,
    gateway text NOT NULL,
    epoch integer NOT NULL,
    number integer NOT NULL CHECK (number >= 1),
    site text NOT NULL,
    kind text NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    octets bytea NOT NULL,
    done_at timestamptz NOT NULL,
    done_by text NOT NULL CHECK (done_by <> ''),
    device text NOT NULL,
    meters text[] NOT NULL,
    nodes text[] NOT NULL,
    received_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('applied', 'held')),
    reason text NOT NULL DEFAULT '',
    site_version integer,
    UNIQUE (gateway, epoch, number),
    FOREIGN KEY (gateway, epoch) REFERENCES gateway_keys,
    CHECK ((state = 'held') = (reason <> '')),
    CHECK (state = 'held' OR site_version IS NOT NULL)
);
CREATE INDEX installation_events_by_site ON installation_events (site, done_at);
COMMENT ON TABLE installation_events IS
    'Every act that a gateway signed about its installation, as it came (octets). Applied: it made site_version; held: it '
    'does not fit the site, for the reason given, and is tried again whenever the site changes.';

CREATE TABLE bindings (
    binding text PRIMARY KEY REFERENCES installation_events,
    site text NOT NULL,
    kind text NOT NULL,
    meter text,
    serial text,
    node text NOT NULL,
    unit text,
    begins_at timestamptz NOT NULL,
    ends_at timestamptz CHECK (ends_at > begins_at),
    done_by text NOT NULL,
    state text NOT NULL CHECK (state IN ('held', 'pending', 'approved', 'refused', 'superseded')),
    decided_by text,
    decided_at timestamptz,
    decision text NOT NULL DEFAULT '',
    CHECK ((meter IS NULL) = (serial IS NULL)),
    CHECK ((state IN ('approved', 'refused')) = (decided_by IS NOT NULL) OR state = 'superseded'),
    CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    CHECK (state <> 'refused' OR decision <> ''),
    CHECK (lower(btrim(decided_by)) <> lower(btrim(done_by))),
    -- A text is compared by its hash, as a range of one number, so that no extension is needed: two texts with one hash
    -- would be refused, never let through.
    CONSTRAINT bindings_one_per_meter EXCLUDE USING gist (
        int8range(hashtextextended(site || '/' || meter, 1) >> 1, hashtextextended(site || '/' || meter, 1) >> 1, '[]')
            WITH &&,
        tstzrange(begins_at, ends_at) WITH &&
    ) WHERE (state IN ('pending', 'approved') AND meter IS NOT NULL),
    CONSTRAINT bindings_one_per_serial EXCLUDE USING gist (
        int8range(hashtextextended(site || '/' || serial, 2) >> 1, hashtextextended(site || '/' || serial, 2) >> 1, '[]')
            WITH &&,
        tstzrange(begins_at, ends_at) WITH &&
    ) WHERE (state IN ('pending', 'approved') AND meter IS NOT NULL),
    CONSTRAINT bindings_one_per_node EXCLUDE USING gist (
        int8range(hashtextextended(site || '/' || node, 3) >> 1, hashtextextended(site || '/' || node, 3) >> 1, '[]')
            WITH &&,
        tstzrange(begins_at, ends_at) WITH &&
    ) WHERE (state IN ('pending', 'approved') AND meter IS NOT NULL)
);
CREATE INDEX bindings_by_site ON bindings (site, state);
COMMENT ON TABLE bindings IS
    'Acts that change what money rests on: a meter at a node (meter, serial), or a node that moved or lost its meter '
    '(both NULL). Provisional until a second person approves; one active binding per meter, serial and node at a time.';

-- 2. What arrived ----------------------------------------------------------------------------------------------

CREATE TABLE ledger (
    gateway text NOT NULL,
    epoch integer NOT NULL,
    seq bigint NOT NULL CHECK (seq >= 1),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    previous_hash bytea NOT NULL CHECK (octet_length(previous_hash) = 32),
    received_at timestamptz NOT NULL,
    refused text,
    PRIMARY KEY (gateway, epoch, seq)
);
COMMENT ON TABLE ledger IS 'One row per signed envelope: the only judge of what is new.';
COMMENT ON COLUMN ledger.refused IS
    'Reason why a rightly signed envelope stands in quarantine instead of in the books; the chain runs on '
    'across it.';

CREATE TABLE chain_heads (
    gateway text NOT NULL,
    epoch integer NOT NULL,
    contiguous_seq bigint NOT NULL,
    head_hash bytea NOT NULL CHECK (octet_length(head_hash) = 32),
    highest_seq bigint NOT NULL,
    newest_mark timestamptz,
    envelopes bigint NOT NULL DEFAULT 0,
    repeats bigint NOT NULL DEFAULT 0,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (gateway, epoch)
);
COMMENT ON TABLE chain_heads IS
    'Up to which seq an epoch is complete, and what came last; a gap is open while highest_seq > contiguous_seq.';

CREATE TABLE lost_batches (
    gateway text NOT NULL,
    epoch integer NOT NULL,
    first_seq bigint NOT NULL CHECK (first_seq >= 1),
    last_seq bigint NOT NULL,
    last_digest bytea NOT NULL CHECK (octet_length(last_digest) = 32),
    cause text NOT NULL,
    first_mark timestamptz,
    last_mark timestamptz,
    received_at timestamptz NOT NULL,
    octets bytea NOT NULL,
    PRIMARY KEY (gateway, epoch, last_seq, first_seq),
    CHECK (last_seq >= first_seq)
);
COMMENT ON TABLE lost_batches IS
    'Runs of envelopes that their gateway has told as lost, under its signature (octets); the chain runs on across '
    'them. What turned up all the same is in the ledger.';

CREATE TABLE clock_anchors (
    gateway text NOT NULL,
    epoch integer NOT NULL,
    seq bigint NOT NULL,
    boot bytea NOT NULL CHECK (octet_length(boot) = 16),
    since_boot_ms bigint NOT NULL,
    instant timestamptz NOT NULL,
    error_ms bigint NOT NULL CHECK (error_ms >= 0),
    source text NOT NULL,
    PRIMARY KEY (gateway, epoch, seq, since_boot_ms)
);
COMMENT ON TABLE clock_anchors IS
    'At since_boot_ms of a boot it was instant, give or take error_ms: what was sealed in that boot while its clock was '
    'unknown is dated by it.';

CREATE TABLE undated_envelopes (
    gateway text NOT NULL,
    epoch integer NOT NULL,
    seq bigint NOT NULL,
    boot bytea NOT NULL CHECK (octet_length(boot) = 16),
    dated_by bigint,
    PRIMARY KEY (gateway, epoch, seq)
);
CREATE INDEX undated_by_boot ON undated_envelopes (gateway, epoch, boot) WHERE dated_by IS NULL;
COMMENT ON TABLE undated_envelopes IS
    'Envelopes that count their time from a boot. Their readings enter readings with the first anchor of that boot, whose '
    'seq is dated_by.';

CREATE TABLE meter_serials (
    gateway text NOT NULL,
    epoch integer NOT NULL,
    seq bigint NOT NULL,
    meter text NOT NULL,
    serial text NOT NULL,
    read_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'fits', 'past', 'gone')),
    PRIMARY KEY (gateway, epoch, seq, meter)
);
CREATE INDEX meter_serials_by_meter ON meter_serials (meter, read_at);
CREATE INDEX meter_serials_open ON meter_serials (gateway) WHERE state = 'open';
COMMENT ON TABLE meter_serials IS
    'Which serial number a meter told over the bus: the first time, and whenever it was another. An exchange that nobody '
    'declared shows here.';
COMMENT ON COLUMN meter_serials.state IS
    'open: not compared with the site yet, or it differs. fits: as the site says. past: another came after it. gone: of a '
    'meter that the site does not have at this gateway (any more).';

CREATE TABLE settings_orders (
    gateway text NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    epoch integer NOT NULL,
    octets bytea NOT NULL,
    ordered_by text NOT NULL CHECK (ordered_by <> ''),
    ordered_at timestamptz NOT NULL,
    ask_at timestamptz NOT NULL,
    times integer NOT NULL DEFAULT 0,
    outcome text CHECK (outcome IN ('applied', 'rolled-back', 'refused')),
    reason text NOT NULL DEFAULT '',
    reported_at timestamptz,
    PRIMARY KEY (gateway, version),
    CHECK ((outcome IS NULL) = (reported_at IS NULL))
);
COMMENT ON TABLE settings_orders IS
    'Settings that a person ordered for a gateway, signed (octets). The newest is sent again and again until the gateway '
    'has reported what became of it.';

CREATE TABLE envelopes (
    gateway text NOT NULL,
    epoch integer NOT NULL,
    seq bigint NOT NULL,
    received_at timestamptz NOT NULL,
    octets bytea NOT NULL
);
ALTER TABLE envelopes ALTER COLUMN octets SET STORAGE EXTERNAL;
CREATE INDEX envelopes_by_seq ON envelopes (gateway, epoch, seq);
COMMENT ON TABLE envelopes IS
    'The sealed octets as received: the evidence behind every reading. received_at equals that of the ledger row.';

CREATE TABLE readings (
    meter text NOT NULL,
    due_at timestamptz NOT NULL,
    aligned boolean NOT NULL,
    started_at timestamptz NOT NULL,
    read_at timestamptz NOT NULL,
    quality smallint NOT NULL,
    profile_hash bytea NOT NULL,
    group_index smallint NOT NULL,
    mantissas bigint[] NOT NULL,
    gateway text NOT NULL,
    epoch integer NOT NULL,
    seq bigint NOT NULL
);
CREATE INDEX readings_by_meter ON readings (meter, due_at);
COMMENT ON TABLE readings IS
    'One row per meter and sweep, as the meter showed it; profile_hash and group_index bind the order of '
    'mantissas.';
COMMENT ON COLUMN readings.read_at IS
    'Last octet of the answer; started_at: first octet of the request (gateway clock).';
COMMENT ON COLUMN readings.due_at IS 'The quarter hour the sweep was aligned to; for an unaligned sweep read_at.';

CREATE TABLE photos (
    photo bytea PRIMARY KEY CHECK (octet_length(photo) = 32),
    media text NOT NULL CHECK (media IN ('image/jpeg', 'image/png')),
    width integer NOT NULL CHECK (width > 0),
    height integer NOT NULL CHECK (height > 0),
    put_at timestamptz NOT NULL,
    put_by text NOT NULL,
    octets bytea NOT NULL
);
ALTER TABLE photos ALTER COLUMN octets SET STORAGE EXTERNAL;
COMMENT ON TABLE photos IS
    'Pictures by the SHA-256 of their octets, without anything that a telephone writes beside them.';

CREATE TABLE hand_readings (
    hand_reading bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site text NOT NULL,
    meter text NOT NULL,
    obis text NOT NULL,
    shown text NOT NULL,
    register bigint NOT NULL,
    read_at timestamptz NOT NULL,
    mark timestamptz NOT NULL,
    source text NOT NULL CHECK (source IN ('typed', 'photo')),
    photo bytea REFERENCES photos,
    seen text,
    confidence_pm integer CHECK (confidence_pm BETWEEN 0 AND 1000),
    reader text NOT NULL CHECK (reader <> ''),
    reader_salt bytea CHECK (octet_length(reader_salt) = 16),
    entered_at timestamptz NOT NULL,
    entered_by text NOT NULL CHECK (entered_by <> ''),
    state text NOT NULL CHECK (state IN ('waiting', 'counted', 'kept', 'refused', 'withdrawn', 'yielded')),
    doubts text[] NOT NULL DEFAULT '{}',
    decided_by text CHECK (decided_by <> ''),
    decided_at timestamptz,
    reason text NOT NULL DEFAULT '',
    gateway text,
    epoch integer,
    seq bigint,
    CHECK (source <> 'photo' OR photo IS NOT NULL),
    CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    CHECK ((gateway IS NULL) = (epoch IS NULL) AND (epoch IS NULL) = (seq IS NULL)),
    CONSTRAINT hand_readings_sealed CHECK (state NOT IN ('counted', 'withdrawn', 'yielded') OR seq IS NOT NULL),
    CONSTRAINT hand_readings_second_person CHECK (
        state NOT IN ('counted', 'kept', 'refused') OR doubts = '{}'
        OR (decided_by IS NOT NULL AND lower(decided_by) NOT IN (lower(reader), lower(entered_by)))
    )
);
CREATE UNIQUE INDEX hand_readings_counted ON hand_readings (meter, obis, mark) WHERE state = 'counted';
CREATE UNIQUE INDEX hand_readings_sealed_at ON hand_readings (gateway, epoch, seq);
CREATE INDEX hand_readings_by_meter ON hand_readings (meter, mark);
CREATE INDEX hand_readings_waiting ON hand_readings (site) WHERE state = 'waiting';
CREATE INDEX hand_readings_by_photo ON hand_readings (photo);
COMMENT ON TABLE hand_readings IS
    'Registers that people read off displays. What counts is sealed (gateway, epoch, seq) and stands in readings as any '
    'other; what does not fit waits for a second person.';
COMMENT ON COLUMN hand_readings.register IS 'In base units, before CT and PT; shown: as it was written down.';
COMMENT ON COLUMN hand_readings.state IS
    'kept: beside a reading of the bus, as a check. yielded: the bus''s own reading of that mark came later and counts.';
COMMENT ON COLUMN hand_readings.reader_salt IS
    'With the reader''s name, what names him in the sealed reading. NULL once he is erased.';

CREATE TABLE quarantine (
    quarantined bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    reason text NOT NULL,
    detail text NOT NULL,
    proven boolean NOT NULL,
    topic text NOT NULL,
    gateway text,
    epoch integer,
    seq bigint,
    octets bytea NOT NULL,
    first_received_at timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL,
    times bigint NOT NULL DEFAULT 1,
    UNIQUE (digest, reason, topic)
);
CREATE INDEX quarantine_by_seq ON quarantine (gateway, epoch, seq) WHERE proven;
CREATE INDEX quarantine_unproven ON quarantine (quarantined) WHERE NOT proven;
CREATE INDEX quarantine_by_arrival ON quarantine (first_received_at);
COMMENT ON TABLE quarantine IS 'What could not be accepted, with the reason; a repeat is counted, not stored again.';
COMMENT ON COLUMN quarantine.proven IS
    'Whether the signature held, so that gateway, epoch and seq are more than a claim.';

CREATE TABLE alarms (
    alarm bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    raised_at timestamptz NOT NULL,
    kind text NOT NULL,
    gateway text,
    epoch integer,
    seq bigint,
    detail jsonb NOT NULL,
    UNIQUE NULLS NOT DISTINCT (kind, gateway, epoch, seq)
);
COMMENT ON TABLE alarms IS
    'What a person must look at, e.g. equivocation: two contents under one seq, the mark of a cloned gateway.';

CREATE TABLE alerts (
    alert bigint PRIMARY KEY,
    kind text NOT NULL,
    scope text NOT NULL CHECK (scope IN ('gateway', 'site', 'fleet', 'service', 'node')),
    subject text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('warning', 'critical')),
    opened_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    closed_at timestamptz,
    times integer NOT NULL DEFAULT 1 CHECK (times >= 1),
    detail jsonb NOT NULL,
    acknowledged_at timestamptz,
    acknowledged_by text CHECK (acknowledged_by <> ''),
    note text NOT NULL DEFAULT '',
    change bigint NOT NULL,
    CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
);
CREATE UNIQUE INDEX alerts_open ON alerts (kind, scope, subject) WHERE closed_at IS NULL;
CREATE UNIQUE INDEX alerts_by_change ON alerts (change);
CREATE INDEX alerts_by_subject ON alerts (scope, subject);
COMMENT ON TABLE alerts IS
    'What an operator must know of: one row from the opening of a cause to its closing, never two open ones of one cause.';
COMMENT ON COLUMN alerts.seen_at IS 'When a look last found the cause. times: how often it was opened, again within the hour.';
COMMENT ON COLUMN alerts.change IS
    'Rises over all rows with every opening, closing and acknowledgement; programs pull what is above the last they saw.';

-- 3. What was made of it ---------------------------------------------------------------------------------------

CREATE TABLE unsettled_days (
    meter text NOT NULL,
    day date NOT NULL,
    arrivals bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (meter, day)
);
COMMENT ON TABLE unsettled_days IS
    'UTC days of due_at with readings that came after the last settlement. A settlement deletes a row only if '
    'arrivals is still what it saw.';

COMMENT ON COLUMN unsettled_days.since IS 'When the first of the readings that wait arrived (the database''s clock).';

CREATE TABLE settled_days (
    site text NOT NULL,
    node text NOT NULL,
    obis text NOT NULL,
    day date NOT NULL,
    energy bigint[] NOT NULL,
    quality smallint[] NOT NULL,
    exceptions jsonb NOT NULL DEFAULT '[]',
    inputs_hash bytea NOT NULL CHECK (octet_length(inputs_hash) = 32),
    settled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, node, obis, day),
    CHECK (cardinality(energy) = cardinality(quality))
);
CREATE INDEX settled_days_odd ON settled_days (day) WHERE exceptions <> '[]';
COMMENT ON TABLE settled_days IS
    'Energy of a node by slot of 15 minutes [Wh], one row per local day: 96 slots, or 92 and 100 when clocks '
    'change.';

CREATE TABLE allocation_runs (
    run text PRIMARY KEY,
    site text NOT NULL,
    period text NOT NULL,
    state text NOT NULL,
    booked_at timestamptz NOT NULL,
    site_version integer NOT NULL,
    inputs_hash bytea NOT NULL CHECK (octet_length(inputs_hash) = 32),
    engine_version text NOT NULL,
    document jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    steps integer NOT NULL DEFAULT 1,
    computed_by text NOT NULL DEFAULT 'unrecorded',
    checked_by text,
    approved_by text,
    unexplained integer NOT NULL DEFAULT 0,
    FOREIGN KEY (site, site_version) REFERENCES site_versions,
    CONSTRAINT allocation_runs_checked CHECK (
        state NOT IN ('checked', 'approved', 'published') OR checked_by IS NOT NULL
    ),
    CONSTRAINT allocation_runs_approved CHECK (state NOT IN ('approved', 'published') OR approved_by IS NOT NULL),
    CONSTRAINT allocation_runs_second_person CHECK (
        approved_by IS NULL
        OR (checked_by IS NOT NULL AND lower(approved_by) NOT IN (lower(checked_by), lower(computed_by)))
    ),
    CONSTRAINT allocation_runs_explained CHECK (state NOT IN ('approved', 'published') OR unexplained = 0)
);
CREATE INDEX allocation_runs_by_period ON allocation_runs (site, period, created_at);
CREATE UNIQUE INDEX allocation_runs_published ON allocation_runs (site, period) WHERE state = 'published';
COMMENT ON TABLE allocation_runs IS
    'Immutable but for its state; run is the SHA-256 of inputs, rules and engine version, in hex. A correction is '
    'another run.';
COMMENT ON COLUMN allocation_runs.unexplained IS 'Cases and failed checks without a reason in run_reasons.';

CREATE TABLE run_transitions (
    run text NOT NULL REFERENCES allocation_runs,
    step integer NOT NULL CHECK (step >= 1),
    previous_step integer GENERATED ALWAYS AS (NULLIF(step, 1) - 1) STORED,
    from_state text,
    to_state text NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    reason text NOT NULL,
    acted_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (run, step),
    UNIQUE (run, step, to_state),
    FOREIGN KEY (run, previous_step, from_state) REFERENCES run_transitions (run, step, to_state),
    CONSTRAINT run_transitions_first CHECK ((from_state IS NULL) = (step = 1)),
    CONSTRAINT run_transitions_allowed CHECK (
        (from_state IS NULL AND to_state IN ('draft', 'computed'))
        OR (from_state, to_state) IN (
            ('draft', 'computed'), ('computed', 'checked'), ('checked', 'approved'), ('approved', 'published'),
            ('draft', 'superseded'), ('computed', 'superseded'), ('checked', 'superseded'),
            ('approved', 'superseded'), ('published', 'superseded'), ('superseded', 'computed')
        )
    )
);
COMMENT ON TABLE run_transitions IS
    'Who moved a run from where to where, when and why; only ever added to. Each step takes up the one before it.';
COMMENT ON COLUMN run_transitions.acted_at IS 'When the actor says it happened; recorded_at: when it was entered.';

CREATE TABLE run_reasons (
    run text NOT NULL REFERENCES allocation_runs,
    subject text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    actor text NOT NULL CHECK (actor <> ''),
    acted_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (run, subject)
);
COMMENT ON TABLE run_reasons IS 'Why a case or a failed check of a run does not stand in the way of its approval.';

ALTER TABLE allocation_runs
    ADD CONSTRAINT allocation_runs_logged FOREIGN KEY (run, steps, state)
        REFERENCES run_transitions (run, step, to_state) DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE run_slots (
    run text NOT NULL REFERENCES allocation_runs,
    node text NOT NULL,
    imported bytea,
    exported bytea,
    quality bytea,
    PRIMARY KEY (run, node)
);
ALTER TABLE run_slots
    ALTER COLUMN imported SET STORAGE EXTERNAL,
    ALTER COLUMN exported SET STORAGE EXTERNAL,
    ALTER COLUMN quality SET STORAGE EXTERNAL;
COMMENT ON TABLE run_slots IS
    'The energy a run was computed from, so that it can be computed again when readings have changed since: by slot, as '
    'little-endian numbers of as many octets as the first octet says; NULL where all are 0. Before: zlib over int64, '
    'quality over one octet a slot.';

CREATE TABLE publications (
    publication bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text NOT NULL REFERENCES allocation_runs,
    published_at timestamptz NOT NULL,
    octets bytea NOT NULL
);
CREATE INDEX publications_by_run ON publications (run, publication);
COMMENT ON TABLE publications IS
    'The signed word of the centre that a run is final. It goes out with each statement of the run.';

CREATE TABLE correction_lines (
    run text NOT NULL REFERENCES allocation_runs,
    corrects text NOT NULL REFERENCES allocation_runs CHECK (corrects <> run),
    line text NOT NULL,
    pool text NOT NULL,
    party text NOT NULL,
    unit text,
    before_minor bigint NOT NULL,
    after_minor bigint NOT NULL,
    delta_minor bigint NOT NULL CHECK (delta_minor <> 0 AND delta_minor = after_minor - before_minor),
    causes jsonb NOT NULL,
    publication bigint NOT NULL REFERENCES publications,
    PRIMARY KEY (publication, line)
);
CREATE INDEX correction_lines_by_run ON correction_lines (run, party);
COMMENT ON TABLE correction_lines IS
    'What publishing a run changes of the published run it supersedes, line by line, on the same period.';

CREATE TABLE feed_entries (
    position bigint PRIMARY KEY CHECK (position >= 1),
    publication bigint NOT NULL UNIQUE REFERENCES publications,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    run text NOT NULL REFERENCES allocation_runs,
    corrects text REFERENCES allocation_runs CHECK (corrects <> run),
    site text NOT NULL,
    period text NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
    currency text NOT NULL,
    units text[] NOT NULL,
    lines integer NOT NULL CHECK (lines >= 0),
    published_at timestamptz NOT NULL
);
CREATE INDEX feed_entries_by_site ON feed_entries (site, position);
COMMENT ON TABLE feed_entries IS
    'Publications in the order in which they were committed, without gap: what billing reads. corrects: the run whose lines '
    'these are the differences to; NULL: the first run of its period, whose lines count whole.';
COMMENT ON COLUMN feed_entries.digest IS
    'SHA-256 of the publication: names the entry wherever its database is restored.';
COMMENT ON COLUMN feed_entries.units IS 'Base unit of the amounts of each band of the run: Wh, mL or kJ.';

CREATE TABLE release_exclusions (
    site text NOT NULL,
    version integer NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (site, version, subject),
    FOREIGN KEY (site, version) REFERENCES site_versions
);
COMMENT ON TABLE release_exclusions IS
    'Records that the rules of a site version miss, and that were left out by name when it was released.';

CREATE TABLE rule_drafts (
    draft bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site text NOT NULL,
    title text NOT NULL CHECK (title <> ''),
    base_version integer NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'handed-in', 'released', 'withdrawn')),
    revision integer NOT NULL DEFAULT 1 CHECK (revision >= 1),
    changes jsonb NOT NULL,
    authors text[] NOT NULL CHECK (cardinality(authors) >= 1),
    begun_at timestamptz NOT NULL,
    saved_by text NOT NULL,
    saved_at timestamptz NOT NULL,
    note text NOT NULL DEFAULT '',
    ended_by text,
    ended_at timestamptz,
    released_version integer,
    FOREIGN KEY (site, base_version) REFERENCES site_versions (site, version),
    FOREIGN KEY (site, released_version) REFERENCES site_versions (site, version),
    CONSTRAINT rule_drafts_ended CHECK (
        (state IN ('released', 'withdrawn')) = (ended_by IS NOT NULL AND ended_at IS NOT NULL)
    ),
    CONSTRAINT rule_drafts_released CHECK ((state = 'released') = (released_version IS NOT NULL)),
    CONSTRAINT rule_drafts_second_person CHECK (state <> 'released' OR NOT lower(btrim(ended_by)) = ANY (authors))
);
CREATE INDEX rule_drafts_by_site ON rule_drafts (site, draft);
COMMENT ON TABLE rule_drafts IS
    'What somebody wants to change in the rules (and leases) of a site: parts as they were and as they are to be. Nothing '
    'is computed by a draft until somebody who wrote none of it has released it as a new version of the site.';
COMMENT ON COLUMN rule_drafts.authors IS 'Everybody who saved a revision, in lower case and trimmed.';

CREATE TABLE run_changes (
    run text NOT NULL REFERENCES allocation_runs,
    node text NOT NULL,
    obis text NOT NULL,
    day date NOT NULL,
    was_digest bytea CHECK (octet_length(was_digest) = 32),
    was_wh bigint,
    now_digest bytea CHECK (octet_length(now_digest) = 32),
    now_wh bigint,
    times integer NOT NULL DEFAULT 0,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (run, node, obis, day)
);
COMMENT ON TABLE run_changes IS
    'Settled days that are no longer what a run was computed from: energy [Wh] and SHA-256 of the whole day then and now, '
    'NULL where it was not or is not settled. A day that becomes again what it was has no row.';

CREATE TABLE run_lines (
    run text NOT NULL REFERENCES allocation_runs,
    line integer NOT NULL,
    pool text NOT NULL,
    party text NOT NULL,
    unit text,
    energy jsonb NOT NULL,
    amount_minor bigint NOT NULL,
    trace jsonb NOT NULL,
    kind text,
    PRIMARY KEY (run, line)
);
CREATE INDEX run_lines_by_party ON run_lines (run, party);
COMMENT ON COLUMN run_lines.energy IS 'Wh per tariff band.';
COMMENT ON COLUMN run_lines.kind IS
    'LineKind; NULL for runs that keep their lines in the document too.';

CREATE TABLE statements (
    number text PRIMARY KEY,
    run text NOT NULL REFERENCES allocation_runs,
    party text NOT NULL,
    token_hash bytea UNIQUE CHECK (octet_length(token_hash) = 32),
    octets bytea NOT NULL,
    bundle bytea,
    issued_at timestamptz NOT NULL,
    proof bytea,
    link_issue integer NOT NULL DEFAULT 0 CHECK (link_issue >= 0),
    link_expires_at timestamptz,
    UNIQUE (run, party),
    CONSTRAINT statements_provable CHECK ((proof IS NULL) <> (bundle IS NULL)),
    CONSTRAINT statements_linked CHECK ((token_hash IS NULL) = (link_expires_at IS NULL))
);
ALTER TABLE statements
    ALTER COLUMN octets SET STORAGE EXTERNAL,
    ALTER COLUMN proof SET STORAGE EXTERNAL;
COMMENT ON TABLE statements IS
    'octets: the signed statement. proof: that its lines are in the commitment of the run; the file a stranger verifies '
    'is these two with the envelopes they name. bundle: that file, of statements from before. token_hash: opens the '
    'page without a login.';
COMMENT ON COLUMN statements.link_issue IS
    'How often a link was made. The token of an issue follows from it and the centre''s salt key; none but the newest opens.';

CREATE TABLE statement_states (
    statement text NOT NULL REFERENCES statements,
    step integer NOT NULL CHECK (step >= 1),
    previous_step integer GENERATED ALWAYS AS (NULLIF(step, 1) - 1) STORED,
    from_state text,
    to_state text NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    acted_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (statement, step),
    UNIQUE (statement, step, to_state),
    FOREIGN KEY (statement, previous_step, from_state) REFERENCES statement_states (statement, step, to_state),
    CONSTRAINT statement_states_first CHECK ((from_state IS NULL) = (step = 1)),
    CONSTRAINT statement_states_allowed CHECK (
        (from_state IS NULL AND to_state = 'issued')
        OR (from_state, to_state) IN (
            ('issued', 'seen'), ('issued', 'confirmed'), ('issued', 'disputed'),
            ('seen', 'confirmed'), ('seen', 'disputed'),
            ('disputed', 'disputed'), ('disputed', 'confirmed'), ('disputed', 'upheld'),
            ('confirmed', 'upheld'),
            ('upheld', 'upheld'), ('upheld', 'confirmed'), ('upheld', 'disputed'),
            ('issued', 'superseded'), ('seen', 'superseded'), ('disputed', 'superseded'),
            ('confirmed', 'superseded'), ('upheld', 'superseded'), ('superseded', 'issued')
        )
    )
);
COMMENT ON TABLE statement_states IS
    'What became of a statement since its run was published; only ever added to. Each step takes up the one before it. Of '
    'a statement whose run was never published there is no row.';

CREATE TABLE disputes (
    dispute bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    statement text NOT NULL REFERENCES statements,
    line text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    photo bytea REFERENCES photos,
    raised_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'upheld', 'recomputed')),
    answer text CHECK (answer <> ''),
    answered_by text,
    answered_at timestamptz,
    CONSTRAINT disputes_once UNIQUE (statement, line),
    CONSTRAINT disputes_answered CHECK (
        (state = 'open') = (answer IS NULL)
        AND (answer IS NULL) = (answered_by IS NULL) AND (answer IS NULL) = (answered_at IS NULL)
    )
);
CREATE INDEX disputes_open ON disputes (raised_at) WHERE state = 'open';
CREATE INDEX disputes_by_photo ON disputes (photo);
COMMENT ON TABLE disputes IS
    'What a tenant does not accept of a statement, and the answer. An open one, and one that is recomputed, keeps its line '
    'out of every charge. Reasons and photos are a tenant''s own words: personal.';
COMMENT ON COLUMN disputes.line IS 'Id of a line; empty: the whole statement.';
COMMENT ON COLUMN disputes.state IS
    'upheld: the line stands as stated. recomputed: it is computed anew, and a later statement supersedes this one.';

CREATE TABLE charges (
    charge text PRIMARY KEY,
    place bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    statement text NOT NULL REFERENCES statements,
    site text NOT NULL,
    period text NOT NULL,
    party text NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL CHECK (length(currency) = 3),
    created_at timestamptz NOT NULL,
    invoice text CHECK (invoice <> ''),
    acknowledged_at timestamptz,
    acknowledged_by text,
    CONSTRAINT charges_acknowledged CHECK (
        (invoice IS NULL) = (acknowledged_at IS NULL) AND (invoice IS NULL) = (acknowledged_by IS NULL)
    )
);
CREATE INDEX charges_by_statement ON charges (statement);
CREATE INDEX charges_by_period ON charges (site, period, party);
COMMENT ON TABLE charges IS
    'Money that a confirmed statement makes billable, once. invoice: the number under which billing took it over.';

CREATE TABLE charge_lines (
    statement text NOT NULL REFERENCES statements,
    line text NOT NULL,
    charge text NOT NULL REFERENCES charges,
    stated_minor bigint NOT NULL,
    before_minor bigint NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor = stated_minor - before_minor),
    CONSTRAINT charge_lines_once PRIMARY KEY (statement, line)
);
CREATE INDEX charge_lines_by_charge ON charge_lines (charge);
COMMENT ON TABLE charge_lines IS
    'Lines of charges: what the statement says, what earlier charges of the same period hold of the same line, and the '
    'difference, which is charged. So all charges of a party and period add up to what was confirmed last.';

CREATE TABLE run_evidence (
    run text PRIMARY KEY REFERENCES allocation_runs,
    statements integer NOT NULL,
    issued_at timestamptz NOT NULL,
    oldest timestamptz,
    newest timestamptz,
    CHECK ((oldest IS NULL) = (newest IS NULL))
);
COMMENT ON TABLE run_evidence IS
    'Of a run''s statements: how many they are, when the newest was issued, and from when to when the envelopes they name were '
    'received. Retention drops none of these before its time, and none at all while a run with statements is missing here.';

CREATE TABLE idempotency_keys (
    owner text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL CHECK (octet_length(request_hash) = 32),
    begun_at timestamptz NOT NULL,
    leased_until timestamptz NOT NULL,
    answered_at timestamptz,
    status smallint,
    headers jsonb,
    body bytea,
    PRIMARY KEY (owner, key),
    CHECK ((answered_at IS NULL) = (status IS NULL) AND (status IS NULL) = (headers IS NULL)),
    CHECK (body IS NULL OR status IS NOT NULL)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (begun_at);
COMMENT ON TABLE idempotency_keys IS
    'Requests that carried an Idempotency-Key, with the answer they got, for 24 hours. Until it is answered, whoever answers '
    'holds it by a lease; one that died loses it. owner: who asked.';
COMMENT ON COLUMN idempotency_keys.body IS 'zlib; NULL of an answer that is not to be kept because it carries a secret.';

CREATE TABLE job_runs (
    job text PRIMARY KEY,
    started_at timestamptz NOT NULL,
    succeeded_at timestamptz,
    took_ms bigint CHECK (took_ms >= 0),
    fault text,
    CHECK ((succeeded_at IS NULL) = (took_ms IS NULL))
);
COMMENT ON TABLE job_runs IS
    'The newest try of each job that runs now and then; succeeded_at and took_ms are those of its last success.';
COMMENT ON COLUMN job_runs.fault IS 'What the newest try ended in; NULL while it goes on, and when it went well.';

CREATE TABLE ordered_jobs (
    job text PRIMARY KEY,
    kind text NOT NULL,
    site text NOT NULL,
    subject text NOT NULL,
    order_of jsonb NOT NULL,
    ordered_by text NOT NULL CHECK (ordered_by <> ''),
    ordered_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'refused', 'interrupted')),
    events integer NOT NULL DEFAULT 0,
    started_at timestamptz,
    ended_at timestamptz,
    run text REFERENCES allocation_runs,
    told text NOT NULL DEFAULT '',
    CHECK ((state IN ('waiting', 'running')) = (ended_at IS NULL)),
    CHECK (run IS NULL OR state = 'done')
);
CREATE INDEX ordered_jobs_open ON ordered_jobs (site, subject) WHERE ended_at IS NULL;
CREATE INDEX ordered_jobs_by_run ON ordered_jobs (run) WHERE run IS NOT NULL;
COMMENT ON TABLE ordered_jobs IS
    'Work that somebody ordered at the console, such as closing a period: who, when, how far, and what came of it. Whoever '
    'does it holds a lock of the session named by the job; one that is running and not locked was interrupted.';
COMMENT ON COLUMN ordered_jobs.events IS 'How many events the job has told; the newest is how far it is.';

CREATE TABLE ordered_job_events (
    job text NOT NULL REFERENCES ordered_jobs,
    number integer NOT NULL CHECK (number >= 1),
    at timestamptz NOT NULL,
    body jsonb NOT NULL,
    PRIMARY KEY (job, number)
);
COMMENT ON TABLE ordered_job_events IS 'What a job told on its way, in order; whoever watches goes on after the last he saw.';

CREATE TABLE site_days (
    site text NOT NULL,
    day date NOT NULL,
    settled_at timestamptz NOT NULL,
    PRIMARY KEY (site, day)
);
COMMENT ON TABLE site_days IS 'When anything of a local day of a site was last settled to something new.';

CREATE TABLE run_completions (
    run text PRIMARY KEY REFERENCES allocation_runs,
    complete_at timestamptz NOT NULL
);
COMMENT ON TABLE run_completions IS
    'When the last day that a run was computed from had been settled, as it stood when the run was computed.';

-- 4. Kept, restored, erased --------------------------------------------------------------------------------------------

CREATE TABLE backups (
    backup text PRIMARY KEY,
    kind text NOT NULL,
    place text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    octets bigint,
    noticed_at timestamptz
);
COMMENT ON TABLE backups IS
    'Backups that were begun. Every backup holds its own row as unfinished, so a database in which one is unfinished that '
    'nobody is writing was restored from it (or the backup was broken off): then gateways are asked for what is lacking.';
COMMENT ON COLUMN backups.noticed_at IS 'When intake found an unfinished one that nobody was writing, and asked gateways.';

CREATE TABLE resend_requests (
    gateway text NOT NULL,
    epoch integer NOT NULL,
    after_seq bigint NOT NULL,
    asked_since timestamptz NOT NULL,
    ask_at timestamptz NOT NULL,
    times integer NOT NULL DEFAULT 0,
    PRIMARY KEY (gateway, epoch)
);
COMMENT ON TABLE resend_requests IS
    'Chains whose gateway is told again, by receipts nobody asked for, how far the books go, until it is heard. ask_at: when next.';

CREATE TABLE erasures (
    erasure bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('party', 'engineer')),
    site text,
    subject text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    erased_at timestamptz NOT NULL,
    CHECK ((site IS NULL) = (kind = 'engineer'))
);
COMMENT ON TABLE erasures IS
    'Whose personal data were taken out, when and why. subject: the id of a party, which is no personal datum by itself; of an '
    'engineer a salt and the SHA-256 of salt and name, by which a restored database finds what to take out again.';

-- 5. Who did it -------------------------------------------------------------------------------------------------------

CREATE TABLE operators (
    operator text PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    added_at timestamptz NOT NULL,
    added_by text NOT NULL,
    removed_at timestamptz,
    roles text[] NOT NULL CONSTRAINT operators_have_roles CHECK (cardinality(roles) > 0),
    sites text[]
);
COMMENT ON TABLE operators IS
    'People who may write, each with a token of his own, of which the hash is kept. Names are never given to another.';
COMMENT ON COLUMN operators.roles IS 'Names of roles in the policy table.';
COMMENT ON COLUMN operators.sites IS 'Sites he may see and change; null: all.';

CREATE TABLE sign_ins (
    operator text PRIMARY KEY REFERENCES operators,
    password_hash text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    password_at timestamptz NOT NULL,
    code_secret bytea CHECK (octet_length(code_secret) = 20),
    code_since timestamptz,
    code_step bigint NOT NULL DEFAULT 0,
    recovery_hashes bytea[] NOT NULL DEFAULT '{}',
    CHECK ((code_secret IS NULL) = (code_since IS NULL))
);
COMMENT ON TABLE sign_ins IS
    'By what operators sign in: the hash of a password, and of those who set up a second factor its secret.';
COMMENT ON COLUMN sign_ins.code_secret IS 'Secret of one-time codes (RFC 6238); null: no second factor.';
COMMENT ON COLUMN sign_ins.code_step IS 'Step of the newest code that was used: none counts twice.';
COMMENT ON COLUMN sign_ins.recovery_hashes IS 'SHA-256 of the recovery codes that are left; each counts once.';

CREATE TABLE sign_in_links (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    operator text NOT NULL REFERENCES operators,
    made_at timestamptz NOT NULL,
    made_by text NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX sign_in_links_by_operator ON sign_in_links (operator) WHERE ended_at IS NULL;
COMMENT ON TABLE sign_in_links IS
    'One-time links by which operators choose a password, by the SHA-256 of their token. A new one ends the old.';

CREATE TABLE sessions (
    session bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator text NOT NULL REFERENCES operators,
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    address text NOT NULL,
    device text NOT NULL,
    awaits_code boolean NOT NULL,
    viewing_as text,
    ended_at timestamptz
);
CREATE INDEX sessions_by_operator ON sessions (operator) WHERE ended_at IS NULL;
CREATE INDEX sessions_by_start ON sessions (started_at);
COMMENT ON TABLE sessions IS
    'Browsers in which operators are signed in, by the SHA-256 of what the cookie holds. Old ones are deleted.';
COMMENT ON COLUMN sessions.seen_at IS 'Newest call, to the minute.';
COMMENT ON COLUMN sessions.address IS 'Where it was started from, and on what device: personal, shown to the operator alone.';
COMMENT ON COLUMN sessions.awaits_code IS 'The password was right, and the second factor is still to be shown.';
COMMENT ON COLUMN sessions.viewing_as IS 'Role through whose eyes an administrator looks, and changes nothing meanwhile.';

CREATE TABLE sign_in_failures (
    failure bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_hash bytea NOT NULL,
    address text NOT NULL,
    failed_at timestamptz NOT NULL
);
CREATE INDEX sign_in_failures_by_operator ON sign_in_failures (operator_hash, failed_at);
CREATE INDEX sign_in_failures_by_address ON sign_in_failures (address, failed_at);
COMMENT ON TABLE sign_in_failures IS
    'Failed attempts of the last quarter of an hour, by which guessing is slowed down. Of the name, which may be a password '
    'typed into the wrong field, a hash.';

CREATE TABLE clients (
    client text PRIMARY KEY,
    roles text[] NOT NULL CONSTRAINT clients_have_roles CHECK (cardinality(roles) > 0),
    sites text[],
    added_at timestamptz NOT NULL,
    added_by text NOT NULL,
    removed_at timestamptz
);
COMMENT ON TABLE clients IS
    'Programs that use the API, such as billing. A name is never given to another program: it stands in the audit log.';
COMMENT ON COLUMN clients.sites IS 'Sites it may see and change; null: all.';

CREATE TABLE client_keys (
    key text PRIMARY KEY,
    client text NOT NULL REFERENCES clients,
    secret_hash bytea NOT NULL UNIQUE CHECK (octet_length(secret_hash) = 32),
    scopes text[],
    made_at timestamptz NOT NULL,
    made_by text NOT NULL,
    ends_at timestamptz,
    used_at timestamptz
);
CREATE INDEX client_keys_by_client ON client_keys (client);
COMMENT ON TABLE client_keys IS
    'Keys of programs: sent as they are, or changed for a short-lived token. key: the part that is shown, by which it is '
    'known. Of the whole the SHA-256 is kept.';
COMMENT ON COLUMN client_keys.scopes IS 'Permissions it is limited to; null: all that the roles of its client have.';
COMMENT ON COLUMN client_keys.ends_at IS 'From when on it counts no more: its expiry, the end of a rotation, or removal.';
COMMENT ON COLUMN client_keys.used_at IS 'When it was last used, to the hour.';

CREATE TABLE access_tokens (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    key text NOT NULL REFERENCES client_keys,
    scopes text[],
    made_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL
);
CREATE INDEX access_tokens_by_end ON access_tokens (ends_at);
COMMENT ON TABLE access_tokens IS
    'Short-lived tokens of programs (OAuth 2, client credentials), by their SHA-256. Those that ended are deleted.';

CREATE TABLE audit_log (
    number bigint PRIMARY KEY CHECK (number >= 1),
    at timestamptz NOT NULL,
    who text NOT NULL CHECK (who <> ''),
    verb text NOT NULL,
    subject text NOT NULL,
    touches text[] NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    previous bytea NOT NULL UNIQUE CHECK (octet_length(previous) = 32),
    digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    content text,
    salt bytea,
    CHECK ((content IS NULL) = (salt IS NULL))
);
CREATE INDEX audit_log_by_subject ON audit_log (subject);
CREATE INDEX audit_log_by_touch ON audit_log USING gin (touches);
COMMENT ON TABLE audit_log IS
    'Every act that changed the books, in the transaction that did it: each entry is hashed with the digest of the one '
    'before.';
COMMENT ON COLUMN audit_log.content IS
    'Where, with what, before, after and why, as JSON. It is in the chain by a salted hash only, so it can be withdrawn.';

CREATE FUNCTION audit_log_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.content IS NULL AND NEW.salt IS NULL
        AND (NEW.number, NEW.at, NEW.who, NEW.verb, NEW.subject, NEW.touches, NEW.content_hash, NEW.previous, NEW.digest)
        = (OLD.number, OLD.at, OLD.who, OLD.verb, OLD.subject, OLD.touches, OLD.content_hash, OLD.previous, OLD.digest)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit log is only ever added to' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_stays();
CREATE TRIGGER audit_log_stays_whole BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_stays();

CREATE TABLE audit_checkpoints (
    number bigint PRIMARY KEY REFERENCES audit_log,
    signed_at timestamptz NOT NULL,
    octets bytea NOT NULL
);
COMMENT ON TABLE audit_checkpoints IS
    'The centre''s signed word (octets) that the log up to an entry is this. One kept elsewhere finds a log that was '
    'written anew.';

-- 6. What is told outside ------------------------------------------------------------------------------------------

CREATE TABLE events (
    event text PRIMARY KEY CHECK (event ~ '^evt_[0-9a-f]{32}$'),
    kind text NOT NULL,
    site text,
    subject text NOT NULL CHECK (subject <> ''),
    at timestamptz NOT NULL,
    body jsonb NOT NULL,
    endpoint text,
    told_at timestamptz NOT NULL DEFAULT now(),
    number bigint UNIQUE CHECK (number >= 1)
);
CREATE INDEX events_unnumbered ON events (told_at) WHERE number IS NULL;
CREATE INDEX events_by_subject ON events (subject);
COMMENT ON TABLE events IS
    'What happened, put here in the transaction in which it happened: it is told exactly if it is so. Bodies hold ids, '
    'states and counts, no names and no money.';
COMMENT ON COLUMN events.number IS
    'The place in the order in which programs pull, given after the commit by one at a time: what is numbered later always '
    'has a higher number, so a cursor skips nothing.';
COMMENT ON COLUMN events.endpoint IS 'The only endpoint it is for: a test of that endpoint, which nobody pulls. NULL: for all.';

CREATE FUNCTION events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.number IS NULL AND NEW.number IS NOT NULL
        AND (NEW.event, NEW.kind, NEW.subject, NEW.at, NEW.body, NEW.told_at)
        = (OLD.event, OLD.kind, OLD.subject, OLD.at, OLD.body, OLD.told_at)
        AND (NEW.site, NEW.endpoint) IS NOT DISTINCT FROM (OLD.site, OLD.endpoint)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an event that was told is only ever numbered' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER events_stay BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION events_stay();

CREATE TABLE webhook_endpoints (
    endpoint text PRIMARY KEY CHECK (endpoint ~ '^whe_[0-9a-f]{32}$'),
    owner text NOT NULL CHECK (owner <> ''),
    url text NOT NULL,
    kinds text[],
    sites text[],
    description text NOT NULL DEFAULT '',
    state text NOT NULL CHECK (state IN ('on', 'off', 'gone', 'failing', 'removed')),
    added_at timestamptz NOT NULL,
    state_at timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failing_since timestamptz,
    paused_until timestamptz,
    delivered_at timestamptz
);
COMMENT ON TABLE webhook_endpoints IS
    'Where events go. owner: the principal who added it, a client or a person. kinds, sites: those it gets; NULL: all.';
COMMENT ON COLUMN webhook_endpoints.state IS
    'on: delivered to. off: by a person. gone: its server answered 410. failing: no delivery for days. What happens '
    'meanwhile is kept and delivered once it is on again. removed: for good.';
COMMENT ON COLUMN webhook_endpoints.failures IS
    'Tries in a row that failed, since failing_since; nothing is tried before paused_until.';

CREATE TABLE webhook_secrets (
    endpoint text NOT NULL REFERENCES webhook_endpoints,
    number integer NOT NULL CHECK (number >= 1),
    algorithm text NOT NULL CHECK (algorithm IN ('hmac-sha256', 'ed25519')),
    sealed bytea NOT NULL,
    public_key text,
    made_at timestamptz NOT NULL,
    ends_at timestamptz,
    PRIMARY KEY (endpoint, number)
);
COMMENT ON TABLE webhook_secrets IS
    'What deliveries are signed with, sealed by a key that is not in the database. All that have not ended sign; the newest '
    'never ends, an older one ends when its rotation is over.';

CREATE TABLE webhook_deliveries (
    endpoint text NOT NULL REFERENCES webhook_endpoints,
    event text NOT NULL REFERENCES events ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead')),
    made_at timestamptz NOT NULL DEFAULT now(),
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    next_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    tries jsonb NOT NULL DEFAULT '[]',
    delivered_at timestamptz,
    PRIMARY KEY (endpoint, event)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint, next_at) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (endpoint, made_at) WHERE state = 'dead';
CREATE INDEX webhook_deliveries_of_event ON webhook_deliveries (event);
COMMENT ON TABLE webhook_deliveries IS
    'One event on its way to one endpoint. dead: every try of the ladder failed; it stays until it is sent again by hand.';
COMMENT ON COLUMN webhook_deliveries.leased_until IS
    'Somebody tries just now; whoever is killed at it gives it back by this instant.';
