#!/bin/sh
# Run once by the database image, on an empty folder: a role that is no superuser, its database, TimescaleDB in it.
set -eu
password=$(cat /run/secrets/metertree)
psql --set=ON_ERROR_STOP=1 --username postgres --set=password="$password" <<'END'
CREATE ROLE metertree LOGIN PASSWORD :'password';
CREATE DATABASE metertree OWNER metertree;
\connect metertree
CREATE EXTENSION IF NOT EXISTS timescaledb;
END
