-- Who did what: named operators, and a log that is only ever added to.

CREATE TABLE operators (
    operator text PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    added_at timestamptz NOT NULL,
    added_by text NOT NULL,
    removed_at timestamptz
);
COMMENT ON TABLE operators IS
    'People who may write, each with a token of his own, of which the hash is kept. Names are never given to another.';

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
