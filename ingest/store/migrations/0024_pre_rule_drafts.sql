-- Drafts of what a site divides its costs by: written by some, released by somebody else.

CREATE TABLE rule_drafts (
    draft bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site text NOT NULL,
    title text NOT NULL CHECK (title <> ''),
    base_version integer NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'handed-in', 'released', 'withdrawn')),
    revision integer NOT NULL DEFAULT 1 CHECK (revision >= 1),
    changes jsonb NOT NULL,
    authors text[] NOT NULL CHECK (cardinality(authors) >= 1),
    begun_at timestamptz NOT NULL,
    saved_by text NOT NULL,
    saved_at timestamptz NOT NULL,
    note text NOT NULL DEFAULT '',
    ended_by text,
    ended_at timestamptz,
    released_version integer,
    FOREIGN KEY (site, base_version) REFERENCES site_versions (site, version),
    FOREIGN KEY (site, released_version) REFERENCES site_versions (site, version),
    CONSTRAINT rule_drafts_ended CHECK (
        (state IN ('released', 'withdrawn')) = (ended_by IS NOT NULL AND ended_at IS NOT NULL)
    ),
    CONSTRAINT rule_drafts_released CHECK ((state = 'released') = (released_version IS NOT NULL)),
    CONSTRAINT rule_drafts_second_person CHECK (state <> 'released' OR NOT lower(btrim(ended_by)) = ANY (authors))
);
CREATE INDEX rule_drafts_by_site ON rule_drafts (site, draft);
COMMENT ON TABLE rule_drafts IS
    'What somebody wants to change in the rules (and leases) of a site: parts as they were and as they are to be. Nothing '
    'is computed by a draft until somebody who wrote none of it has released it as a new version of the site.';
COMMENT ON COLUMN rule_drafts.authors IS 'Everybody who saved a revision, in lower case and trimmed.';
