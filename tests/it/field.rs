//! What people report of static files: each case the smallest input of a kind of fault, as
//! somebody would set it up.

use std::{
    convert::Infallible,
    fs,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::OriginalUri,
    http::{HeaderValue, Request, Response, header},
    middleware::map_request,
    routing,
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tempfile::TempDir;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};
use tower_static_url::{
    ErrorKind, Fingerprinted, Manifest, StalePolicy, StaticPrefix, StaticUrlLayer, UnlistedPolicy,
    VersionSource, manifest::Scan,
};

use crate::support::{
    ServeDir, Warnings, YEAR, ask, etag_of, get, gzip, later, mtime, request, tree, write_at,
};

// ---------------------------------------------------------------------------------
// One visitor's page in every cache

/// A listed page that is made anew for each visitor while it streams: it has the file's date,
/// and neither a length nor a tag.
fn personal(root: &Path) -> (Router, Arc<AtomicUsize>) {
    let visitors = Arc::new(AtomicUsize::new(0));
    let (files, counter) = (ServeDir::new(root), Arc::clone(&visitors));
    let personal = service_fn(move |mut request: Request<Body>| {
        // Parts of a template are of no use to it.
        request.headers_mut().remove(header::RANGE);
        let (files, counter) = (files.clone(), Arc::clone(&counter));
        async move {
            let (mut parts, _) = files.oneshot(request).await?.into_parts();
            parts.headers.remove(header::CONTENT_LENGTH);
            parts.headers.remove(header::ETAG);
            let page = page(counter.fetch_add(1, Ordering::Relaxed));
            let body = Body::from_stream(Body::from(page).into_data_stream());
            Ok::<_, Infallible>(Response::from_parts(parts, body))
        }
    });
    (Router::new().nest_service("/static", personal), visitors)
}

fn page(visitor: usize) -> String {
    format!("<p>hello, visitor {visitor}").repeat(10)
}

/// F1: neither pinned nor tagged, in whatever coding, as a part or not, by way of memory or not.
#[tokio::test]
async fn a_page_that_is_made_as_it_streams_is_nobody_elses() {
    let template = "<p>hello, visitor {}".repeat(10);
    let root = tree([("page.html", &*template)]);
    let tag = &*etag_of(&template);
    let conditions: [&[(&str, &str)]; 6] = [
        &[],
        &[("range", "bytes=0-4")],
        &[("range", "bytes=0-4"), ("if-range", tag)],
        &[("range", "bytes=0-0,2-2")],
        &[("if-none-match", tag)],
        &[("if-none-match", "\"other\"")],
    ];
    for (is_compressed, memory) in [(false, 0), (true, 0), (false, 1 << 20), (true, 1 << 20)] {
        let builder = StaticUrlLayer::builder("/static").root(root.path());
        let layer = builder.memory_budget(memory).build().unwrap();
        let (router, visitors) = personal(root.path());
        let router = if is_compressed { router.layer(CompressionLayer::new()) } else { router };
        let service = layer.wrap(router);
        let url = layer.prefix().url("page.html");
        for (method, conditions) in
            ["GET", "HEAD", "GET"].iter().flat_map(|it| conditions.map(|c| (it, c)))
        {
            for coding in ["", "gzip"] {
                let name = format!("{method} {conditions:?} {coding}, {is_compressed}, {memory}");
                let lines = [&[("accept-encoding", coding)], conditions].concat();
                let visitor = visitors.load(Ordering::Relaxed);
                let answer = ask(service.clone(), request(*method, &url, &lines)).await;
                assert_eq!(visitors.load(Ordering::Relaxed), visitor + 1, "{name}");
                assert_eq!(answer.status.as_u16(), 200, "{name}");
                assert_eq!(
                    answer.field("last-modified"),
                    httpdate::fmt_http_date(mtime()),
                    "{name}"
                );
                let got = (answer.cache_control(), answer.field("etag"));
                assert_eq!(got, ("no-cache".into(), String::new()), "{name}");
                // With a tag of the file's in `If-Range`, the plain bytes are asked for.
                let is_plain = *method == "GET" && conditions.contains(&("if-range", tag));
                let is_coded = is_compressed && coding == "gzip" && !is_plain;
                assert_eq!(answer.field("content-encoding") == "gzip", is_coded, "{name}");
                if *method == "GET" && !is_coded {
                    assert_eq!(answer.body, page(visitor), "{name}");
                }
            }
        }
    }
}

// ---------------------------------------------------------------------------------
// An old promise for new bytes

const TEAL: &str = "p{color:#111}";
const NAVY: &str = "p{color:#222}";

/// Reads the disk for every request and says nothing of what it sends, as embedded files do in
/// a debug build.
fn from_disk(root: &Path) -> Router {
    let path = root.join("app.css");
    let read = routing::get(move || {
        let content = fs::read(&path).unwrap();
        async move { content }
    });
    Router::new().route("/static/app.css", read)
}

fn serve_dir(root: &Path) -> Router {
    Router::new().nest_service("/static", ServeDir::new(root))
}

