#!/bin/sh
# Installs what the comparison needs on Debian: the load generators for HTTP/1.1 and
# HTTP/2, and nginx. Does nothing where all of it is there.
#
#     sh benches/peers/install.sh
#     cargo run --release -p peers
set -eu

# Debian has nginx where only root's PATH finds it.
PATH="$PATH:/usr/sbin:/sbin"

missing=
need() { # command, package
    command -v "$1" >/dev/null || missing="$missing $2"
}

need wrk wrk
need h2load nghttp2-client
need nginx nginx-light

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
