-- name: announce
SELECT pg_notify('metertree_unsettled', '');

-- name: listen
LISTEN metertree_unsettled;
