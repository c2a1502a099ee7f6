#!/bin/sh
# The whole way of a small site: npm builds it, two nodes serve it behind nginx, and a deploy
# replaces one node after the other while visitors go on asking. Every step is checked, and the
# first check that fails ends the script.
#
#     sh examples/deploy/whole_way.sh           # nginx listens at port 8080
#     sh examples/deploy/whole_way.sh PORT
#
# Needs npm, nginx, curl and a Rust toolchain. SERVER and STATIC_URL may name the programs, if they
# are built already. All files are in a temporary directory, which is deleted at the end.
set -eu

main() {
    prepare "${1:-8080}"

    say "npm builds the site, and the build is published"
    build first
    publish first

    say "two nodes start, and nginx in front of them"
    start_node one first
    start_node two first
    start_nginx
    check_page first
    check_build first
    check_compressed first

    say "visitors come, somebody edits the site, and the next build is published"
    start_visitors
    edit_site
    build next
    publish next
    visitors_also_ask_for next

    say "the nodes are still the old ones, and already answer for both builds"
    check_nodes first first
    check_build first
    check_build next

    say "the first node is replaced: a page of either build meets nodes of both"
    replace_node one next
    check_nodes next first
    check_build first
    check_build next

    say "the second node is replaced"
    replace_node two next
    check_nodes next next
    check_page next
    check_build next
    check_compressed next

    say "a tab that is open since before the deploy still gets its own files"
    check_build first
    check_compressed first

    end_visitors
    echo "done"
}

prepare() { # port
    port=$1
    here=$(cd "$(dirname "$0")" && pwd)
    # Where Debian has nginx, and a user's own PATH does not look.
    PATH=$PATH:/usr/sbin:/sbin
    work=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 1' HUP INT TERM
    # The workers of nginx are another user.
    chmod 755 "$work"
    mkdir "$work/nginx" "$work/web"
    copy_site
    [ -n "${SERVER:-}" ] && [ -n "${STATIC_URL:-}" ] || build_programs
}

# What a repository of a site would have.
copy_site() {
    web=$here/../spa/web
    cp -R "$web/package.json" "$web/package-lock.json" "$web/vite.config.js" "$web/index.html" \
        "$web/src" "$web/public" "$work/web"
    in_site npm ci --silent --no-audit --no-fund --include=dev --prefer-offline
}

build_programs() {
    (cd "$here/../.." && cargo build --release --features cli --bin static-url --example deploy)
    SERVER=$here/../../target/release/examples/deploy
    STATIC_URL=$here/../../target/release/static-url
}

build() { # name
    in_site npm run --silent build -- --logLevel warn --emptyOutDir --outDir "$work/$1"
    "$STATIC_URL" precompress "$work/$1"
}

in_site() { # command, arguments
    (cd "$work/web" && "$@")
}

# Before any node has it, so that no page links to what nobody knows.
publish() { # build
    "$STATIC_URL" publish "$work/$1" --to "$work/releases"
    list_files "$1" >"$work/$1.urls"
    prepare_visit "$1"
}

# One chunk gets another name, and the favicon gets other bytes under the same name.
edit_site() {
    sed -i.before 's/Your profile/Your new profile/' "$work/web/src/pages/profile.js"
    echo '<!-- Edited. -->' >>"$work/web/public/favicon.svg"
}

