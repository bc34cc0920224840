-- Serial numbers that meters told of themselves, and alerts about single nodes.

CREATE TABLE meter_serials (
    gateway text NOT NULL,
    epoch integer NOT NULL,
    seq bigint NOT NULL,
    meter text NOT NULL,
    serial text NOT NULL,
    read_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'fits', 'past', 'gone')),
    PRIMARY KEY (gateway, epoch, seq, meter)
);
CREATE INDEX meter_serials_by_meter ON meter_serials (meter, read_at);
CREATE INDEX meter_serials_open ON meter_serials (gateway) WHERE state = 'open';
COMMENT ON TABLE meter_serials IS
    'Which serial number a meter told over the bus: the first time, and whenever it was another. An exchange that nobody '
    'declared shows here.';
COMMENT ON COLUMN meter_serials.state IS
    'open: not compared with the site yet, or it differs. fits: as the site says. past: another came after it. gone: of a '
    'meter that the site does not have at this gateway (any more).';

CREATE INDEX settled_days_odd ON settled_days (day) WHERE exceptions <> '[]';

ALTER TABLE alerts DROP CONSTRAINT alerts_scope_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_scope_check CHECK (scope IN ('gateway', 'site', 'fleet', 'service', 'node'));
