-- What a close of a large site would store twice is stored once: the file of a statement is put together when it is
-- asked for, from the statement, its proof and the envelopes; the lines of a run stand in run_lines only. What was stored
-- before stays as it is.

ALTER TABLE statements
    ADD COLUMN proof bytea,
    ALTER COLUMN bundle DROP NOT NULL,
    ADD CONSTRAINT statements_provable CHECK ((proof IS NULL) <> (bundle IS NULL));
COMMENT ON TABLE statements IS
    'octets: the signed statement. proof: that its lines are in the commitment of the run; the file a stranger verifies '
    'is these two with the envelopes they name. bundle: that file, of statements from before. token_hash: opens the '
    'page without a login.';

ALTER TABLE run_lines
    ADD COLUMN kind text;
COMMENT ON COLUMN run_lines.kind IS
    'LineKind; NULL for runs that keep their lines in the document too.';
