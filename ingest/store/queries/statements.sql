-- name: add_statements
COPY statements (number, run, party, octets, proof, issued_at) FROM STDIN (FORMAT BINARY);

-- name: statement
SELECT number, run, party, octets, proof, bundle, issued_at FROM statements WHERE number = %(number)s;

-- name: numbers_of_run
SELECT number, party FROM statements WHERE run = %(run)s ORDER BY party;
