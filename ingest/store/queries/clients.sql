-- name: add_client
INSERT INTO clients (client, roles, sites, added_at, added_by)
VALUES (%(client)s, %(roles)s, %(sites)s, %(at)s, %(by)s);

-- name: remove_client
UPDATE clients SET removed_at = %(at)s WHERE client = %(client)s AND removed_at IS NULL;

-- name: clients
SELECT client, added_at, added_by, removed_at, roles, sites FROM clients ORDER BY client;

-- name: keys
SELECT key, client, scopes, made_at, made_by, ends_at, used_at FROM client_keys
WHERE %(client)s::text IS NULL OR client = %(client)s ORDER BY client, made_at, key;

-- name: make_key
INSERT INTO client_keys (key, client, secret_hash, scopes, made_at, made_by, ends_at)
VALUES (%(key)s, %(client)s, %(secret_hash)s, %(scopes)s, %(at)s, %(by)s, %(ends_at)s);

-- name: end_keys
-- A key never ends later than it would have.
UPDATE client_keys SET ends_at = %(at)s
WHERE client = %(client)s AND (%(key)s::text IS NULL OR key = %(key)s) AND (ends_at IS NULL OR ends_at > %(at)s)
RETURNING key;

-- name: client_of_key
SELECT key, client, roles, sites, scopes, used_at FROM client_keys JOIN clients USING (client)
WHERE secret_hash = %(secret_hash)s AND removed_at IS NULL AND (ends_at IS NULL OR ends_at > %(now)s);

-- name: note_use
UPDATE client_keys SET used_at = %(now)s WHERE key = %(key)s;

-- name: give_token
INSERT INTO access_tokens (token_hash, key, scopes, made_at, ends_at)
VALUES (%(token_hash)s, %(key)s, %(scopes)s, %(now)s, %(ends_at)s);

-- name: forget_tokens
DELETE FROM access_tokens WHERE ends_at < %(now)s;

-- name: client_of_token
SELECT key, client, roles, sites, access_tokens.scopes, used_at
FROM access_tokens JOIN client_keys USING (key) JOIN clients USING (client)
WHERE token_hash = %(token_hash)s AND removed_at IS NULL
    AND access_tokens.ends_at > %(now)s AND (client_keys.ends_at IS NULL OR client_keys.ends_at > %(now)s);
