#!/bin/sh
# Installs what the tests need on Debian beside a Rust toolchain: Chromium and its
# WebDriver for the browser's, npm for those and for the bundlers', four shared caches
# for the rolling deploy, two stores for the releases, aws for an upload, zstd as decoder of
# deltas, and linters for what deploys a site.
# Does nothing where all of it is there.
#
#     sh tests/e2e/install.sh
#     cargo test --test browser --test rolling_deploy -- --ignored
set -eu
cd "$(dirname "$0")/../.."

# Where Debian has its servers, and a user's own PATH does not look.
PATH=$PATH:/usr/sbin:/sbin

missing=
need() { # command, package
    command -v "$1" >/dev/null || missing="$missing $2"
}

need chromium chromium
need chromedriver chromium-driver
need npm npm
need curl curl
need pip3 python3-pip
need systemd-analyze systemd
need sha256sum coreutils
need tar tar
need gzip gzip
need aws awscli
need haproxy haproxy
need nginx nginx
need squid squid
need varnishd varnish
need valgrind valgrind
need zstd zstd

if [ -z "$missing" ]; then
    sh tests/e2e/stores.sh
    sh tests/e2e/linters.sh
    exit 0
fi

as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo

# The tests start their own: 101 tells the packages not to start theirs
# (https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
# Unquoted: one word for each package.
# shellcheck disable=SC2086
$as_root apt-get install -q -y --no-install-recommends $missing
sh tests/e2e/stores.sh
sh tests/e2e/linters.sh
