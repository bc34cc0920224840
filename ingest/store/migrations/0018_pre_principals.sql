-- What operators may, and programs that come with keys of their own.

-- Until now an operator could do all that takes a person's name; those there are keep that.
ALTER TABLE operators
    ADD COLUMN roles text[] NOT NULL DEFAULT '{energy-manager,approver,field-engineer}'
        CONSTRAINT operators_have_roles CHECK (cardinality(roles) > 0),
    ADD COLUMN sites text[];
ALTER TABLE operators ALTER COLUMN roles DROP DEFAULT;
COMMENT ON COLUMN operators.roles IS 'Names of roles in the policy table.';
COMMENT ON COLUMN operators.sites IS 'Sites he may see and change; null: all.';

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
