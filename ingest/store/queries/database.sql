-- name: ping
SELECT 1;

-- name: lock_migrations
-- One migration at a time, whichever process starts it; freed with the session's transaction.
SELECT pg_advisory_xact_lock(7083465729081);

-- name: create_migrations
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    checksum bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: applied_migrations
SELECT name, checksum FROM schema_migrations ORDER BY name;

-- name: record_migration
INSERT INTO schema_migrations (name, checksum) VALUES (%(name)s, %(checksum)s);

-- name: identity
-- Which database this is, whatever host, port or pool it is reached by.
SELECT system_identifier::text || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
FROM pg_control_system();
