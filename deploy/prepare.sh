#!/bin/sh
# Makes what an installation keeps secret, once: keys, tokens, passwords, certificates. What is there is left as it is.
#   prepare.sh FOLDER BROKER-NAME...     names and addresses by which gateways reach the broker
# As root it also gives each part to the account that reads it in compose.yaml; else it says what is left to do.
# Afterwards take FOLDER/certificates/private away from this machine: only new certificates need it.
set -eu
umask 077
folder=${1:?which folder} here=$(cd "$(dirname "$0")" && pwd)
shift
[ $# -gt 0 ] || { echo "prepare.sh: by which names do gateways reach the broker?" >&2; exit 1; }
mkdir -p "$folder/centre" "$folder/broker" "$folder/database"
folder=$(cd "$folder" && pwd)

once() { # file, command...
    file=$1
    shift
    [ -e "$file" ] || { "$@" >"$file.new" && mv "$file.new" "$file"; }
}

certs=$folder/certificates
sh "$here/certificates.sh" "$certs" authorities
[ -e "$certs/broker.crt" ] || sh "$here/certificates.sh" "$certs" broker "$@" broker localhost 127.0.0.1
[ -e "$certs/centre.crt" ] || sh "$here/certificates.sh" "$certs" centre

once "$folder/centre/signing.key" openssl genpkey -algorithm ed25519
once "$folder/centre/salt.key" openssl rand -hex 32
once "$folder/centre/admin.token" openssl rand -hex 24
once "$folder/database/superuser" openssl rand -hex 24
once "$folder/database/metertree" openssl rand -hex 24
once "$folder/centre/database.pass" printf '*:*:metertree:metertree:%s\n' "$(cat "$folder/database/metertree")"
cp "$certs/ca.crt" "$folder/centre/ca.crt"
cp "$certs/centre.crt" "$folder/centre/tls.crt"
cp "$certs/centre.key" "$folder/centre/tls.key"
for part in ca.crt gateways-ca.crt gateways-ca.crl broker.crt broker.key; do cp "$certs/$part" "$folder/broker/$part"; done
chmod 644 "$folder/database/superuser" "$folder/database/metertree" # inside a folder that is closed to others

if [ "$(id -u)" = 0 ]; then
    chown -R 10001:10001 "$folder/centre"
    chown -R 1883:1883 "$folder/broker"
else
    echo "as root: chown -R 10001:10001 $folder/centre; chown -R 1883:1883 $folder/broker"
fi
