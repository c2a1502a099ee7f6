#!/bin/sh
# Installs two stores that speak S3 into target/stores: SeaweedFS, as it is used in
# production, and s3rver, which ignores conditions. Does nothing where both are there.
#
#     sh tests/e2e/stores.sh
#
# Needs Python with pip, node and npm. The versions are pinned, and so is every byte: in
# tests/e2e/stores/requirements.txt and package-lock.json.
set -eu

source=$(cd "$(dirname "$0")/stores" && pwd)
mkdir -p "$source/../../../target/stores"
work=$(cd "$source/../../../target/stores" && pwd)

is_installed() { # directory, the file that says what is in it
    cmp -s "$source/$2" "$work/$1/.installed"
}

if ! is_installed seaweedfs requirements.txt; then
    rm -rf "$work/seaweedfs"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps \
        --only-binary :all: --require-hashes --target "$work/seaweedfs" -r "$source/requirements.txt"
    cp "$source/requirements.txt" "$work/seaweedfs/.installed"
fi

if ! is_installed s3rver package-lock.json; then
    mkdir -p "$work/s3rver"
    cp "$source/package.json" "$source/package-lock.json" "$work/s3rver"
    (cd "$work/s3rver" && npm ci --silent --no-audit --no-fund)
    cp "$source/package-lock.json" "$work/s3rver/.installed"
fi
