-- What an operator must know of, told once for each cause; and since when readings wait to be settled.

CREATE TABLE alerts (
    alert bigint PRIMARY KEY,
    kind text NOT NULL,
    scope text NOT NULL CHECK (scope IN ('gateway', 'site', 'fleet', 'service')),
    subject text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('warning', 'critical')),
    opened_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    closed_at timestamptz,
    times integer NOT NULL DEFAULT 1 CHECK (times >= 1),
    detail jsonb NOT NULL,
    acknowledged_at timestamptz,
    acknowledged_by text CHECK (acknowledged_by <> ''),
    note text NOT NULL DEFAULT '',
    change bigint NOT NULL,
    CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
);
CREATE UNIQUE INDEX alerts_open ON alerts (kind, scope, subject) WHERE closed_at IS NULL;
CREATE UNIQUE INDEX alerts_by_change ON alerts (change);
CREATE INDEX alerts_by_subject ON alerts (scope, subject);
COMMENT ON TABLE alerts IS
    'What an operator must know of: one row from the opening of a cause to its closing, never two open ones of one cause.';
COMMENT ON COLUMN alerts.seen_at IS 'When a look last found the cause. times: how often it was opened, again within the hour.';
COMMENT ON COLUMN alerts.change IS
    'Rises over all rows with every opening, closing and acknowledgement; programs pull what is above the last they saw.';

CREATE INDEX quarantine_by_arrival ON quarantine (first_received_at);

ALTER TABLE unsettled_days ADD COLUMN since timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN unsettled_days.since IS 'When the first of the readings that wait arrived (the database''s clock).';
