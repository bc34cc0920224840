-- What was done at the sites, as signed events, and which acts a second person must approve before they count for money.

ALTER TABLE install_orders
    ADD COLUMN order_file bytea,
    ADD COLUMN voucher_hash bytea CHECK (octet_length(voucher_hash) = 32),
    ADD COLUMN planned text[],
    ADD COLUMN claim_key bytea UNIQUE CHECK (octet_length(claim_key) = 32);
COMMENT ON COLUMN install_orders.order_file IS
    'What the engineer takes along: voucher and plan, signed by the centre; without the claim.';
COMMENT ON COLUMN install_orders.voucher_hash IS 'SHA-256 of the voucher: what the first installation event names.';
COMMENT ON COLUMN install_orders.planned IS 'The meters of the plan, which stands in order_file.';
COMMENT ON COLUMN install_orders.claim_key IS 'Public half of the key that is made of the claim: a bundle proves it.';

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

