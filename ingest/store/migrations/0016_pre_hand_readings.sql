-- What people read, their photos, and the chains in which the centre seals what they read.

ALTER TABLE gateways ADD COLUMN is_desk boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN gateways.is_desk IS
    'Not a machine: the chain of a site in which the centre seals what people read.';

CREATE TABLE photos (
    photo bytea PRIMARY KEY CHECK (octet_length(photo) = 32),
    media text NOT NULL CHECK (media IN ('image/jpeg', 'image/png')),
    width integer NOT NULL CHECK (width > 0),
    height integer NOT NULL CHECK (height > 0),
    put_at timestamptz NOT NULL,
    put_by text NOT NULL,
    octets bytea NOT NULL
);
ALTER TABLE photos ALTER COLUMN octets SET STORAGE EXTERNAL;
COMMENT ON TABLE photos IS
    'Pictures by the SHA-256 of their octets, without anything that a telephone writes beside them.';

CREATE TABLE hand_readings (
    hand_reading bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site text NOT NULL,
    meter text NOT NULL,
    obis text NOT NULL,
    shown text NOT NULL,
    register bigint NOT NULL,
    read_at timestamptz NOT NULL,
    mark timestamptz NOT NULL,
    source text NOT NULL CHECK (source IN ('typed', 'photo')),
    photo bytea REFERENCES photos,
    seen text,
    confidence_pm integer CHECK (confidence_pm BETWEEN 0 AND 1000),
    reader text NOT NULL CHECK (reader <> ''),
    reader_salt bytea CHECK (octet_length(reader_salt) = 16),
    entered_at timestamptz NOT NULL,
    entered_by text NOT NULL CHECK (entered_by <> ''),
    state text NOT NULL CHECK (state IN ('waiting', 'counted', 'kept', 'refused', 'withdrawn', 'yielded')),
    doubts text[] NOT NULL DEFAULT '{}',
    decided_by text CHECK (decided_by <> ''),
    decided_at timestamptz,
    reason text NOT NULL DEFAULT '',
    gateway text,
    epoch integer,
    seq bigint,
    CHECK (source <> 'photo' OR photo IS NOT NULL),
    CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    CHECK ((gateway IS NULL) = (epoch IS NULL) AND (epoch IS NULL) = (seq IS NULL)),
    CONSTRAINT hand_readings_sealed CHECK (state NOT IN ('counted', 'withdrawn', 'yielded') OR seq IS NOT NULL),
    CONSTRAINT hand_readings_second_person CHECK (
        state NOT IN ('counted', 'kept', 'refused') OR doubts = '{}'
        OR (decided_by IS NOT NULL AND lower(decided_by) NOT IN (lower(reader), lower(entered_by)))
    )
);
CREATE UNIQUE INDEX hand_readings_counted ON hand_readings (meter, obis, mark) WHERE state = 'counted';
CREATE UNIQUE INDEX hand_readings_sealed_at ON hand_readings (gateway, epoch, seq);
CREATE INDEX hand_readings_by_meter ON hand_readings (meter, mark);
CREATE INDEX hand_readings_waiting ON hand_readings (site) WHERE state = 'waiting';
CREATE INDEX hand_readings_by_photo ON hand_readings (photo);
COMMENT ON TABLE hand_readings IS
    'Registers that people read off displays. What counts is sealed (gateway, epoch, seq) and stands in readings as any '
    'other; what does not fit waits for a second person.';
COMMENT ON COLUMN hand_readings.register IS 'In base units, before CT and PT; shown: as it was written down.';
COMMENT ON COLUMN hand_readings.state IS
    'kept: beside a reading of the bus, as a check. yielded: the bus''s own reading of that mark came later and counts.';
COMMENT ON COLUMN hand_readings.reader_salt IS
    'With the reader''s name, what names him in the sealed reading. NULL once he is erased.';
