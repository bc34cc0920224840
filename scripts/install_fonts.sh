#!/bin/sh
# Fetches a Chinese font of this Debian (or derivative) into a folder, without installing anything and without root: for
# reports and labels as PDF. `make test` calls it with --small where the system has none. Root without lists of packages
# fetches these first.
#   scripts/install_fonts.sh [--small] [FOLDER]      default: .metertree/fonts
# Without --small: Noto Sans CJK, plain and bold (SIL Open Font License 1.1), 57 MB to fetch, 40 MB kept.
# With --small: WenQuanYi Micro Hei, plain (Apache License 2.0, or GPL 3 with font exception), 2 MB to fetch, 5 MB kept.
set -eu
package=fonts-noto-cjk
[ "${1:-}" != --small ] || { package=fonts-wqy-microhei; shift; }
folder=${1:-.metertree/fonts}
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "this needs apt-get and dpkg-deb" >&2; exit 1; }
mkdir -p "$folder/unpacked"
folder=$(cd "$folder" && pwd)
cd "$folder/unpacked"
[ -n "$(apt-cache pkgnames "$package")" ] || [ "$(id -u)" != 0 ] || apt-get update -qq
apt-get download "$package"
dpkg-deb -x ./*.deb .
find . -name 'NotoSansCJK-Regular.ttc' -o -name 'NotoSansCJK-Bold.ttc' -o -name 'wqy-microhei.ttc' |
  while read -r font; do mv "$font" "$folder/"; done
# The licence stays beside the font.
find . -path "*/doc/$package/copyright" -exec cp {} "$folder/$package.copyright" \;
cd "$folder"
rm -r unpacked
ls -l "$folder"
