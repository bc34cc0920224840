#!/bin/sh
# Installs what reads digits off photos, into the environment of the given python (default: python3). About 200 MiB.
#
# rapidocr is installed without what it depends on: only the models in its wheel are used (PP-OCRv6, Apache-2.0), and its
# dependencies carry LGPL libraries. Without any of this everything works, and people type what displays show.
set -eu
python=${1:-python3}
"$python" -m pip install 'onnxruntime>=1.20' 'pillow>=11' 'numpy>=2.1'
"$python" -m pip install --no-deps 'rapidocr==3.10.0'
"$python" -c 'from provisioning.photo_reading.reader import installed_reader
reader = installed_reader()
raise SystemExit(0 if reader else "the reader is not complete")'
echo "photos are read by PP-OCRv6 small"
