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
use tower_http::{
    compression::CompressionLayer, services::ServeDir, set_header::SetResponseHeaderLayer,
};
use tower_static_url::{
    ErrorKind, Fingerprinted, Manifest, StalePolicy, StaticPrefix, StaticUrlLayer, UnlistedPolicy,
    VersionSource,
};

use crate::support::{Warnings, YEAR, ask, etag_of, get, later, mtime, request, tree, write_at};

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
