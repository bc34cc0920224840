#!/bin/sh
# Certificates for the broker's doors, by two small authorities of your own: one for the broker and the centre, one for
# gateways, so that no gateway's certificate opens the centre's door. Keep FOLDER/private away from every server.
#   certificates.sh FOLDER authorities          once; also the empty list of revoked gateways
#   certificates.sh FOLDER broker NAME...       the broker's, for its names and addresses
#   certificates.sh FOLDER centre               the centre's
#   certificates.sh FOLDER gateway ID [CSR]     a gateway's; with CSR its key was made on the gateway and stays there
#   certificates.sh FOLDER revoke ID            shuts a gateway out, once the broker has the new list
#   certificates.sh FOLDER list                 all of them with the days they are still good for
# DAYS=397 sets how long a certificate is good for. What is there is never overwritten, but by broker, centre and
# gateway, which renew.
set -eu
umask 077

folder=${1:?which folder} what=${2:?what to do: authorities, broker, centre, gateway, revoke or list}
shift 2
days=${DAYS:-397}
years_10=3650
CENTRE=centre.metertree # no gateway can have this name: an id has no dot

fail() {
    echo "certificates.sh: $1" >&2
    exit 1
}

show() { # file, name: lets the file be read, and lays a copy where METERTREE_WATCH_CERTIFICATES can watch it
    chmod 644 "$1"
    cp -p "$1" "$folder/issued/$2.${1##*.}"
}

authority() { # name, common name
    [ ! -e "$folder/private/$1.key" ] || return 0
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days $years_10 -subj "/CN=$2" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout "$folder/private/$1.key" -out "$folder/$1.crt" 2>/dev/null
    show "$folder/$1.crt" "$1.metertree"
}

sign() { # authority, subject, extensions, request, certificate
    extensions=$(mktemp)
    printf '%s\n' "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" "$3" >"$extensions"
    openssl x509 -req -sha256 -days "$days" -in "$4" -subj "/CN=$2" -set_serial "0x$(openssl rand -hex 16)" \
        -CA "$folder/$1.crt" -CAkey "$folder/private/$1.key" -extfile "$extensions" -out "$5.new" 2>/dev/null ||
        fail "$4 is no request for a certificate"
    rm "$extensions"
    mv "$5.new" "$5"
    show "$5" "$2"
}

issue() { # authority, subject, extensions, path without suffix
    request=$(mktemp)
    key=$4.key
    [ -e "$key" ] || openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$key"
    openssl req -new -key "$key" -subj "/CN=$2" -out "$request"
    sign "$1" "$2" "$3" "$request" "$4.crt"
    rm "$request"
}

revoked() { # what openssl ca shall do with the list of revoked certificates
    settings=$(mktemp)
    cat >"$settings" <<END
[ca]
default_ca = gateways
[gateways]
database = $folder/private/revoked
certificate = $folder/gateways-ca.crt
private_key = $folder/private/gateways-ca.key
default_md = sha256
# A list that is past its time shuts every gateway out, and only the next revocation makes a new one.
default_crl_days = $years_10
END
    openssl ca -config "$settings" "$@" 2>/dev/null
    rm "$settings"
}

revoked_list() {
    revoked -gencrl -out "$folder/gateways-ca.crl"
    show "$folder/gateways-ca.crl" gateways-ca.metertree
}

check_id() {
    printf '%s' "$1" | grep -Eq '^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$' || fail "$1 is no gateway id"
}

[ "$what" = authorities ] || [ -e "$folder/private/gateways-ca.key" ] || fail "no authorities in $folder: make them first"
case $what in
authorities)
    mkdir -p "$folder/private" "$folder/gateways" "$folder/issued"
    authority ca "Metertree broker and centre"
    authority gateways-ca "Metertree gateways"
    [ -e "$folder/private/revoked" ] || : >"$folder/private/revoked"
    [ -e "$folder/gateways-ca.crl" ] || revoked_list
    chmod 755 "$folder" "$folder/issued"
    ;;
broker)
    [ $# -gt 0 ] || fail "by which names and addresses is the broker reached?"
    names=""
    for name in "$@"; do
        case $name in
        *:*) kind=IP ;;
        *[!0-9.]*) kind=DNS ;;
        *) kind=IP ;;
        esac
        names="${names:+$names,}$kind:$name"
    done
    issue ca broker.metertree "extendedKeyUsage=serverAuth,clientAuth
subjectAltName=$names" "$folder/broker"
    ;;
centre) issue ca "$CENTRE" "extendedKeyUsage=clientAuth" "$folder/centre" ;;
gateway)
    id=${1:?which gateway}
    check_id "$id"
    if [ $# -gt 1 ]; then
        sign gateways-ca "$id" "extendedKeyUsage=clientAuth" "$2" "$folder/gateways/$id.crt"
    else
        issue gateways-ca "$id" "extendedKeyUsage=clientAuth" "$folder/gateways/$id"
    fi
    ;;
revoke)
    id=${1:?which gateway}
    check_id "$id"
    [ -e "$folder/gateways/$id.crt" ] || fail "no certificate of $id in $folder/gateways"
    revoked -revoke "$folder/gateways/$id.crt"
    mv "$folder/gateways/$id.crt" "$folder/gateways/$id.crt.revoked"
    rm -f "$folder/issued/$id.crt" "$folder/gateways/$id.key" # the next certificate shall be for another key
    revoked_list
    echo "give $folder/gateways-ca.crl to the broker and restart it"
    ;;
list)
    now=$(date +%s)
    for file in "$folder"/*.crt "$folder"/gateways/*.crt; do
        [ -e "$file" ] || continue
        ends=$(date -d "$(openssl x509 -noout -enddate -in "$file" | cut -d= -f2)" +%s)
        printf '%6d days  %s\n' $(((ends - now) / 86400)) "$file"
    done | sort -n
    ;;
*) fail "cannot $what: authorities, broker, centre, gateway, revoke or list" ;;
esac
