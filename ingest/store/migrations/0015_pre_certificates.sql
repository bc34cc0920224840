-- Certificates of gateways, and signing keys that hand over.

ALTER TABLE gateway_keys ADD COLUMN key_level text;
ALTER TABLE gateway_keys ADD COLUMN last_seq bigint CHECK (last_seq >= 0);
ALTER TABLE gateway_keys ADD COLUMN rolled_by bytea CHECK (octet_length(rolled_by) = 32);
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
