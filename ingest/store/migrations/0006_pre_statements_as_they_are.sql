-- Statements and proofs are mostly digests, the slots of a run are packed already: trying to compress them costs PostgreSQL
-- four times as much as storing them, for a fifth of their octets. What is stored already stays as it is.
ALTER TABLE statements
    ALTER COLUMN octets SET STORAGE EXTERNAL,
    ALTER COLUMN proof SET STORAGE EXTERNAL;
ALTER TABLE run_slots
    ALTER COLUMN imported SET STORAGE EXTERNAL,
    ALTER COLUMN exported SET STORAGE EXTERNAL,
    ALTER COLUMN quality SET STORAGE EXTERNAL;
COMMENT ON TABLE run_slots IS
    'The energy a run was computed from, so that it can be computed again when readings have changed since: by slot, as '
    'little-endian numbers of as many octets as the first octet says; NULL where all are 0. Before: zlib over int64, '
    'quality over one octet a slot.';
