#!/bin/sh
# Builds one small application with several bundlers, each of them twice: as it is, and with
# every file edited. What they write is left in target/bundlers/out/TOOL/{a,b}.
#
#     sh tests/e2e/bundlers.sh              # installs what is missing, and builds
#     sh tests/e2e/bundlers.sh install      # only installs
#
# Needs node and npm. The versions are pinned in tests/e2e/bundlers/package-lock.json.
set -eu

source=$(cd "$(dirname "$0")/bundlers" && pwd)
work=$source/../../../target/bundlers
mkdir -p "$work/app"
work=$(cd "$work" && pwd)
out=$work/out
export NEXT_TELEMETRY_DISABLED=1 PARCEL_WORKERS=0 NODE_ENV=production CI=1

install() {
    cmp -s "$source/package-lock.json" "$work/app/node_modules/.installed" && return
    cp "$source/package.json" "$source/package-lock.json" "$work/app"
    (cd "$work/app" && npm ci --silent --no-audit --no-fund --include=dev)
    cp "$source/package-lock.json" "$work/app/node_modules/.installed"
}

# The same directory for both builds: bundlers hash paths, too.
lay_out() { # edition
    cd "$work/app"
    rm -rf app src public index.html next.config.mjs .next .parcel-cache
    cp -R "$source/app/." .
    cp "$source/webpack.mjs" .
    node "$source/binaries.mjs" src "$1"
}

edit_everything() {
    sed -i 's/Hello/Good day/' src/greeting.js src/worker.js
    sed -i 's/from the panel/from this panel/' src/panel.js
    sed -i 's/#111/#222/' src/style.css
    echo '.panel { margin: 1px }' >> src/panel.css
    # Only a comment, so that the chunk stays as it is.
    sed -i 's/edition 1/edition 2/' src/about.js
    find public -type f -exec sh -c 'echo "<!-- edition 2 -->" >> "$1"' edit {} \;
}

# Runs a command, and shows what it says only if it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
}

vite() {
    quietly node_modules/.bin/vite build --base ./ --sourcemap --manifest --outDir "$1"
}

esbuild() { # directory, further options
    directory=$1; shift
    quietly node_modules/.bin/esbuild src/main.js --bundle --splitting --format=esm --minify \
        --sourcemap --legal-comments=linked --loader:.png=file --loader:.woff2=file \
        --outdir="$directory" "$@"
    cp -R public/. "$directory"
}

parcel() {
    quietly node_modules/.bin/parcel build index.html --public-url ./ --no-cache --dist-dir "$1"
    cp -R public/. "$1"
}

webpack() { # directory, hash
    quietly node webpack.mjs "$1" "$2"
    cp -R public/. "$1"
}

next() { # directory, options
    directory=$1; shift
    quietly node_modules/.bin/next build "$@"
    mv out "$directory"
}

build() { # a or b
    vite "$out/vite/$1"
    esbuild "$out/esbuild/$1"
    esbuild "$out/esbuild-entries/$1" --entry-names='[dir]/[name]-[hash]' \
        --chunk-names='chunks/[name]-[hash]' --asset-names='assets/[name]-[hash]'
    parcel "$out/parcel/$1"
    webpack "$out/webpack/$1" '[contenthash]'
    webpack "$out/webpack-8/$1" '[contenthash:8]'
    next "$out/next/$1"
    next "$out/next-webpack/$1" --webpack
}

install
[ "${1:-}" = install ] && exit

rm -rf "$out"
for tool in vite esbuild esbuild-entries parcel webpack webpack-8 next next-webpack; do
    mkdir -p "$out/$tool"
done
lay_out 1
build a
lay_out 2
edit_everything
build b
