-- Statements go out to tenants by links, are seen, confirmed and disputed; what is confirmed makes charges.

ALTER TABLE statements
    ADD COLUMN link_issue integer NOT NULL DEFAULT 0 CHECK (link_issue >= 0),
    ADD COLUMN link_expires_at timestamptz,
    ADD CONSTRAINT statements_linked CHECK ((token_hash IS NULL) = (link_expires_at IS NULL));
COMMENT ON COLUMN statements.link_issue IS
    'How often a link was made. The token of an issue follows from it and the centre''s salt key; none but the newest opens.';

CREATE TABLE statement_states (
    statement text NOT NULL REFERENCES statements,
    step integer NOT NULL CHECK (step >= 1),
    previous_step integer GENERATED ALWAYS AS (NULLIF(step, 1) - 1) STORED,
    from_state text,
    to_state text NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    acted_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (statement, step),
    UNIQUE (statement, step, to_state),
    FOREIGN KEY (statement, previous_step, from_state) REFERENCES statement_states (statement, step, to_state),
    CONSTRAINT statement_states_first CHECK ((from_state IS NULL) = (step = 1)),
    CONSTRAINT statement_states_allowed CHECK (
        (from_state IS NULL AND to_state = 'issued')
        OR (from_state, to_state) IN (
            ('issued', 'seen'), ('issued', 'confirmed'), ('issued', 'disputed'),
            ('seen', 'confirmed'), ('seen', 'disputed'),
            ('disputed', 'disputed'), ('disputed', 'confirmed'), ('disputed', 'upheld'),
            ('confirmed', 'upheld'),
            ('upheld', 'upheld'), ('upheld', 'confirmed'), ('upheld', 'disputed'),
            ('issued', 'superseded'), ('seen', 'superseded'), ('disputed', 'superseded'),
            ('confirmed', 'superseded'), ('upheld', 'superseded'), ('superseded', 'issued')
        )
    )
);
COMMENT ON TABLE statement_states IS
    'What became of a statement since its run was published; only ever added to. Each step takes up the one before it. Of '
    'a statement whose run was never published there is no row.';

CREATE TABLE disputes (
    dispute bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    statement text NOT NULL REFERENCES statements,
    line text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    photo bytea REFERENCES photos,
    raised_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'upheld', 'recomputed')),
    answer text CHECK (answer <> ''),
    answered_by text,
    answered_at timestamptz,
    CONSTRAINT disputes_once UNIQUE (statement, line),
    CONSTRAINT disputes_answered CHECK (
        (state = 'open') = (answer IS NULL)
        AND (answer IS NULL) = (answered_by IS NULL) AND (answer IS NULL) = (answered_at IS NULL)
    )
);
CREATE INDEX disputes_open ON disputes (raised_at) WHERE state = 'open';
CREATE INDEX disputes_by_photo ON disputes (photo);
COMMENT ON TABLE disputes IS
    'What a tenant does not accept of a statement, and the answer. An open one, and one that is recomputed, keeps its line '
    'out of every charge. Reasons and photos are a tenant''s own words: personal.';
COMMENT ON COLUMN disputes.line IS 'Id of a line; empty: the whole statement.';
COMMENT ON COLUMN disputes.state IS
    'upheld: the line stands as stated. recomputed: it is computed anew, and a later statement supersedes this one.';

CREATE TABLE charges (
    charge text PRIMARY KEY,
    place bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    statement text NOT NULL REFERENCES statements,
    site text NOT NULL,
    period text NOT NULL,
    party text NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL CHECK (length(currency) = 3),
    created_at timestamptz NOT NULL,
    invoice text CHECK (invoice <> ''),
    acknowledged_at timestamptz,
    acknowledged_by text,
    CONSTRAINT charges_acknowledged CHECK (
        (invoice IS NULL) = (acknowledged_at IS NULL) AND (invoice IS NULL) = (acknowledged_by IS NULL)
    )
);
CREATE INDEX charges_by_statement ON charges (statement);
CREATE INDEX charges_by_period ON charges (site, period, party);
COMMENT ON TABLE charges IS
    'Money that a confirmed statement makes billable, once. invoice: the number under which billing took it over.';

CREATE TABLE charge_lines (
    statement text NOT NULL REFERENCES statements,
    line text NOT NULL,
    charge text NOT NULL REFERENCES charges,
    stated_minor bigint NOT NULL,
    before_minor bigint NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor = stated_minor - before_minor),
    CONSTRAINT charge_lines_once PRIMARY KEY (statement, line)
);
CREATE INDEX charge_lines_by_charge ON charge_lines (charge);
COMMENT ON TABLE charge_lines IS
    'Lines of charges: what the statement says, what earlier charges of the same period hold of the same line, and the '
    'difference, which is charged. So all charges of a party and period add up to what was confirmed last.';

INSERT INTO statement_states (statement, step, from_state, to_state, actor, acted_at)
SELECT number, 1, NULL, 'issued', actor, acted_at
FROM statements
JOIN (
    SELECT DISTINCT ON (run) run, actor, acted_at FROM run_transitions
    WHERE to_state = 'published' ORDER BY run, step DESC
) AS published USING (run);

INSERT INTO statement_states (statement, step, from_state, to_state, actor, acted_at)
SELECT number, 2, 'issued', 'superseded', actor, acted_at
FROM statements
JOIN (
    SELECT DISTINCT ON (run) run, actor, acted_at FROM run_transitions
    WHERE from_state = 'published' AND to_state = 'superseded' ORDER BY run, step DESC
) AS gone USING (run);
