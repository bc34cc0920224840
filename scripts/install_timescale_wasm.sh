#!/bin/sh
# Installs what tests/timescale needs: TimescaleDB in WebAssembly, exactly as package-lock.json names it by hash, into
# tests/timescale/node_modules (23 MB). Runs no script of the package. Needs Node 20 or newer and its npm; run again to repair.
set -eu
cd "$(dirname "$0")/../tests/timescale"
exec npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
