#!/bin/sh
# Installs what tells whether the Dockerfile and the compose file of examples/deploy are right into
# target/linters: hadolint, the schema of the Compose Specification, and what compares with it. Does
# nothing where all of it is there.
#
#     sh tests/e2e/linters.sh
#
# Needs Python with pip, node and npm. The versions are pinned, and so is every byte: in
# tests/e2e/deploy/requirements.txt and package-lock.json.
set -eu

source=$(cd "$(dirname "$0")/deploy" && pwd)
mkdir -p "$source/../../../target/linters"
work=$(cd "$source/../../../target/linters" && pwd)

if ! cmp -s "$source/requirements.txt" "$work/python/.installed"; then
    rm -rf "$work/python"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps \
        --only-binary :all: --require-hashes --target "$work/python" -r "$source/requirements.txt"
    cp "$source/requirements.txt" "$work/python/.installed"
fi

if ! cmp -s "$source/package-lock.json" "$work/npm/.installed"; then
    mkdir -p "$work/npm"
    cp "$source/package.json" "$source/package-lock.json" "$work/npm"
    (cd "$work/npm" && npm ci --silent --no-audit --no-fund)
    cp "$source/package-lock.json" "$work/npm/.installed"
fi
# Modules are looked for beside it.
cp "$source/compose.mjs" "$work/npm"
