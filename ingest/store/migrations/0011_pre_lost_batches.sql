-- What a gateway had to give up, told by itself: a full outbox, or a restored centre that asks for too long ago.

CREATE TABLE lost_batches (
    gateway text NOT NULL,
    epoch integer NOT NULL,
    first_seq bigint NOT NULL CHECK (first_seq >= 1),
    last_seq bigint NOT NULL,
    last_digest bytea NOT NULL CHECK (octet_length(last_digest) = 32),
    cause text NOT NULL,
    first_mark timestamptz,
    last_mark timestamptz,
    received_at timestamptz NOT NULL,
    octets bytea NOT NULL,
    PRIMARY KEY (gateway, epoch, last_seq, first_seq),
    CHECK (last_seq >= first_seq)
);
COMMENT ON TABLE lost_batches IS
    'Runs of envelopes that their gateway has told as lost, under its signature (octets); the chain runs on across '
    'them. What turned up all the same is in the ledger.';
