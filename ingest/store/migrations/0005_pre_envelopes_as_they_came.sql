-- Trying to compress each envelope costs PostgreSQL more than storing it, and saves a twentieth of what its readings take.
-- What is stored already stays as it is. Columnstore compression, where there is TimescaleDB, is not touched by this.
ALTER TABLE envelopes ALTER COLUMN octets SET STORAGE EXTERNAL;
