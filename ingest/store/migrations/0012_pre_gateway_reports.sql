-- What gateways report of themselves: when a boot was, and what became of settings that were ordered.

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
