#!/bin/sh
# Fetches the Chromium of this Debian (or derivative), a Chinese font and the libraries this machine lacks into a folder,
# without installing anything and without root: for tests in a real browser. `make test` calls it where there is none.
# Prints the line that makes the tests find it elsewhere. Root without lists of packages fetches these first.
#   scripts/install_chromium.sh [FOLDER]      default: .metertree/chromium; at most 200 MB to fetch, 700 MB unpacked; little where a desktop is installed
set -eu
folder=${1:-.metertree/chromium}
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "this needs apt-get and dpkg-deb" >&2; exit 1; }
mkdir -p "$folder/packages"
folder=$(cd "$folder" && pwd)
cd "$folder/packages"
[ -n "$(apt-cache pkgnames chromium)" ] || [ "$(id -u)" != 0 ] || apt-get update -qq
needed=$(apt-get --simulate --no-install-recommends ${APT_OPTIONS:-} install chromium fonts-droid-fallback | awk '/^Inst /{print $2}')
apt-get download $needed
for package in ./*.deb; do dpkg-deb -x "$package" "$folder"; rm "$package"; done
library="$folder/usr/lib/$(uname -m)-linux-gnu"
program="$folder/chromium"
cat > "$program" <<END
#!/bin/sh
export LD_LIBRARY_PATH="$library:$library/nss:$folder/lib/$(uname -m)-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
export FONTCONFIG_FILE="$folder/fonts.conf"
exec "$folder/usr/lib/chromium/chromium" "\$@"
END
cat > "$folder/fonts.conf" <<END
<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>$folder/usr/share/fonts</dir><dir>/usr/share/fonts</dir><cachedir>$folder/fonts</cachedir></fontconfig>
END
chmod +x "$program"
"$program" --version --no-sandbox
echo "export METERTREE_TEST_CHROMIUM=$program"