/// F3: the manifest was built from bytes that are not on the disk any more. (The body of
/// `ServeDir` does not tell its length: it is never held back, and never vouched for.)
#[tokio::test]
async fn an_edit_that_keeps_the_length_shows_in_development() {
    let (old, new) = (&*etag_of(TEAL), &*etag_of(NAVY));
    type Service = fn(&Path) -> Router;
    for (name, service, is_hashed) in
        [("bare", from_disk as Service, true), ("ServeDir", serve_dir, false)]
    {
        for is_warm in [false, true] {
            let root = tree([("app.css", TEAL)]);
            let manifest = Manifest::from_files([("app.css", TEAL)]).unwrap();
            let builder = StaticUrlLayer::builder("/static").manifest(manifest);
            let layer = builder.development(true).build().unwrap();
            let current = layer.prefix().url("app.css");
            let urls = [&*current, "/static/app.css", "/static/00000000000000aa/app.css"];
            for (content, seconds) in [(TEAL, 0), (NAVY, 1), (TEAL, 2)] {
                write_at(&root.path().join("app.css"), content, later(seconds));
                if content == TEAL && seconds == 0 && !is_warm {
                    continue;
                }
                let own = ask(service(root.path()), get("/static/app.css")).await.field("etag");
                let is_file = content == TEAL && is_hashed;
                let tag = match (is_file, is_hashed) {
                    (true, _) => old,
                    (false, true) => new,
                    (false, false) => &own,
                };
                for url in urls {
                    let name = format!("{name}, {url} {content} {seconds}, warm: {is_warm}");
                    let cache_control = if is_file && url == current { YEAR } else { "no-cache" };
                    let send = async |lines: &[(&str, &str)]| {
                        ask(layer.wrap(service(root.path())), request("GET", url, lines)).await
                    };
                    for (lines, status) in [
                        (&[][..], 200),
                        (&[("if-none-match", tag)], 304),
                        (&[("if-none-match", old)], if tag == old { 304 } else { 200 }),
                        (&[("if-none-match", new)], if tag == new { 304 } else { 200 }),
                    ] {
                        let answer = send(lines).await;
                        assert_eq!(answer.status.as_u16(), status, "{name} {lines:?}");
                        assert_eq!(answer.body, if status == 200 { content } else { "" }, "{name}");
                        let got = (answer.cache_control(), answer.field("etag"));
                        assert_eq!(got, (cache_control.into(), tag.into()), "{name} {lines:?}");
                    }
                }
            }
        }
    }
}

/// F3, in production: nobody edits files there, and their length is trusted.
#[tokio::test]
async fn in_production_embedded_files_are_known_by_their_length() {
    let root = tree([("app.css", TEAL)]);
    let manifest = Manifest::from_files([("app.css", TEAL)]).unwrap();
    let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
    let old = etag_of(TEAL);
    let current = layer.prefix().url("app.css");
    for (content, cache_control, is_file) in
        [(TEAL, YEAR, true), (NAVY, YEAR, true), ("p{color:teal}, or so", "no-cache", false)]
    {
        write_at(&root.path().join("app.css"), content, later(1));
        let answer = ask(layer.wrap(serve_dir(root.path())), get(&current)).await;
        assert_eq!(
            (&*answer.body, answer.cache_control()),
            (content.as_bytes(), cache_control.into())
        );
        assert_eq!(answer.field("etag") == old, is_file, "{content}");
        let known = request("GET", "/static/app.css", &[("if-none-match", &*old)]);
        let answer = ask(layer.wrap(serve_dir(root.path())), known).await;
        assert_eq!(answer.status.as_u16(), if is_file { 304 } else { 200 }, "{content}");
    }
}

// ---------------------------------------------------------------------------------
// A site whose files are at its root

/// Not asked for anything before it has been sent.
struct Untouched(Arc<AtomicUsize>);

impl http_body::Body for Untouched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let is_first = self.0.fetch_add(1, Ordering::Relaxed) == 0;
        Poll::Ready(is_first.then(|| Ok(Frame::data(Bytes::from_static(b"{}")))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(2)
    }
}

/// F4: the rest of the site is left alone, though a number in it looks like a version.
#[tokio::test]
async fn a_route_of_the_site_is_no_file() {
    let root = tree([("app.css", TEAL), ("img/cart.svg", "<svg>")]);
    let layer = StaticUrlLayer::new("/", root.path()).unwrap();
    let polled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&polled);
    let told =
        |what: &'static str| async move |OriginalUri(uri): OriginalUri| format!("{what} {uri}");
    let site = Router::new()
        .route("/{id}/delete", routing::post(told("one")).delete(told("one")))
        .route("/delete", routing::post(told("all")).delete(told("all")))
        .route("/{id}/edit", routing::get(told("edit")))
        .route("/edit", routing::get(told("all edit")))
        .route("/api", routing::get(async || Json([1, 2])))
        .route("/polled", routing::get(async move || Response::new(Body::new(Untouched(counter)))))
        .route("/{id}/broken", routing::get(async || http::StatusCode::INTERNAL_SERVER_ERROR))
        .fallback_service(ServeDir::new(root.path()));
    let version = layer.prefix().version().to_owned();
    for id in ["0123456789abcdef", &*version] {
        for (method, url, body) in [
            ("POST", format!("/{id}/delete"), format!("one /{id}/delete")),
            ("DELETE", format!("/{id}/delete?a"), format!("one /{id}/delete?a")),
            ("GET", format!("/{id}/edit"), format!("edit /{id}/edit")),
            ("GET", format!("/{id}/edit?b"), format!("edit /{id}/edit?b")),
            ("POST", "/delete".into(), "all /delete".into()),
            ("GET", "/api".into(), "[1,2]".into()),
        ] {
            let answer = ask(layer.wrap(site.clone()), request(method, &url, &[])).await;
            assert_eq!(
                (answer.status.as_u16(), &*answer.body),
                (200, body.as_bytes()),
                "{method} {url}"
            );
            let bare = ask(site.clone(), request(method, &url, &[])).await;
            assert_eq!(answer.head.headers(), bare.head.headers(), "{method} {url}");
        }
        // The inner service's error, but it may be about a file that another node has.
        for (method, url, status, cache_control) in [
            ("GET", format!("/{id}/missing"), 404, "no-store"),
            ("HEAD", format!("/{id}/missing"), 404, "no-store"),
            ("GET", format!("/{id}/img/missing.svg"), 404, "no-store"),
            ("GET", format!("/{id}/broken"), 500, "no-store"),
            ("GET", format!("/{id}"), 404, "no-store"),
            ("GET", format!("/{id}//app.css"), 404, "no-store"),
            ("GET", format!("/{id}/delete"), 405, "no-store"),
            ("POST", format!("/{id}/edit"), 405, ""),
            ("POST", format!("/{id}/app.css"), 405, ""),
            ("OPTIONS", format!("/{id}/missing"), 405, ""),
            ("GET", "/missing".into(), 404, ""),
            ("GET", "/img/missing.svg".into(), 404, ""),
            ("GET", "/deadbeef/missing".into(), 404, ""),
        ] {
            let answer = ask(layer.wrap(site.clone()), request(method, &url, &[])).await;
            let bare = ask(site.clone(), request(method, &url, &[])).await;
            assert_eq!(
                (answer.status.as_u16(), answer.status),
                (status, bare.status),
                "{method} {url}"
            );
            assert_eq!(answer.cache_control(), cache_control, "{method} {url}");
            let mut headers = answer.head.headers().clone();
            headers.remove("cache-control");
            assert_eq!(headers, *bare.head.headers(), "{method} {url}");
        }
    }
    // Its files are as under any other mount.
    for (url, cache_control) in [
        (layer.prefix().url("app.css"), YEAR),
        ("/0123456789abcdef/app.css".into(), "no-cache"),
        ("/app.css".into(), "no-cache"),
    ] {
        let answer = ask(layer.wrap(site.clone()), get(&url)).await;
        let got = (&*answer.body, answer.cache_control(), answer.field("etag"));
        assert_eq!(got, (TEAL.as_bytes(), cache_control.into(), etag_of(TEAL)), "{url}");
    }
    // Nobody has held anything back to hash it.
    let bare = site.clone().oneshot(get("/polled")).await.unwrap();
    let response = layer.wrap(site).oneshot(get("/polled")).await.unwrap();
    assert_eq!((polled.load(Ordering::Relaxed), response.headers()), (0, bare.headers()));
}

