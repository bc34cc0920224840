#!/bin/sh
# Fetches the Mosquitto of this Debian (or derivative) and what it needs into a folder, without installing anything and
# without root: for tests and benches with a real Mosquitto. `make test` calls it where there is none. Prints the line that
# makes the tests find it elsewhere. Root without lists of packages fetches these first.
#   scripts/install_mosquitto.sh [FOLDER]      default: .metertree/mosquitto
set -eu
folder=${1:-.metertree/mosquitto}
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "this needs apt-get and dpkg-deb" >&2; exit 1; }
mkdir -p "$folder/packages"
folder=$(cd "$folder" && pwd)
cd "$folder/packages"
[ -n "$(apt-cache pkgnames mosquitto)" ] || [ "$(id -u)" != 0 ] || apt-get update -qq
needed=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances mosquitto | grep -E '^(mosquitto|lib(cjson|websockets|ev4|uv1|dlt|mosquitto|wrap|cap|systemd)[0-9a-z.+-]*)$' | sort -u)
apt-get download $needed
for package in ./*.deb; do dpkg-deb -x "$package" "$folder"; done
program="$folder/usr/sbin/mosquitto"
LD_LIBRARY_PATH="$folder/usr/lib/$(uname -m)-linux-gnu" "$program" -h | head -n 1
echo "export METERTREE_TEST_MOSQUITTO=$program"
