#!/bin/sh
# Fetches promtool out of this Debian's (or derivative's) package prometheus into a folder, without installing anything
# and without root: for the tests of deploy/prometheus. The tests find it there.
#   scripts/install_promtool.sh [FOLDER]      default: .metertree/prometheus
set -eu
folder=${1:-.metertree/prometheus}
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "this needs apt-get and dpkg-deb" >&2; exit 1; }
mkdir -p "$folder/packages"
folder=$(cd "$folder" && pwd)
cd "$folder/packages"
apt-get download prometheus
dpkg-deb --fsys-tarfile ./prometheus_*.deb | tar -x -C "$folder" ./usr/bin/promtool
rm ./prometheus_*.deb
"$folder/usr/bin/promtool" --version | head -n 1