// ---------------------------------------------------------------------------------
// Pages beside nested files

/// F5: with the version that the files have now, whichever way the router was told of the layer.
#[tokio::test]
async fn a_page_beside_a_nested_layer_links_to_the_current_version() {
    let root = tree([("app.css", TEAL)]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let files = || layer.nested().layer(ServeDir::new(root.path()));
    let router = || {
        let page = routing::get(async |prefix: StaticPrefix| prefix.url("app.css"));
        Router::new().route("/", page).nest_service("/static", files())
    };
    let routers = [
        ("the layer", router().layer(Extension(layer.clone()))),
        ("the nested layer", router().layer(Extension(layer.nested()))),
        ("a prefix", router().layer(Extension(layer.prefix()))),
        ("a nested layer's prefix", router().layer(Extension(layer.nested().prefix()))),
    ];
    let mut before = String::new();
    for content in [TEAL, "p{color:navy}", "p{color:red}"] {
        write_at(&root.path().join("app.css"), content, later(content.len() as u64));
        layer.reload().unwrap();
        let current = layer.prefix().url("app.css");
        assert_ne!(current, before, "{content} is another version");
        for (name, router) in &routers {
            let page = ask(router.clone(), get("/")).await;
            assert_eq!(page.body, current, "{name}");
            let file = ask(router.clone(), get(&current)).await;
            assert_eq!(
                (&*file.body, file.cache_control()),
                (content.as_bytes(), YEAR.into()),
                "{name}"
            );
        }
        before = current;
    }
}

// ---------------------------------------------------------------------------------
// A blanket `immutable`

/// F6: what the inner service says of all its files is not so of one that has changed, at
/// whatever URL.
#[tokio::test]
async fn a_changed_file_is_immutable_nowhere() {
    const DAY: &str = "max-age=86400, immutable";
    let blanket =
        SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, HeaderValue::from_static(DAY));
    let root = tree([("a.css", TEAL)]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let current = layer.prefix().url("a.css");
    let stale = "/static/00000000000000aa/a.css";
    let part: &[(&str, &str)] = &[("range", "bytes=0-4")];
    for (content, expected) in [
        (TEAL, [DAY, DAY, "no-cache"]),
        (NAVY, ["no-cache"; 3]),
        ("p{color:teal}, or so", ["no-cache"; 3]),
    ] {
        let seconds = if content == TEAL { 0 } else { 1 };
        write_at(&root.path().join("a.css"), content, later(seconds));
        for (url, expected) in ["/static/a.css", &current, stale].iter().zip(expected) {
            for (method, lines) in [("GET", &[][..]), ("HEAD", &[]), ("GET", part)] {
                let router = serve_dir(root.path()).layer(blanket.clone());
                let answer = ask(layer.wrap(router), request(method, url, lines)).await;
                assert_eq!(answer.cache_control(), expected, "{method} {url} {lines:?} {content}");
            }
        }
    }
}

// ---------------------------------------------------------------------------------
// Files of another age

/// Where a file can have this time; a file system may hold fewer.
fn tree_at(modified: SystemTime) -> Option<(TempDir, StaticUrlLayer)> {
    let folders = [std::env::temp_dir(), "/dev/shm".into()];
    let roots = folders.into_iter().filter_map(|it| tempfile::tempdir_in(it).ok());
    let root = roots.into_iter().find(|root| {
        let path = root.path().join("a.css");
        fs::write(&path, TEAL).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        let is_set = file.set_modified(modified).is_ok();
        is_set && file.metadata().unwrap().modified().unwrap() == modified
    })?;
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    Some((root, layer))
}

/// F8: a time that no `Last-Modified` can spell, in a log line of the layer's.
#[tokio::test]
async fn every_time_of_a_file_can_be_told() {
    let epoch = SystemTime::UNIX_EPOCH;
    let second = Duration::from_secs(1);
    let year_10_000 = epoch + Duration::from_secs(253_402_300_800);
    let mut tried = 0;
    for (modified, shown) in [
        (epoch - second, "1 s before 1970"),
        (epoch - second / 2, "0.5 s before 1970"),
        (epoch, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (mtime(), "Tue, 14 Nov 2023 22:13:20 GMT"),
        (year_10_000 - second, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (year_10_000, "253402300800 s after 1970"),
    ] {
        let Some((root, layer)) = tree_at(modified) else { continue };
        tried += 1;
        let path = root.path().join("a.css");
        fs::remove_file(&path).unwrap();
        write_at(&path, "p{color:teal}, or so", later(1));
        let warnings = Warnings::capture();
        for _ in 0..2 {
            let url = layer.prefix().url("a.css");
            let answer = ask(layer.wrap(serve_dir(root.path())), get(&url)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.cache_control()),
                (200, "no-cache".into()),
                "{shown}"
            );
            assert_eq!(answer.body, "p{color:teal}, or so");
        }
        let lines = warnings.lines();
        assert_eq!(lines.len(), 1, "{shown}: {lines:?}");
        let parts = ["WARN", "a.css", &format!("listed_modified=\"{shown}\""), "has changed"];
        assert!(parts.iter().all(|part| lines[0].contains(part)), "{lines:?}, not {parts:?}");
    }
    assert!(tried >= 4, "only {tried} of these times could be had");
}

// ---------------------------------------------------------------------------------
// Siblings that were made of something else

/// The inner service has all kinds of siblings.
fn precompressed(root: &Path) -> Router {
    let files = ServeDir::new(root).precompressed_gzip().precompressed_br().precompressed_zstd();
    Router::new().nest_service("/static", files.precompressed_deflate())
}

/// F2: what was compressed of another content reaches nobody, and is pinned nowhere.
#[tokio::test]
async fn a_sibling_of_another_content_does_not_count() {
    let (own, red) = (gzip(TEAL), gzip("p{color:red}"));
    let week = Duration::from_secs(7 * 24 * 3600);
    for (name, suffix, coding, content, modified, counts) in [
        ("its own", "gz", "gzip", &*own, mtime(), true),
        ("its own, and older", "gz", "gzip", &own, mtime() - week, true),
        ("another's", "gz", "gzip", &red, mtime() - week, false),
        ("another's, and newer", "gz", "gzip", &red, mtime() + week, false),
        ("no gzip", "gz", "gzip", b"not compressed at all", mtime(), false),
        ("cut off", "gz", "gzip", &own[..own.len() - 3], mtime(), false),
        ("empty", "gz", "gzip", b"", mtime(), false),
        ("brotli, as old", "br", "br", b"anything", mtime(), true),
        ("brotli, newer", "br", "br", b"anything", mtime() + week, true),
        ("brotli, older", "br", "br", b"anything", mtime() - Duration::from_micros(2), false),
        ("zstd, older", "zst", "zstd", b"anything", mtime() - week, false),
        ("zlib, older", "zz", "deflate", b"anything", mtime() - week, false),
    ] {
        for memory in [0, 1 << 20] {
            let root = tree([("app.css", TEAL)]);
            write_at(&root.path().join(format!("app.css.{suffix}")), content, modified);
            let warnings = Warnings::capture();
            let builder = StaticUrlLayer::builder("/static").root(root.path());
            let layer = builder.memory_budget(memory).build().unwrap();
            let lines = warnings.lines();
            let names_both = |line: &String| {
                line.contains(&format!("app.css.{suffix}")) && line.contains("file=\"app.css\"")
            };
            assert_eq!(lines.len(), usize::from(!counts), "{name}: {lines:#?}");
            assert!(lines.iter().all(names_both), "{name}: {lines:#?}");
            layer.reload().unwrap();
            assert_eq!(warnings.lines().len(), lines.len(), "{name}: said once");

            let service = layer.wrap(precompressed(root.path()));
            let (current, plain) = (layer.prefix().url("app.css"), etag_of(TEAL));
            let coded = [("accept-encoding", coding)];
            for method in ["GET", "HEAD", "GET"] {
                let answer = ask(service.clone(), request(method, &current, &coded)).await;
                let expected = if counts { YEAR } else { "no-cache" };
                assert_eq!(answer.cache_control(), expected, "{name}, {method}");
                let sent = if counts { coding } else { "" };
                assert_eq!(answer.field("content-encoding"), sent, "{name}, {method}");
                let is_own = answer.field("etag") == etag_of(content);
                assert_eq!(is_own, counts, "{name}, {method}");
                if method == "GET" {
                    let expected = if counts { content } else { TEAL.as_bytes() };
                    assert_eq!(&*answer.body, expected, "{name}");
                }
                // Everybody else has nothing to do with it.
                let answer = ask(service.clone(), request(method, &current, &[])).await;
                let got = (answer.cache_control(), answer.field("etag"));
                assert_eq!(got, (YEAR.into(), plain.clone()), "{name}, {method}");
            }
            // A copy of the file is good, but nothing says that it may be kept.
            let lines = [coded[0], ("if-none-match", &plain)];
            let answer = ask(service.clone(), request("GET", &current, &lines)).await;
            let expected = if counts { (304, YEAR) } else { (200, "no-cache") };
            let got = (answer.status.as_u16(), answer.cache_control());
            assert_eq!(got, (expected.0, expected.1.into()), "{name}");
        }
    }
}

/// F2: of several siblings the ones that count are sent.
#[tokio::test]
async fn another_sibling_still_counts() {
    let root = tree([("app.css", TEAL), ("app.css.br", "anything")]);
    write_at(&root.path().join("app.css.gz"), gzip(NAVY), mtime());
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let service = layer.wrap(precompressed(root.path()));
    for (accept, coding, body) in [
        ("gzip, br", "br", "anything"),
        ("gzip;q=1, br;q=0.5", "br", "anything"),
        ("*", "br", "anything"),
        ("gzip", "", TEAL),
        ("gzip, identity;q=0", "", TEAL),
    ] {
        let lines = [("accept-encoding", accept)];
        let answer =
            ask(service.clone(), request("GET", &layer.prefix().url("app.css"), &lines)).await;
        assert_eq!(answer.field("content-encoding"), coding, "{accept}");
        assert_eq!(answer.body, body, "{accept}");
        assert_eq!(answer.cache_control(), "no-cache", "{accept}");
    }
}

/// F2: an edit beside an old sibling shows to every client, at its new URL at once.
#[tokio::test]
async fn an_edit_beside_a_sibling_shows_at_once() {
    for is_development in [false, true] {
        let root = tree([("app.css", TEAL)]);
        write_at(&root.path().join("app.css.gz"), gzip(TEAL), mtime());
        let builder = StaticUrlLayer::builder("/static").root(root.path());
        let layer = builder.development(is_development).build().unwrap();
        let service = layer.wrap(precompressed(root.path()));
        let coded = || request("GET", &layer.prefix().url("app.css"), GZIP);
        assert_eq!(ask(service.clone(), coded()).await.body, gzip(TEAL));
        write_at(&root.path().join("app.css"), NAVY, later(1));
        let warnings = Warnings::capture();
        layer.reload().unwrap();
        assert_eq!(warnings.lines().len(), 1);
        let answer = ask(service.clone(), coded()).await;
        assert_eq!((&*answer.body, answer.cache_control()), (NAVY.as_bytes(), "no-cache".into()));
        // Compressed again, it counts again.
        write_at(&root.path().join("app.css.gz"), gzip(NAVY), later(2));
        layer.reload().unwrap();
        let answer = ask(service, coded()).await;
        assert_eq!((&*answer.body, answer.cache_control()), (&*gzip(NAVY), YEAR.into()));
    }
}

const GZIP: &[(&str, &str)] = &[("accept-encoding", "gzip")];

/// F25: a file of which only a compressed form was deployed.
#[tokio::test]
async fn a_sibling_alone_lists_its_file() {
    for (suffix, coding) in [("gz", "gzip"), ("br", "br")] {
        let root = tree([("other.txt", "")]);
        write_at(&root.path().join(format!("app.css.{suffix}")), gzip(TEAL), mtime());
        let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
        let service = layer.wrap(precompressed(root.path()));
        let url = layer.prefix().try_url("app.css").unwrap();
        let warnings = Warnings::capture();
        for accept in [coding, "gzip, br", "br;q=0.1, gzip;q=0.1"] {
            let lines = [("accept-encoding", accept)];
            let answer = ask(service.clone(), request("GET", &url, &lines)).await;
            assert_eq!((&*answer.body, answer.cache_control()), (&*gzip(TEAL), YEAR.into()));
            assert_eq!(answer.field("etag"), etag_of(gzip(TEAL)));
            let lines = [lines[0], ("if-none-match", &etag_of(gzip(TEAL)))];
            let answer = ask(service.clone(), request("GET", &url, &lines)).await;
            assert_eq!((answer.status.as_u16(), answer.cache_control()), (304, YEAR.into()));
        }
        let answer = ask(service, get(&url)).await;
        assert_eq!((answer.status.as_u16(), answer.cache_control()), (404, "no-store".into()));
        assert_eq!(warnings.lines(), [""; 0], "no wiring mistake");
        assert_eq!(layer.prefix().integrity("app.css"), None, "of what?");
        assert_eq!(layer.prefix().paths().count(), 2);
    }
}

// ---------------------------------------------------------------------------------
// The first start, and odd names

/// F9: the first build comes after the first start.
#[tokio::test]
async fn development_starts_without_files() {
    type Prepare = fn(&Path);
    for (name, prepare) in [
        ("missing", (|_| {}) as Prepare),
        ("empty", |root| fs::create_dir(root).unwrap()),
        ("only .gitkeep", |root| write_at(&root.join(".gitkeep"), "", mtime())),
        ("only an empty directory", |root| fs::create_dir_all(root.join("css")).unwrap()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("dist");
        prepare(&root);
        let builder = || StaticUrlLayer::builder("/static").root(&root);
        builder().build().expect_err(name);
        let warnings = Warnings::capture();
        let layer = builder().development(true).build().unwrap();
        let logged = warnings.lines();
        assert!(logged.iter().all(|line| line.contains("dist")), "{name}: {logged:#?}");
        assert!((1..=2).contains(&logged.len()), "{name}: {logged:#?}");
        layer.reload().unwrap();
        assert_eq!(warnings.lines().len(), logged.len(), "{name}: said once");
        assert_eq!(layer.prefix().paths().count(), 0, "{name}");

        let service = layer.wrap(serve_dir(&root));
        let answer = ask(service.clone(), get(&layer.prefix().url("app.css"))).await;
        assert_eq!((answer.status.as_u16(), answer.cache_control()), (404, "no-store".into()));
        write_at(&root.join("app.css"), TEAL, mtime());
        layer.reload().unwrap();
        let answer = ask(service, get(&layer.prefix().url("app.css"))).await;
        assert_eq!((&*answer.body, answer.cache_control()), (TEAL.as_bytes(), YEAR.into()));
        // From now on an empty directory is one that a bundler is about to fill again.
        fs::remove_file(root.join("app.css")).unwrap();
        layer.reload().expect_err(name);
        fs::remove_dir_all(&root).unwrap();
        layer.reload().expect_err(name);
    }
}

/// F10, and its kind: one odd file keeps nothing else from being seen.
#[cfg(unix)]
#[tokio::test]
async fn one_odd_file_is_left_out_in_development() {
    use std::os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _};
    let latin1 = std::ffi::OsStr::from_bytes(b"caf\xe9.css");
    let is_root = {
        let probe = tree([("probe", "")]);
        let path = probe.path().join("probe");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        fs::read(path).is_ok()
    };
    for (name, is_possible) in [
        ("a name", true),
        ("a directory's name", true),
        ("a file", !is_root),
        ("a directory", !is_root),
    ] {
        if !is_possible {
            eprintln!("skipped for a user who may read everything: {name}");
            continue;
        }
        let root = tree([("app.css", TEAL), ("odd/a.css", "")]);
        let set_mode = |path: &str, mode| {
            fs::set_permissions(root.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        match name {
            "a name" => fs::write(root.path().join(latin1), "").unwrap(),
            "a directory's name" => {
                fs::create_dir(root.path().join(latin1)).unwrap();
                fs::write(root.path().join(latin1).join("a.css"), "").unwrap();
            }
            "a file" => set_mode("odd/a.css", 0),
            _ => set_mode("odd", 0),
        }
        let builder = || StaticUrlLayer::builder("/static").root(root.path());
        builder().build().expect_err(name);
        let warnings = Warnings::capture();
        let layer = builder().development(true).build().unwrap();
        assert_eq!(warnings.lines().len(), 1, "{name}");
        write_at(&root.path().join("app.css"), NAVY, later(1));
        assert!(layer.reload().unwrap().has_changed(), "{name}");
        assert_eq!(warnings.lines().len(), 1, "{name}: said once");
        set_mode("odd", 0o755);
    }
}

// ---------------------------------------------------------------------------------
// Several roots

/// F23: the layer lists what two `ServeDir`s, one behind the other, serve.
#[tokio::test]
async fn several_roots_are_one_tree() {
    let first =
        tree([("both.css", TEAL), ("dir/a.css", "a"), ("file", "a file"), ("one.css", "1")]);
    let second = tree([
        ("both.css", NAVY),
        ("dir/b.css", "b"),
        ("file/below.css", "below"),
        ("two.css", "2"),
        ("one.css", "not this one"),
    ]);
    fs::create_dir_all(first.path().join("taken.css")).unwrap();
    fs::create_dir_all(first.path().join("empty")).unwrap();
    write_at(&second.path().join("taken.css"), "hidden by a directory", mtime());
    write_at(&second.path().join("one.css.gz"), gzip("not this one"), mtime());
    write_at(&second.path().join("empty/index.html"), "<h1>", mtime());
    write_at(&first.path().join("two.css.gz"), gzip("2"), mtime());
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", first.path().join("dir/b.css")).unwrap();

    let scan = Scan::new(first.path()).fallback(second.path());
    let layer = StaticUrlLayer::builder("/static").scan(scan).build().unwrap();
    let behind = ServeDir::new(second.path()).precompressed_gzip();
    let files = ServeDir::new(first.path()).precompressed_gzip().fallback(behind);
    let router = Router::new().nest_service("/static", files);
    let service = layer.wrap(router.clone());
    let prefix = layer.prefix();
    let mut listed = prefix.paths().collect::<Vec<_>>();
    for path in &listed {
        for lines in [&[][..], GZIP] {
            let bare = ask(router.clone(), request("GET", &format!("/static/{path}"), lines)).await;
            let answer = ask(service.clone(), request("GET", &prefix.url(path), lines)).await;
            assert_eq!((bare.status.as_u16(), &bare.body), (200, &answer.body), "{path}");
            assert_eq!(answer.cache_control(), YEAR, "{path} {lines:?}");
        }
    }
    listed.retain(|path| !path.ends_with(".gz"));
    let expected = [
        "both.css",
        "dir/a.css",
        "dir/b.css",
        "empty/index.html",
        "file",
        "file/below.css",
        "one.css",
        "two.css",
    ];
    assert_eq!(listed, expected, "`taken.css` is a directory");

    // A change in either is noticed, and which of the two it is as well.
    fs::remove_file(first.path().join("both.css")).unwrap();
    layer.reload().unwrap();
    let answer = ask(service.clone(), get(&layer.prefix().url("both.css"))).await;
    assert_eq!((&*answer.body, answer.cache_control()), (NAVY.as_bytes(), YEAR.into()));
}

/// F23: what is wrong with a root names it.
#[test]
fn a_wrong_root_is_named() {
    let first = tree([("a", "")]);
    let missing = first.path().join("missing");
    let same = first.path().join("../").join(first.path().file_name().unwrap());
    for (second, kind) in [
        (first.path(), ErrorKind::RepeatedRoot),
        (&same, ErrorKind::RepeatedRoot),
        (&missing, ErrorKind::Io),
        (&first.path().join("a"), ErrorKind::NotADirectory),
    ] {
        let error = Scan::new(first.path()).fallback(second).run().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(second.to_str().unwrap()), "{error}");
    }
    let (empty, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let error = Scan::new(empty.path()).fallback(other.path()).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EmptyManifest);
    for root in [&empty, &other] {
        assert!(error.to_string().contains(root.path().to_str().unwrap()), "{error}");
    }
    // One of several may be empty.
    assert_eq!(Scan::new(empty.path()).fallback(first.path()).run().unwrap().len(), 1);
}

// ---------------------------------------------------------------------------------
// What nobody has listed

/// F7: an application that answers every path with its page does not answer for a script that
/// an old page still wants.
#[tokio::test]
async fn a_script_that_is_gone_is_not_the_applications_page() {
    let page = "<main id=app></main>";
    let root = tree([("index.html", page), ("app.js", "start()")]);
    let application = || {
        let files = ServeDir::new(root.path());
        let page = tower_http::services::ServeFile::new(root.path().join("index.html"));
        Router::new().nest_service("/static", files.fallback(page))
    };
    let builder = || StaticUrlLayer::builder("/static").root(root.path());
    for (is_strict, status, content_type) in [(false, 200, "text/html"), (true, 404, "")] {
        let layer =
            if is_strict { builder().unlisted(UnlistedPolicy::NotFound) } else { builder() };
        let layer = layer.build().unwrap();
        let prefix = layer.prefix();
        for url in [
            format!("{prefix}gone.js"),
            "/static/00000000000000aa/gone.js".into(),
            "/static/gone.js".into(),
        ] {
            let answer = ask(layer.wrap(application()), get(&url)).await;
            let got = (answer.status.as_u16(), answer.field("content-type"));
            assert_eq!(got, (status, content_type.into()), "{url}");
            let cache_control = if is_strict { "no-store" } else { "no-cache" };
            assert_eq!(answer.cache_control(), cache_control, "{url}");
        }
        for (url, cache_control) in [
            (prefix.url("app.js"), YEAR),
            (prefix.to_string(), "no-cache"),
            ("/static/".into(), "no-cache"),
        ] {
            let answer = ask(layer.wrap(application()), get(&url)).await;
            assert_eq!(
                (answer.status.as_u16(), &*answer.cache_control()),
                (200, cache_control),
                "{url}"
            );
        }
    }
    // What the docs of a declared version warn of: nobody knows what is no file.
    let declared = StaticUrlLayer::builder("/static").version(VersionSource::build_id("abc"));
    let declared = declared.build().unwrap();
    let url = declared.prefix().url("gone.js");
    let answer = ask(declared.wrap(application()), get(&url)).await;
    assert_eq!((&*answer.body, answer.cache_control()), (page.as_bytes(), YEAR.into()));
}

/// F11: a scanner's names do not reach the disk.
#[tokio::test]
async fn names_that_no_disk_can_hold_are_not_found() {
    let root = tree([("app.css", TEAL)]);
    let layer = StaticUrlLayer::builder("/static").root(root.path());
    let layer = layer.unlisted(UnlistedPolicy::NotFound).build().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let count = map_request(move |request: axum::extract::Request| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::ready(request)
    });
    let service = layer.wrap(serve_dir(root.path()).layer(count));
    let names = ["a".repeat(300) + ".css", "a/".repeat(5_000) + "b", "%ff".repeat(100)];
    for (name, prefix) in names.iter().flat_map(|name| {
        [layer.prefix().to_string(), "/static/".into(), "/static/00000000000000aa/".into()]
            .map(|prefix| (name, prefix))
    }) {
        for method in ["GET", "HEAD"] {
            let answer = ask(service.clone(), request(method, &(prefix.clone() + name), &[])).await;
            let got = (answer.status.as_u16(), answer.cache_control(), answer.body.len());
            assert_eq!(got, (404, "no-store".into(), 0), "{method} {prefix}{}", &name[..9]);
        }
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    ask(service, get(&layer.prefix().url("app.css"))).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

// ---------------------------------------------------------------------------------
// Names that carry a hash

/// F20: after a deploy, a browser that comes back fetches what has changed, and nothing else.
#[tokio::test]
async fn a_deploy_costs_what_has_changed() {
    let vendor = ("assets/vendor-C38fXH4l.js", "the same in both releases");
    let root = tree([
        ("index.html", "<script type=module src=/static/assets/index-Bx7a91Zq.js></script>"),
        ("assets/index-Bx7a91Zq.js", "import './vendor-C38fXH4l.js'"),
        vendor,
        ("logo.svg", "<svg>"),
    ]);
    let layer = StaticUrlLayer::builder("/static").root(root.path());
    let layer = layer.fingerprinted(Fingerprinted::vite()).build().unwrap();
    let before = layer.prefix();
    // The next build: another entry, the same vendor chunk.
    fs::remove_file(root.path().join("assets/index-Bx7a91Zq.js")).unwrap();
    let entry = "assets/index-9fQ2LmXc.js";
    write_at(&root.path().join(entry), "import './vendor-C38fXH4l.js'; start()", later(1));
    let after = layer.reload().unwrap().after().clone();
    assert_ne!(after.version(), before.version());
    assert_eq!(after.url(vendor.0), before.url(vendor.0), "still in the browser's cache");
    assert_ne!(after.url("logo.svg"), before.url("logo.svg"), "a name without a hash");
    for (url, cache_control) in [
        (after.url(vendor.0), YEAR),
        (after.url(entry), YEAR),
        (after.url("logo.svg"), YEAR),
        ("/static/index.html".into(), "no-cache"),
        ("/static/logo.svg".into(), "no-cache"),
    ] {
        let answer = ask(layer.wrap(serve_dir(root.path())), get(&url)).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.cache_control()),
            (200, cache_control),
            "{url}"
        );
    }
}

// ---------------------------------------------------------------------------------
// Moving from another version

/// F24: pages from before the move find their files.
#[tokio::test]
async fn a_version_of_an_earlier_shape_is_stale() {
    const DJANGO: &str = "0cc175b9c0f1b6a831c399e269772661";
    let folder = "900150983cd24fb0d6963f7d28e17f72";
    let root = tree([
        ("css/app.css", TEAL),
        ("docs/index.html", "<h1>docs</h1>"),
        (&*format!("{folder}/real.txt"), "a folder shaped like such a version"),
    ]);
    let builder = || StaticUrlLayer::builder("/static").root(root.path());
    let moved = || builder().stale_shape("d41d8cd98f00b204e9800998ecf8427e").stale_shape("v1.2.3");
    let layer = moved().build().unwrap();
    let router = || {
        let files = ServeDir::new(root.path()).redirect_path_prefix("/static");
        Router::new().nest_service("/static", files)
    };
    let tag = &*etag_of(TEAL);
    for (name, path, lines, status, cache_control) in [
        ("django's", format!("{DJANGO}/css/app.css"), &[][..], 200, "no-cache"),
        ("a literal", "v0.9.7/css/app.css".into(), &[], 200, "no-cache"),
        ("known", format!("{DJANGO}/css/app.css"), &[("if-none-match", tag)], 304, "no-cache"),
        ("a directory", format!("{DJANGO}/docs"), &[], 307, "no-cache"),
        ("missing", format!("{DJANGO}/gone.css"), &[], 404, "no-store"),
        ("a real folder", format!("{folder}/real.txt"), &[], 200, "no-cache"),
        ("not as long", "v0.9.17/css/app.css".into(), &[], 404, "no-store"),
        ("upper case", DJANGO.to_uppercase() + "/css/app.css", &[], 404, "no-store"),
        ("only one is removed", format!("{DJANGO}/v1.2.3/css/app.css"), &[], 404, "no-store"),
        ("a folder", "docs/".into(), &[], 200, "no-cache"),
    ] {
        let url = format!("/static/{path}");
        let answer = ask(layer.wrap(router()), request("GET", &url, lines)).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.cache_control()),
            (status, cache_control),
            "{name}"
        );
        if status == 307 {
            assert_eq!(answer.field("location"), format!("/static/{DJANGO}/docs/"), "{name}");
        }
        if name == "known" || name == "django's" {
            assert_eq!(answer.field("etag"), tag, "{name}");
        }
    }
    // As any stale URL, it can be answered otherwise.
    let url = format!("/static/{DJANGO}/css/app.css?a=b");
    let layer = moved().stale(StalePolicy::Redirect).build().unwrap();
    let answer = ask(layer.wrap(router()), get(&url)).await;
    let location = format!("{}css/app.css?a=b", layer.prefix());
    assert_eq!((answer.status.as_u16(), answer.field("location")), (307, location));
    // And without the option, it is the name of a folder.
    let layer = builder().build().unwrap();
    assert_eq!(ask(layer.wrap(router()), get(&url)).await.status.as_u16(), 404);
}

