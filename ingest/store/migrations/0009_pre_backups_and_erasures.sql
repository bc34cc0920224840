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

ALTER TABLE site_versions ADD COLUMN site_hash bytea CHECK (octet_length(site_hash) = 32);
COMMENT ON COLUMN site_versions.site_hash IS
    'Hash of the site as imported, where names were taken out of the document since; NULL: that of the document.';
