-- name: add_draft
INSERT INTO rule_drafts (site, title, base_version, changes, authors, begun_at, saved_by, saved_at, note)
VALUES (%(site)s, %(title)s, %(base)s, %(changes)s, ARRAY[lower(btrim(%(by)s))], %(at)s, %(by)s, %(at)s, %(note)s)
RETURNING draft;

-- name: save_draft
-- Of the revision that somebody had before him: what another saved meanwhile is not overwritten.
UPDATE rule_drafts SET
    title = %(title)s, base_version = %(base)s, changes = %(changes)s, note = %(note)s, state = 'open',
    revision = revision + 1, saved_by = %(by)s, saved_at = %(at)s,
    authors = CASE WHEN lower(btrim(%(by)s)) = ANY (authors) THEN authors ELSE authors || lower(btrim(%(by)s)) END
WHERE draft = %(draft)s AND revision = %(revision)s AND state IN ('open', 'handed-in')
RETURNING revision;

-- name: hand_in_draft
UPDATE rule_drafts SET state = 'handed-in' WHERE draft = %(draft)s AND revision = %(revision)s AND state = 'open'
RETURNING revision;

-- name: end_draft
UPDATE rule_drafts SET state = %(state)s, ended_by = %(by)s, ended_at = %(at)s, released_version = %(version)s
WHERE draft = %(draft)s AND revision = %(revision)s AND state IN ('open', 'handed-in')
RETURNING revision;

-- name: draft
SELECT draft, site, title, base_version, state, revision, changes, authors, begun_at, saved_by, saved_at, note,
    ended_by, ended_at, released_version
FROM rule_drafts WHERE draft = %(draft)s;

-- name: drafts
-- Of a site, newest first: those that wait before those that are done.
SELECT draft, site, title, base_version, state, revision, changes, authors, begun_at, saved_by, saved_at, note,
    ended_by, ended_at, released_version
FROM rule_drafts WHERE site = %(site)s
ORDER BY state IN ('released', 'withdrawn'), draft DESC LIMIT %(most)s;

-- name: drafts_of_versions
SELECT released_version, draft FROM rule_drafts WHERE site = %(site)s AND released_version IS NOT NULL;

-- name: versions
-- Without their documents, newest first.
SELECT version, hash, imported_at FROM site_versions WHERE site = %(site)s ORDER BY version DESC LIMIT %(most)s;