/// F24: a shape that would swallow folders, or that no URL can have.
#[test]
fn an_example_of_a_version_must_be_one() {
    for (example, why) in [
        ("", "has an empty segment"),
        ("a/b1", "has '/', which no URL segment may contain"),
        ("..", "`..` is a dot segment"),
        ("v%31", "has a percent-escape"),
        ("v 1", "has ' ', which no URL segment may contain"),
        ("static", "has no digit, and directories have such names"),
        ("v-x", "has no digit, and directories have such names"),
    ] {
        let root = tree([("a.css", TEAL)]);
        let builder = StaticUrlLayer::builder("/static").root(root.path());
        let error = builder.stale_shape("v1").stale_shape(example).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidVersion);
        assert_eq!(error.to_string(), format!("example of a stale version {example:?}: {why}"));
    }
}

/// F23: a theme's pre-compressed files are no siblings of the files that replace its own.
#[tokio::test]
async fn a_root_in_front_replaces_a_file_with_its_siblings() {
    let mine = tree([("app.css", TEAL)]);
    let theme = tree([("app.css", NAVY), ("app.css.br", "navy in brotli")]);
    write_at(&theme.path().join("app.css.gz"), gzip(NAVY), mtime());
    let warnings = Warnings::capture();
    let scan = Scan::new(mine.path()).fallback(theme.path());
    let layer = StaticUrlLayer::builder("/static").scan(scan).build().unwrap();
    let files = |root: &Path| ServeDir::new(root).precompressed_gzip().precompressed_br();
    let files = files(mine.path()).fallback(files(theme.path()));
    let service = layer.wrap(Router::new().nest_service("/static", files));
    let lines = [("accept-encoding", "gzip, br")];
    let answer = ask(service, request("GET", &layer.prefix().url("app.css"), &lines)).await;
    assert_eq!((&*answer.body, answer.cache_control()), (TEAL.as_bytes(), YEAR.into()));
    assert_eq!(answer.field("etag"), etag_of(TEAL));
    assert_eq!(warnings.lines(), [""; 0]);
}

