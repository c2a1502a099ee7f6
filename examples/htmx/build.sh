#!/bin/sh
# Takes htmx from npm. The result is committed, so that the example runs without node.
#
#     sh examples/htmx/build.sh          # into examples/htmx/files/js
#     sh examples/htmx/build.sh DIR      # into another directory
#
# Needs node and npm.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/files/js}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$here/npm"
npm ci --silent --no-audit --no-fund
cp node_modules/htmx.org/dist/htmx.min.js "$out"
