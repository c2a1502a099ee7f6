#!/bin/sh
# Fetches the built files of a real site framework, pinned, into a folder:
#
#     sh tests/e2e/fetch_site.sh DIR
#
# They are not ours to commit, and real ones have what made-up ones lack: minified
# and right-to-left variants, source maps, files of some hundred kilobytes.
set -eu

package=bootstrap
version=5.3.8
sha256=8b02d4a7482e0f0a2b1da58f1c9c86830e96cc2f77f094f89e4681b19886bc38

if [ $# -ne 1 ]; then
    echo "usage: $0 DIR" >&2
    exit 2
fi
mkdir -p "$1"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm pack --silent --pack-destination "$work" "$package@$version" >/dev/null
archive=$work/$package-$version.tgz
echo "$sha256  $archive" | sha256sum --check --quiet
tar -xzf "$archive" -C "$1" --strip-components=2 package/dist