/// F2, with the times set back, as by `mv` or `rsync --times`: what was compressed of the content
/// before is not of this one.
#[tokio::test]
async fn an_edit_with_an_older_time_shows_at_once() {
    let root = tree([("app.css", TEAL), ("app.css.br", "teal in brotli")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let service = layer.wrap(precompressed(root.path()));
    let coded = || request("GET", &layer.prefix().url("app.css"), &[("accept-encoding", "br")]);
    assert_eq!(ask(service.clone(), coded()).await.cache_control(), YEAR);
    write_at(&root.path().join("app.css"), NAVY, mtime() - Duration::from_secs(3600));
    for _ in 0..2 {
        layer.reload().unwrap();
        let answer = ask(service.clone(), coded()).await;
        assert_eq!((&*answer.body, answer.cache_control()), (NAVY.as_bytes(), "no-cache".into()));
    }
    // Put back as it was.
    write_at(&root.path().join("app.css"), TEAL, mtime());
    layer.reload().unwrap();
    assert_eq!(ask(service, coded()).await.cache_control(), YEAR);
}

/// F25, on a whole site: a page of the site may have the name of a file without its suffix.
#[tokio::test]
async fn a_sibling_alone_lists_no_page_of_a_whole_site() {
    let root = tree([("app.css", TEAL), ("sitemap.xml.gz", "zipped"), ("backup.gz", "zipped")]);
    let layer = StaticUrlLayer::builder("/").root(root.path()).build().unwrap();
    let page = routing::get(|uri: OriginalUri| async move { uri.path().to_owned() });
    let router = Router::new()
        .route("/{id}/backup", page.clone())
        .route("/backup", page.clone())
        .route("/sitemap.xml", page);
    for path in ["/0123456789abcdef/backup", "/backup", "/sitemap.xml"] {
        let answer = ask(layer.wrap(router.clone()), get(path)).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, path.as_bytes()));
        let got = (answer.cache_control(), answer.field("etag"));
        assert_eq!(got, (String::new(), String::new()), "{path}");
    }
}
