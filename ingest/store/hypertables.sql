-- Run after every migration; does nothing unless TimescaleDB is installed in this database (CREATE EXTENSION
-- timescaledb, by its administrator), or when all is done already.
-- Chunks of 7 days: the index of 100,000 meters at 15 minutes stays within a quarter of 16 GiB.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        RETURN;
    END IF;
    PERFORM create_hypertable('envelopes', by_range('received_at', INTERVAL '7 days'),
        create_default_indexes => false, if_not_exists => true, migrate_data => true);
    PERFORM create_hypertable('readings', by_range('due_at', INTERVAL '7 days'),
        create_default_indexes => false, if_not_exists => true, migrate_data => true);
END
$$;
