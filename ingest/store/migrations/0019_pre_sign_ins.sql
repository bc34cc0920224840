-- People sign in on the console.

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
