-- name: add_operator
INSERT INTO operators (operator, token_hash, added_at, added_by, roles, sites)
VALUES (%(operator)s, %(token_hash)s, %(at)s, %(by)s, %(roles)s, %(sites)s);

-- name: renew_operator
UPDATE operators SET token_hash = %(token_hash)s, added_at = %(at)s, added_by = %(by)s, removed_at = NULL
WHERE operator = %(operator)s;

-- name: change_operator
UPDATE operators SET roles = %(roles)s, sites = %(sites)s WHERE operator = %(operator)s;

-- name: remove_operator
UPDATE operators SET removed_at = %(at)s WHERE operator = %(operator)s AND removed_at IS NULL;

-- name: operator_of_token
SELECT operator, roles, sites FROM operators WHERE token_hash = %(token_hash)s AND removed_at IS NULL;

-- name: operators
SELECT operator, added_at, added_by, removed_at, roles, sites FROM operators ORDER BY operator;
