#!/bin/sh
# Fetches SoftHSM2 of this Debian (or derivative) and what it needs into a folder, without installing anything and without
# root: a PKCS#11 token in software, for tests of keys that live in hardware. `make test` calls it where there is none.
# Prints the lines that make the tests find it elsewhere. Root without lists of packages fetches these first.
#   scripts/install_softhsm.sh [FOLDER]      default: .metertree/softhsm
set -eu
folder=${1:-.metertree/softhsm}
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "this needs apt-get and dpkg-deb" >&2; exit 1; }
mkdir -p "$folder/packages"
folder=$(cd "$folder" && pwd)
cd "$folder/packages"
[ -n "$(apt-cache pkgnames libsofthsm2)" ] || [ "$(id -u)" != 0 ] || apt-get update -qq
apt-get download softhsm2 softhsm2-common libsofthsm2
for package in ./*.deb; do dpkg-deb -x "$package" "$folder"; done
module=$(find "$folder/usr/lib" -name libsofthsm2.so | head -n 1)
[ -n "$module" ] || { echo "the package holds no libsofthsm2.so" >&2; exit 1; }
echo "export METERTREE_TEST_PKCS11=$module"
