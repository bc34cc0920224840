-- name: add_binding
INSERT INTO bindings (binding, site, kind, meter, serial, node, unit, begins_at, done_by, state)
VALUES (%(binding)s, %(site)s, %(kind)s, %(meter)s, %(serial)s, %(node)s, %(unit)s, %(begins_at)s, %(done_by)s, %(state)s);

-- name: supersede_meter
-- What was bound under this id until now was corrected.
UPDATE bindings SET state = 'superseded'
WHERE site = %(site)s AND meter = %(meter)s AND binding <> %(binding)s AND ends_at IS NULL
  AND state IN ('held', 'pending', 'approved', 'refused');

-- name: supersede_refused
-- A refused binding yields to what is bound in its place.
UPDATE bindings SET state = 'superseded'
WHERE site = %(site)s AND node = %(node)s AND meter IS NOT NULL AND binding <> %(binding)s AND state = 'refused'
  AND ends_at IS NULL;

-- name: supersede_move
UPDATE bindings SET state = 'superseded'
WHERE site = %(site)s AND node = %(node)s AND meter IS NULL AND kind = %(kind)s AND begins_at = %(begins_at)s
  AND binding <> %(binding)s AND state IN ('held', 'pending', 'refused');

-- name: end_binding
UPDATE bindings SET ends_at = %(ends_at)s
WHERE site = %(site)s AND meter = %(meter)s AND ends_at IS NULL AND begins_at < %(ends_at)s AND state <> 'superseded';

-- name: activate
-- While it was held, node and serial of a meter that was not there were not known.
UPDATE bindings SET state = 'pending', serial = %(serial)s, node = %(node)s, begins_at = %(begins_at)s
WHERE binding = %(binding)s AND state = 'held';

-- name: undecided_origin
SELECT binding FROM bindings
WHERE site = %(site)s AND meter = %(meter)s AND kind <> 'bind' AND state IN ('pending', 'refused') AND ends_at IS NULL
ORDER BY binding LIMIT 1;

-- name: refused_meters
-- Meters that stand in the site by a binding that somebody refused.
SELECT meter, begins_at FROM bindings
WHERE site = %(site)s AND state = 'refused' AND kind = 'bind' AND ends_at IS NULL;

-- name: bound_meters
SELECT DISTINCT meter FROM bindings
WHERE site = %(site)s AND meter IS NOT NULL AND state IN ('pending', 'approved');

-- name: approved_spans
SELECT meter, begins_at, ends_at FROM bindings WHERE site = %(site)s AND meter IS NOT NULL AND state = 'approved';

-- name: active_bindings
SELECT binding, meter, serial, node, begins_at FROM bindings
WHERE site = %(site)s AND meter IS NOT NULL AND state IN ('pending', 'approved') AND ends_at IS NULL;

-- name: bindings
SELECT bindings.binding, bindings.site, bindings.kind, bindings.meter, bindings.serial, bindings.node, bindings.unit,
    bindings.begins_at, bindings.ends_at, bindings.done_by, bindings.state, bindings.decided_by, bindings.decided_at,
    bindings.decision, events.octets, events.gateway, events.received_at, events.reason
FROM bindings JOIN installation_events AS events ON events.event = bindings.binding
WHERE (%(site)s::text IS NULL OR bindings.site = %(site)s)
  AND (%(state)s::text IS NULL OR bindings.state = %(state)s)
  AND (%(meter)s::text IS NULL OR %(meter)s = ANY (events.meters))
ORDER BY bindings.begins_at, events.received_at, bindings.binding LIMIT %(most)s;

-- name: binding
SELECT bindings.binding, bindings.site, bindings.kind, bindings.meter, bindings.serial, bindings.node, bindings.unit,
    bindings.begins_at, bindings.ends_at, bindings.done_by, bindings.state, bindings.decided_by, bindings.decided_at,
    bindings.decision, events.octets, events.gateway, events.received_at, events.reason
FROM bindings JOIN installation_events AS events ON events.event = bindings.binding
WHERE bindings.binding = %(binding)s
FOR UPDATE OF bindings;

-- name: decide
UPDATE bindings SET state = %(state)s, decided_by = %(decided_by)s, decided_at = %(decided_at)s, decision = %(decision)s
WHERE binding = %(binding)s;

-- name: other_sites_of_serial
-- Where else a meter with this number is bound now.
SELECT serial, site, meter FROM bindings
WHERE serial = ANY (%(serials)s) AND site <> %(site)s AND state IN ('pending', 'approved') AND ends_at IS NULL
ORDER BY serial, site;

-- name: provisional
-- What a period of a site rests on that nobody has approved: pending and held acts, and refused ones that stand in the site.
SELECT bindings.binding, bindings.kind, bindings.meter, bindings.node, bindings.unit, bindings.state,
    bindings.begins_at, bindings.ends_at, bindings.done_by
FROM bindings JOIN installation_events AS events ON events.event = bindings.binding
WHERE bindings.site = %(site)s
  AND (bindings.state IN ('pending', 'held') OR (bindings.state = 'refused' AND events.state = 'applied'))
  AND tstzrange(bindings.begins_at, bindings.ends_at) && tstzrange(%(first)s, %(last)s)
ORDER BY bindings.begins_at, bindings.binding;

-- name: bound_since
-- What was bound in a period after a version of its site: a run computed by that version does not know of it.
SELECT bindings.binding
FROM bindings JOIN installation_events AS events ON events.event = bindings.binding
WHERE bindings.site = %(site)s AND events.state = 'applied' AND events.site_version > %(version)s
  AND tstzrange(bindings.begins_at, bindings.ends_at) && tstzrange(%(first)s, %(last)s)
ORDER BY bindings.begins_at, bindings.binding;

-- name: site_terms
-- Of the version a run was made by its zone; whether bindings are required, as the newest version says.
SELECT made.document -> 'calendar' ->> 'zone',
    (SELECT newest.document ->> 'bindings' = 'required' FROM site_versions AS newest
     WHERE newest.site = made.site ORDER BY newest.version DESC LIMIT 1)
FROM site_versions AS made WHERE made.site = %(site)s AND made.version = %(version)s;

-- name: site_of_binding
SELECT site FROM bindings WHERE binding = %(binding)s;
