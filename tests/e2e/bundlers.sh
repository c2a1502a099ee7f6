#!/bin/sh
# Builds one small application with several bundlers, each of them twice: as it is, and with
# every file edited. What they write is left in target/bundlers/out/TOOL/{a,b}.
#
#     sh tests/e2e/bundlers.sh                        # installs what is missing, and builds
#     sh tests/e2e/bundlers.sh install                # only installs
#     sh tests/e2e/bundlers.sh vite next-webpack      # builds only with these
#     sh tests/e2e/bundlers.sh trunk trunk-off        # installs trunk as well
#
# Needs node and npm, and a Rust toolchain for trunk. The versions are pinned, those of npm's
# packages in tests/e2e/bundlers/package-lock.json.
set -eu

source=$(cd "$(dirname "$0")/bundlers" && pwd)
mkdir -p "$source/../../../target/bundlers/app"
work=$(cd "$source/../../../target/bundlers" && pwd)
out=$work/out
export NEXT_TELEMETRY_DISABLED=1 NODE_ENV=production CI=1

install() {
    cmp -s "$source/package-lock.json" "$work/app/node_modules/.installed" && return
    cp "$source/package.json" "$source/package-lock.json" "$work/app"
    (cd "$work/app" && npm ci --silent --no-audit --no-fund --include=dev)
    cp "$source/package-lock.json" "$work/app/node_modules/.installed"
}

# Some 600 crates, which take minutes.
install_trunk() {
    [ -x "$work/tools/bin/trunk" ] || CARGO_PROFILE_DEV_DEBUG=0 cargo install trunk \
        --version 0.21.14 --debug --locked --no-default-features --root "$work/tools" \
        --target-dir "$work/tools/build"
}

# The same directories for both builds, because some bundlers hash paths as well.
lay_out() { # edition
    cd "$work/app"
    rm -rf app src public *.html *.toml next.config.mjs .next .parcel-cache
    cp -R "$source/app/." "$source/webpack.mjs" "$source/vite-off.mjs" .
    node "$source/binaries.mjs" src "$1"
}

edit_everything() {
    sed -i 's/Hello/Good day/' src/greeting.js src/worker.js
    sed -i 's/from the panel/from this panel/' src/panel.js
    sed -i 's/#111/#222/' src/style.css
    echo '.panel { margin: 1px }' >>src/panel.css
    # Only a comment, so that the chunk stays as it is.
    sed -i 's/edition 1/edition 2/' src/about.js
    for file in $(find public -type f); do
        echo '<!-- edition 2 -->' >>"$file"
    done
}

build() { # tool, a or b
    rm -rf dist "$out/$1/$2"
    case $1 in
        vite) run vite build --base ./ --sourcemap --manifest --outDir dist ;;
        esbuild) esbuild ;;
        esbuild-entries)
            esbuild '--entry-names=[dir]/[name]-[hash]' '--chunk-names=chunks/[name]-[hash]' \
                '--asset-names=assets/[name]-[hash]'
            ;;
        parcel) parcel ;;
        webpack) quietly node webpack.mjs dist '.[contenthash]' ;;
        webpack-8) quietly node webpack.mjs dist '.[contenthash:8]' ;;
        next) next ;;
        next-webpack) next --webpack ;;
        trunk) trunk --config Trunk.toml ;;
        # Without hashes, or with such as stay the same.
        vite-off) run vite build --config vite-off.mjs --outDir dist ;;
        webpack-off) quietly node webpack.mjs dist ;;
        parcel-off) parcel --no-content-hash ;;
        trunk-off) trunk --config trunk-off.toml ;;
    esac
    # Some do so themselves.
    cp -R public/. dist
    mkdir -p "$out/$1"
    mv dist "$out/$1/$2"
}

esbuild() {
    run esbuild src/main.js --bundle --splitting --format=esm --minify --sourcemap \
        --legal-comments=linked --loader:.png=file --loader:.woff2=file --outdir=dist "$@"
}

parcel() {
    run parcel build index.html --public-url ./ --no-cache --dist-dir dist "$@"
}

# Without a Rust application, because that needs the target wasm32-unknown-unknown.
trunk() {
    install_trunk
    quietly "$work/tools/bin/trunk" build --offline "$@"
}

next() {
    run next build "$@"
    mv out dist
}

run() { # command of a package, arguments
    command=$1
    shift
    quietly "node_modules/.bin/$command" "$@"
}

# What a bundler says is shown only if it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        return 1
    }
}

install
[ "${1:-}" != install ] || exit 0
# Next.js is slow with webpack, and trunk to install: not unless they are named.
[ $# -gt 0 ] || set -- vite vite-off esbuild esbuild-entries parcel parcel-off \
    webpack webpack-8 webpack-off next

lay_out 1
for tool; do build "$tool" a; done
lay_out 2
edit_everything
for tool; do build "$tool" b; done
