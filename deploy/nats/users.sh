#!/bin/sh
# Writes users.conf: the centre and these gateways, each named by its certificate, with its own topics.
#   users.sh gw-a gw-b ... > users.conf        then: nats-server --signal reload
set -eu
user() { # name, publishes, subscribes
    echo "  { user: \"CN=$1\", permissions: { publish: [$2], subscribe: [$3, \"\$MQTT.sub.>\", \"\$MQTT.deliver.>\"] } }"
}

echo "authorization { users: ["
user centre.metertree '"m.*.*.down.receipt", "m.*.*.down.config"' '"m.*.*.up.envelope"'
for id in "$@"; do
    printf '%s' "$id" | grep -Eq '^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$' || { echo "$id is no gateway id" >&2; exit 1; }
    # The partition: the first octet of SHA-256 of the id, modulo 64 (docs/wire.md).
    partition=$((0x$(printf '%s' "$id" | sha256sum | cut -c1-2) % 64))
    user "$id" "\"m.$partition.$id.up.envelope\"" "\"m.$partition.$id.down.receipt\", \"m.$partition.$id.down.config\""
done
echo "] }"
