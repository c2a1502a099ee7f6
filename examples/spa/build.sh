#!/bin/sh
# Builds examples/spa/web anew. The result is committed, so that the example runs without node.
#
#     sh examples/spa/build.sh          # into examples/spa/web/dist
#     sh examples/spa/build.sh DIR      # into another directory
#
# Needs node and npm.
set -eu

out=${1:-dist}
cd "$(dirname "$0")/web"
npm ci --silent --no-audit --no-fund
npm run --silent build -- --emptyOutDir --outDir "$out"
