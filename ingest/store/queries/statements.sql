-- name: add_statement
INSERT INTO statements (number, run, party, octets, bundle, issued_at)
VALUES (%(number)s, %(run)s, %(party)s, %(octets)s, %(bundle)s, %(issued_at)s);

-- name: statement
SELECT number, run, party, octets, bundle, issued_at FROM statements WHERE number = %(number)s;

-- name: numbers_of_run
SELECT number, party FROM statements WHERE run = %(run)s ORDER BY party;
