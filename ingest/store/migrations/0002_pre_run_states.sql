-- Runs get states, a second person, reasons, publications and corrections. What was there stays: a run that was
-- `blocked` is computed, with as many findings to explain as it had cases.

CREATE TABLE run_transitions (
    run text NOT NULL REFERENCES allocation_runs,
    step integer NOT NULL CHECK (step >= 1),
    previous_step integer GENERATED ALWAYS AS (NULLIF(step, 1) - 1) STORED,
    from_state text,
    to_state text NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    reason text NOT NULL,
    acted_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (run, step),
    UNIQUE (run, step, to_state),
    FOREIGN KEY (run, previous_step, from_state) REFERENCES run_transitions (run, step, to_state),
    CONSTRAINT run_transitions_first CHECK ((from_state IS NULL) = (step = 1)),
    CONSTRAINT run_transitions_allowed CHECK (
        (from_state IS NULL AND to_state IN ('draft', 'computed'))
        OR (from_state, to_state) IN (
            ('draft', 'computed'), ('computed', 'checked'), ('checked', 'approved'), ('approved', 'published'),
            ('draft', 'superseded'), ('computed', 'superseded'), ('checked', 'superseded'),
            ('approved', 'superseded'), ('published', 'superseded'), ('superseded', 'computed')
        )
    )
);
COMMENT ON TABLE run_transitions IS
    'Who moved a run from where to where, when and why; only ever added to. Each step takes up the one before it.';
COMMENT ON COLUMN run_transitions.acted_at IS 'When the actor says it happened; recorded_at: when it was entered.';

CREATE TABLE run_reasons (
    run text NOT NULL REFERENCES allocation_runs,
    subject text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    actor text NOT NULL CHECK (actor <> ''),
    acted_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (run, subject)
);
COMMENT ON TABLE run_reasons IS 'Why a case or a failed check of a run does not stand in the way of its approval.';

CREATE TABLE run_slots (
    run text NOT NULL REFERENCES allocation_runs,
    node text NOT NULL,
    imported bytea,
    exported bytea,
    quality bytea,
    PRIMARY KEY (run, node)
);
COMMENT ON TABLE run_slots IS
    'The energy a run was computed from, so that it can be computed again when readings have changed since: '
    'zlib over little-endian int64 Wh by slot, quality one octet by slot; NULL where all are 0.';

CREATE TABLE publications (
    publication bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text NOT NULL REFERENCES allocation_runs,
    published_at timestamptz NOT NULL,
    octets bytea NOT NULL
);
CREATE INDEX publications_by_run ON publications (run, publication);
COMMENT ON TABLE publications IS
    'The signed word of the centre that a run is final. It goes out with each statement of the run.';

CREATE TABLE correction_lines (
    run text NOT NULL REFERENCES allocation_runs,
    corrects text NOT NULL REFERENCES allocation_runs CHECK (corrects <> run),
    line text NOT NULL,
    pool text NOT NULL,
    party text NOT NULL,
    unit text,
    before_minor bigint NOT NULL,
    after_minor bigint NOT NULL,
    delta_minor bigint NOT NULL CHECK (delta_minor <> 0 AND delta_minor = after_minor - before_minor),
    causes jsonb NOT NULL,
    publication bigint NOT NULL REFERENCES publications,
    PRIMARY KEY (publication, line)
);
CREATE INDEX correction_lines_by_run ON correction_lines (run, party);
COMMENT ON TABLE correction_lines IS
    'What publishing a run changes of the published run it supersedes, line by line, on the same period.';

CREATE TABLE release_exclusions (
    site text NOT NULL,
    version integer NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (site, version, subject),
    FOREIGN KEY (site, version) REFERENCES site_versions
);
COMMENT ON TABLE release_exclusions IS
    'Records that the rules of a site version miss, and that were left out by name when it was released.';

UPDATE allocation_runs SET state = 'computed' WHERE state = 'blocked';
INSERT INTO run_transitions (run, step, to_state, actor, reason, acted_at, recorded_at)
SELECT run, 1, 'computed', 'unrecorded', '', booked_at, created_at FROM allocation_runs;

ALTER TABLE allocation_runs
    ADD COLUMN steps integer NOT NULL DEFAULT 1,
    ADD COLUMN computed_by text NOT NULL DEFAULT 'unrecorded',
    ADD COLUMN checked_by text,
    ADD COLUMN approved_by text,
    ADD COLUMN unexplained integer NOT NULL DEFAULT 0;
UPDATE allocation_runs SET unexplained = jsonb_array_length(document -> 'cases');
ALTER TABLE allocation_runs
    ADD CONSTRAINT allocation_runs_logged FOREIGN KEY (run, steps, state)
        REFERENCES run_transitions (run, step, to_state) DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT allocation_runs_checked CHECK (
        state NOT IN ('checked', 'approved', 'published') OR checked_by IS NOT NULL
    ),
    ADD CONSTRAINT allocation_runs_approved CHECK (state NOT IN ('approved', 'published') OR approved_by IS NOT NULL),
    ADD CONSTRAINT allocation_runs_second_person CHECK (
        approved_by IS NULL
        OR (checked_by IS NOT NULL AND lower(approved_by) NOT IN (lower(checked_by), lower(computed_by)))
    ),
    ADD CONSTRAINT allocation_runs_explained CHECK (state NOT IN ('approved', 'published') OR unexplained = 0);
CREATE UNIQUE INDEX allocation_runs_published ON allocation_runs (site, period) WHERE state = 'published';
COMMENT ON COLUMN allocation_runs.unexplained IS 'Cases and failed checks without a reason in run_reasons.';
COMMENT ON TABLE allocation_runs IS
    'Immutable but for its state; run is the SHA-256 of inputs, rules and engine version, in hex. A correction is '
    'another run.';
