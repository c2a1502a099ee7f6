#!/bin/sh
# Installs what the browser checks need on Debian: Chromium, its WebDriver, and
# npm for the third-party site. Does nothing where all of it is there.
#
#     sh tests/e2e/install.sh
#     cargo test --test browser -- --ignored
set -eu

missing=
need() { # command, package
    command -v "$1" >/dev/null || missing="$missing $2"
}

need chromium chromium
need chromedriver chromium-driver
need npm npm
need sha256sum coreutils
need tar tar

if [ -z "$missing" ]; then
    echo "nothing to install"
    exit 0
fi

as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
# Unquoted: one word for each package.
# shellcheck disable=SC2086
$as_root apt-get install -q -y --no-install-recommends $missing