# Prints each URL that a page of this build may ever ask for, and the file that it stands for.
list_files() { # build
    version=$("$STATIC_URL" version "$work/$1")
    (cd "$work/$1" && find . -type f ! -name '*.gz' ! -name '*.br' ! -name '*.zst' | sort) |
        while read -r path; do
            path=${path#./}
            echo "/static/$version/$path $work/$1/$path"
            case $path in
                # Vite has put a hash into these names.
                assets/*) echo "/static/$path $work/$1/$path" ;;
            esac
        done
}

# What visitors ask for in one call of curl, ten times each, and all that it then prints: each
# file, and how it came.
prepare_visit() { # build
    and_how='\n%{http_code} %header{cache-control}\n'
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        while read -r url file; do
            echo "url = http://127.0.0.1:$port$url" >>"$work/$1.curl"
            cat "$file" >>"$work/$1.expected"
            printf '\n200 public, max-age=31536000, immutable\n' >>"$work/$1.expected"
        done <"$work/$1.urls"
    done
}

# A node has the same address ever after, as the configuration of nginx says.
start_node() { # one or two, build, [address]
    log=$work/$1.log
    : >"$log"
    "$SERVER" --dist "$work/$2" --releases "$work/releases" --listen "${3:-127.0.0.1:0}" \
        >>"$log" 2>&1 &
    pid=$!
    wait_until "node $1 listens" has_started "$pid" "$log"
    grep -q '^serving ' "$log" || fail "node $1 does not start: $(cat "$log")"
    address=$(sed -n 's|^serving .* at http://\(.*\)/$|\1|p' "$log")
    case $1 in
        one) pid_of_one=$pid one=$address ;;
        two) pid_of_two=$pid two=$address ;;
    esac
    echo "node $1 has the build '$2' at $address"
}

# Or has ended, which needs no patience either.
has_started() { # process, its log
    grep -q '^serving ' "$2" || ! kill -0 "$1" 2>/dev/null
}

replace_node() { # one or two, build
    case $1 in
        one) pid=$pid_of_one address=$one ;;
        two) pid=$pid_of_two address=$two ;;
    esac
    # It completes what is under way. Meanwhile nginx asks the other one.
    kill -TERM "$pid"
    wait "$pid" || fail "node $1 did not end well"
    start_node "$1" "$2" "$address"
}

start_nginx() {
    sed -e "s/app1:3000/$one/" -e "s/app2:3000/$two/" -e "s/listen 8080/listen 127.0.0.1:$port/" \
        -e "s|/dev/stdout|$work/nginx/access.log|" "$here/nginx.conf" >"$work/nginx/site.conf"
    cat >"$work/nginx/nginx.conf" <<EOF
pid $work/nginx/pid;
error_log $work/nginx/error.log;
events {}
http {
    client_body_temp_path $work/nginx/client_body;
    proxy_temp_path $work/nginx/proxy;
    fastcgi_temp_path $work/nginx/fastcgi;
    uwsgi_temp_path $work/nginx/uwsgi;
    scgi_temp_path $work/nginx/scgi;
    include $work/nginx/site.conf;
}
EOF
    nginx -e stderr -p "$work/nginx" -c "$work/nginx/nginx.conf" -t -q
    # It returns when it listens.
    nginx -e stderr -p "$work/nginx" -c "$work/nginx/nginx.conf"
    echo "nginx listens at http://127.0.0.1:$port/"
}

# The page links to its own build, and to nothing else.
check_page() { # build
    curl -sSf --max-time 10 -o "$work/page" "http://127.0.0.1:$port/settings/profile"
    grep -o '"/static/[^"]*"' "$work/page" | tr -d '"' >"$work/links"
    [ -s "$work/links" ] || fail "the page has no links"
    while read -r link; do
        grep -q "^$link " "$work/$1.urls" || fail "the page of '$1' links to $link"
    done <"$work/links"
    grep -q '^/static/[0-9a-f]*/favicon.svg$' "$work/links" || fail "no link has the version"
    echo "the page links to $(wc -l <"$work/links") files of the build '$1'"
}

# Each URL of a build has the bytes of that build, from either node.
check_build() { # build
    while read -r url file; do
        tries=0
        until answered "$one" "$url?check" && answered "$two" "$url?check"; do
            [ "$tries" -lt 100 ] || fail "only one node has answered for $url"
            is_right "$url?check" "$file" checked || fail "$(cat "$work/checked.error")"
            tries=$((tries + 1))
        done
    done <"$work/$1.urls"
    echo "$(wc -l <"$work/$1.urls") URLs of the build '$1' have the right bytes from both nodes"
    : >"$work/nginx/access.log"
}

answered() { # node, URL
    grep -q -F -x "200 $1 $2" "$work/nginx/access.log"
}

# A browser that reads brotli gets the file that was compressed ahead.
check_compressed() { # build
    count=0
    while read -r url file; do
        [ -e "$file.br" ] || continue
        is_right "$url" "$file.br" checked 'Accept-Encoding: br' ||
            fail "$(cat "$work/checked.error")"
        count=$((count + 1))
    done <"$work/$1.urls"
    [ "$count" -gt 0 ] || fail "nothing was compressed"
    echo "$count of them are sent in brotli"
}

# Which build does each node have?
check_nodes() { # build of one, build of two
    for pair in "$one $1" "$two $2"; do
        has=$(curl -sSf --max-time 10 "http://${pair% *}/healthz")
        [ "$has" = "$("$STATIC_URL" version "$work/${pair#* }")" ] ||
            fail "the node at ${pair% *} does not have the build '${pair#* }'"
    done
}

# They ask for all files of a build, one after the other, until they are sent home.
start_visitors() {
    echo first >"$work/visited"
    : >"$work/trips"
    : >"$work/wrong"
    visit &
    visitors=$!
}

visit() {
    until [ -e "$work/closed" ]; do
        while read -r build; do
            curl -sS --max-time 10 -K "$work/$build.curl" -w "$and_how" >"$work/trip" 2>&1 || true
            diff -a "$work/$build.expected" "$work/trip" >>"$work/wrong" || true
            echo "$build" >>"$work/trips"
        done <"$work/visited"
    done
}

visitors_also_ask_for() { # build
    echo "$1" >>"$work/visited"
}

end_visitors() {
    touch "$work/closed"
    wait "$visitors"
    [ ! -s "$work/wrong" ] || fail "visitors got: $(head -n 20 "$work/wrong")"
    requests=0
    for build in first next; do
        trips=$(grep -c -x "$build" "$work/trips") || fail "nobody has asked for '$build'"
        requests=$((requests + trips * $(wc -l <"$work/$build.curl")))
    done
    echo "visitors have made $requests requests, and nothing was ever wrong"
}

# Whether a URL gives exactly these bytes, to be kept for a year.
is_right() { # URL, file, name of who asks, [field of the request]
    curl -sS --max-time 10 -D "$work/$3.head" -o "$work/$3.body" -H "${4:-Accept: */*}" \
        "http://127.0.0.1:$port$1" 2>"$work/$3.error" || return 1
    status=$(sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$work/$3.head")
    caching=$(tr -d '\r' <"$work/$3.head" | sed -n 's/^cache-control: //p')
    is_same=no
    ! cmp -s "$work/$3.body" "$2" || is_same=yes
    [ "$status, $caching, $is_same" != '200, public, max-age=31536000, immutable, yes' ] || return 0
    echo "$1: status $status, '$caching', the right bytes: $is_same" >"$work/$3.error"
    return 1
}

wait_until() { # what, command, arguments
    what=$1 tries=0
    shift
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || fail "waited in vain until $what"
        sleep 0.1
    done
}

say() {
    printf '\n== %s\n' "$1"
}

fail() {
    echo "error: $1" >&2
    exit 1
}

# Ends what the script has started, however it ends.
clean_up() {
    code=$?
    trap - EXIT
    pid_of_nginx=$(cat "$work/nginx/pid" 2>/dev/null) || true
    for pid in ${visitors:-} ${pid_of_one:-} ${pid_of_two:-} ${pid_of_nginx:-}; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$work"
    exit "$code"
}

main "$@"
