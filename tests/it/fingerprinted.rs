//! Files whose own names change with their content: cached for a year without a version, until
//! one of them changes and keeps its name.

use std::{
    fs,
    future::ready,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request, middleware::map_request, routing::get as on_get};
use tempfile::TempDir;
use tower::Layer as _;
use tower_static_url::{
    CachePolicy, ErrorKind, Fingerprinted, Manifest, StalePolicy, StaticUrlLayer,
    StaticUrlLayerBuilder, StaticUrlOutcome, VersionSource,
};

use crate::support::{
    Answer, ServeDir, Warnings, YEAR, ask, etag_of, get, later, request, tree, write_at,
};

const SCRIPT: &str = "assets/index-Bx7a91Zq.js";
const SHEET: &str = "assets/index-DiwrgTda.css";
const LOGO: &str = "logo.svg";

const CODE: &str = "console.log('teal')";
const OTHER_CODE: &str = "console.log('navy blue')";

/// What Vite makes of a small application, with a sibling of the script.
fn vite() -> TempDir {
    tree([
        ("index.html", "<script type=module src=/static/assets/index-Bx7a91Zq.js></script>"),
        (SCRIPT, CODE),
        ("assets/index-Bx7a91Zq.js.br", "stands for the same, compressed"),
        (SHEET, "body { color: teal }"),
        (LOGO, "<svg>"),
    ])
}

fn builder(root: &Path) -> StaticUrlLayerBuilder {
    StaticUrlLayer::builder("/static").root(root).fingerprinted(Fingerprinted::vite())
}

/// `ServeDir`, and how often it is asked.
fn files(root: &Path) -> (Router, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let files = ServeDir::new(root).precompressed_br().redirect_path_prefix("/static");
    let count = map_request(move |request: Request| {
        counter.fetch_add(1, Ordering::Relaxed);
        ready(request)
    });
    (Router::new().nest_service("/static", files).layer(count), asked)
}

async fn fetch(layer: &StaticUrlLayer, root: &Path, url: &str) -> Answer {
    ask(layer.wrap(files(root).0), get(url)).await
}

fn unversioned(path: &str) -> String {
    format!("/static/{path}")
}

// ---------------------------------------------------------------------------------
// Links

#[test]
fn a_link_to_a_fingerprinted_file_has_no_version() {
    let root = vite();
    for origin in ["", "https://cdn.example.com"] {
        let builder = builder(root.path());
        let builder = if origin.is_empty() { builder } else { builder.origin(origin) };
        let prefix = builder.build().unwrap().prefix();
        let version = prefix.version();
        for (name, path, expected) in [
            ("fingerprinted", SCRIPT, "/static/assets/index-Bx7a91Zq.js"),
            ("with a slash", "/assets/index-DiwrgTda.css", "/static/assets/index-DiwrgTda.css"),
            (
                "with a query",
                "assets/index-Bx7a91Zq.js?a#b",
                "/static/assets/index-Bx7a91Zq.js?a#b",
            ),
            ("not", LOGO, &*format!("/static/{version}/logo.svg")),
            (
                "a sibling",
                "assets/index-Bx7a91Zq.js.br",
                &format!("/static/{version}/assets/index-Bx7a91Zq.js.br"),
            ),
        ] {
            assert_eq!(prefix.url(path), format!("{origin}{expected}"), "{name}");
            assert_eq!(prefix.display(path).to_string(), format!("{origin}{expected}"), "{name}");
            assert_eq!(prefix.try_url(path).unwrap(), format!("{origin}{expected}"), "{name}");
            assert_eq!(prefix.path(path), expected, "{name}");
        }
        // Nobody vouches for a file that is not there.
        let missing = "assets/gone-Bx7a91Zq.js";
        assert_eq!(prefix.url(missing), format!("{prefix}{missing}"));
        assert_eq!(prefix.try_url(missing).unwrap_err().kind(), ErrorKind::NotListed);
        assert_eq!(prefix.unversioned(SCRIPT), unversioned(SCRIPT));
        assert_eq!(prefix.as_str(), format!("{origin}/static/{version}/"));
    }
    let whole_site = StaticUrlLayer::builder("/").root(root.path());
    let prefix = whole_site.fingerprinted(Fingerprinted::vite()).build().unwrap().prefix();
    assert_eq!(prefix.url(SCRIPT), "/assets/index-Bx7a91Zq.js");
    assert_eq!(prefix.url(LOGO), format!("/{}/logo.svg", prefix.version()));
}

#[test]
fn a_list_of_the_files_is_needed() {
    let version = VersionSource::build_id("1");
    let builder = StaticUrlLayer::builder("/static").version(version);
    let error = builder.fingerprinted(Fingerprinted::vite()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ManifestRequired);
    let expected = "`fingerprinted` needs a root or a manifest, and there is none";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_rule_is_not_asked_for_each_request() {
    let root = vite();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let rule = Fingerprinted::from_fn(move |path| {
        counter.fetch_add(1, Ordering::Relaxed);
        Fingerprinted::vite().hash(path)
    });
    let layer = StaticUrlLayer::builder("/static").root(root.path());
    let layer = layer.fingerprinted(rule).build().unwrap();
    assert_eq!(asked.swap(0, Ordering::Relaxed), 5, "once for each file");
    let prefix = layer.prefix();
    assert_eq!((prefix.url(SCRIPT), prefix.path(LOGO)), (unversioned(SCRIPT), prefix.url(LOGO)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(fetch(&layer, root.path(), &unversioned(SCRIPT)));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

// ---------------------------------------------------------------------------------
// Responses

/// What a request is about, its method, and its fields.
type Case = (&'static str, &'static str, Vec<(&'static str, String)>);

/// Requests for one file.
fn requests(content: &str) -> Vec<Case> {
    let tag = etag_of(content);
    let coded = etag_of("stands for the same, compressed");
    let lines = |lines: &[(&'static str, &str)]| {
        lines.iter().map(|&(name, value)| (name, value.to_owned())).collect()
    };
    let mut requests = Vec::new();
    for method in ["GET", "HEAD"] {
        for (name, fields) in [
            ("plain", lines(&[])),
            ("compressed", lines(&[("accept-encoding", "br")])),
            ("known", lines(&[("if-none-match", &tag)])),
            ("another known", lines(&[("if-none-match", "\"other\"")])),
            ("known, compressed", lines(&[("if-none-match", &coded), ("accept-encoding", "br")])),
            ("known in another coding", lines(&[("if-none-match", &coded)])),
            ("known by date", lines(&[("if-modified-since", "Tue, 14 Nov 2023 22:13:20 GMT")])),
            ("expected", lines(&[("if-match", &tag)])),
            ("another expected", lines(&[("if-match", "\"other\"")])),
            ("a part", lines(&[("range", "bytes=2-5")])),
            ("no part", lines(&[("range", "bytes=900-")])),
            ("the rest", lines(&[("range", "bytes=2-"), ("if-range", &tag)])),
            ("the rest of another", lines(&[("range", "bytes=2-"), ("if-range", "\"other\"")])),
            ("for one user", lines(&[("authorization", "Basic eDp5")])),
            ("for one user, known", lines(&[("authorization", "x"), ("if-none-match", &tag)])),
        ] {
            requests.push((name, method, fields));
        }
    }
    requests
}

/// Whatever is asked, the answer is that of the current version's URL.
#[tokio::test]
async fn a_fingerprinted_file_is_as_current_without_a_version() {
    for (memory, policy) in [(0, YEAR), (1 << 20, YEAR), (0, "max-age=60"), (0, "no-cache")] {
        let root = vite();
        let layer = || {
            let builder = builder(root.path()).memory_budget(memory);
            builder.current(policy.parse().unwrap()).build().unwrap()
        };
        let (by_version, by_name) = (layer(), layer());
        // Twice: the layer remembers what it has seen.
        for (name, method, lines) in requests(CODE).into_iter().chain(requests(CODE)) {
            let lines = lines.iter().map(|(name, value)| (*name, &**value)).collect::<Vec<_>>();
            let [current, named] = [
                (&by_version, by_version.prefix().to_string() + SCRIPT),
                (&by_name, unversioned(SCRIPT)),
            ]
            .map(async |(layer, url)| {
                let (router, asked) = files(root.path());
                let answer = ask(layer.wrap(router), request(method, &url, &lines)).await;
                (answer.status, answer.head.headers().clone(), answer.body, asked)
            });
            let (current, named) = (current.await, named.await);
            let name = format!("{method} {name}, memory: {memory}, {policy}");
            assert_eq!(named.0, current.0, "{name}");
            assert_eq!(named.1, current.1, "{name}");
            assert_eq!(named.2, current.2, "{name}");
            let asked = [named.3, current.3].map(|asked| asked.load(Ordering::Relaxed));
            assert_eq!(asked[0], asked[1], "{name}: the inner service");
        }
        let answer = fetch(&by_name, root.path(), &unversioned(SCRIPT)).await;
        assert_eq!((answer.cache_control(), answer.field("etag")), (policy.into(), etag_of(CODE)));
        let authorized = request("GET", &unversioned(SCRIPT), &[("authorization", "x")]);
        let answer = ask(by_name.wrap(files(root.path()).0), authorized).await;
        assert!(!answer.cache_control().contains("public"), "{}", answer.cache_control());
    }
}

#[tokio::test]
async fn only_listed_and_unchanged_files_with_such_a_name() {
    let root = vite();
    let layer = builder(root.path()).unversioned(CachePolicy::max_age(Duration::from_secs(9)));
    let layer = layer.build().unwrap();
    let late = "assets/late-Cq1-F_xz.js";
    write_at(&root.path().join(late), "made after the scan", later(1));
    let nine = "public, max-age=9";
    let stale = "/static/00000000000000aa/assets/index-Bx7a91Zq.js";
    for (name, url, cache_control) in [
        ("fingerprinted", &*unversioned(SCRIPT), YEAR),
        ("another", &unversioned(SHEET), YEAR),
        ("with a query", "/static/assets/index-Bx7a91Zq.js?a=b", YEAR),
        ("escaped", "/static/assets/index%2DBx7a91Zq.js", YEAR),
        ("under the current version", &format!("{}{SCRIPT}", layer.prefix()), YEAR),
        ("under another version", stale, "no-cache"),
        ("not fingerprinted", &unversioned(LOGO), nine),
        ("its sibling by itself", "/static/assets/index-Bx7a91Zq.js.br", nine),
        ("not listed", &unversioned(late), nine),
        ("not there", "/static/assets/gone-Bx7a91Zq.js", "no-store"),
        ("not plain", "/static/assets//index-Bx7a91Zq.js", nine),
    ] {
        let answer = fetch(&layer, root.path(), url).await;
        assert_eq!(answer.cache_control(), cache_control, "{name}");
    }
    // Changed since the scan: no promise, and no 304 without asking.
    write_at(&root.path().join(SCRIPT), OTHER_CODE, later(1));
    for lines in [&[][..], &[("if-none-match", &*etag_of(CODE))]] {
        let request = request("GET", &unversioned(SCRIPT), lines);
        let answer = ask(layer.wrap(files(root.path()).0), request).await;
        let got = (answer.status.as_u16(), answer.cache_control(), &*answer.body);
        assert_eq!(got, (200, nine.into(), OTHER_CODE.as_bytes()), "{lines:?}");
        assert_ne!(answer.field("etag"), etag_of(CODE));
    }
}

#[tokio::test]
async fn without_the_option_a_name_is_a_name() {
    let root = vite();
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    assert_eq!(layer.prefix().url(SCRIPT), format!("{}{SCRIPT}", layer.prefix()));
    let answer = fetch(&layer, root.path(), &unversioned(SCRIPT)).await;
    assert_eq!(answer.cache_control(), "no-cache");
}

#[tokio::test]
async fn a_known_copy_is_confirmed_without_asking() {
    let root = vite();
    let layer = builder(root.path()).build().unwrap();
    fetch(&layer, root.path(), &unversioned(SCRIPT)).await;
    let (router, asked) = files(root.path());
    let known = request("GET", &unversioned(SCRIPT), &[("if-none-match", &*etag_of(CODE))]);
    let answer = ask(layer.wrap(router), known).await;
    assert_eq!((answer.status.as_u16(), answer.cache_control()), (304, YEAR.into()));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

/// Memory has a file once, for its URL with the version and for the one without.
#[tokio::test]
async fn memory_answers_without_a_version() {
    let root = vite();
    let layer = builder(root.path()).memory_budget(1 << 20).build().unwrap();
    let (router, asked) = files(root.path());
    let service = layer.wrap(router);
    let current = format!("{}{SCRIPT}", layer.prefix());
    for (url, expected) in [
        (unversioned(SCRIPT), 1),
        (unversioned(SCRIPT), 1),
        (current, 1),
        (unversioned(LOGO), 2),
        (unversioned(LOGO), 3),
    ] {
        ask(service.clone(), get(&url)).await;
        assert_eq!(asked.load(Ordering::Relaxed), expected, "{url}");
    }
}

#[tokio::test]
async fn a_nested_layer_and_a_whole_site_do_the_same() {
    let root = vite();
    let nested = builder(root.path()).build().unwrap().nested();
    let bare = ServeDir::new(root.path());
    let answer = ask(nested.layer(bare.clone()), get("/assets/index-Bx7a91Zq.js")).await;
    assert_eq!((answer.cache_control(), answer.field("etag")), (YEAR.into(), etag_of(CODE)));
    let site = StaticUrlLayer::builder("/").root(root.path());
    let site = site.fingerprinted(Fingerprinted::vite()).build().unwrap();
    for (url, cache_control) in [
        ("/assets/index-Bx7a91Zq.js", YEAR),
        ("/assets/x-Bx7a91Zq.js", ""),
        ("/logo.svg", "no-cache"),
    ] {
        let answer = ask(site.layer(bare.clone()), get(url)).await;
        assert_eq!(answer.cache_control(), cache_control, "{url}");
    }
}

#[tokio::test]
async fn to_a_handler_the_url_is_unversioned() {
    let manifest = Manifest::from_files([(SCRIPT, CODE)]).unwrap();
    let layer = StaticUrlLayer::builder("/static").manifest(manifest);
    let layer = layer.fingerprinted(Fingerprinted::vite()).build().unwrap();
    let show = async |request: Request| {
        format!("{:?}", request.extensions().get::<StaticUrlOutcome>().unwrap())
    };
    let router = Router::new().route("/static/assets/index-Bx7a91Zq.js", on_get(show));
    let answer = ask(layer.wrap(router), get(&unversioned(SCRIPT))).await;
    assert_eq!(answer.body, "Unversioned");
    assert_eq!(answer.cache_control(), "no-cache", "not the listed bytes");
}

/// A stale URL is not the file's own: it is redirected to one that stays.
#[tokio::test]
async fn a_stale_url_is_stale() {
    let root = vite();
    let layer = builder(root.path()).stale(StalePolicy::Redirect).build().unwrap();
    let answer = fetch(&layer, root.path(), &format!("/static/00000000000000aa/{SCRIPT}")).await;
    assert_eq!((answer.status.as_u16(), answer.cache_control()), (307, "no-store".into()));
    let location = answer.field("location");
    assert_eq!(location, format!("{}{SCRIPT}", layer.prefix()));
    assert_eq!(fetch(&layer, root.path(), &location).await.cache_control(), YEAR);
}

// ---------------------------------------------------------------------------------
// A name that turned out to be no hash

/// Writes a file with a time of its own, or removes it.
fn put(root: &Path, path: &str, content: Option<&str>, seconds: u64) {
    match content {
        Some(content) => write_at(&root.join(path), content, later(seconds)),
        None => fs::remove_file(root.join(path)).unwrap(),
    }
}

#[tokio::test]
async fn what_changes_and_keeps_its_name_has_a_version_from_then_on() {
    for is_development in [false, true] {
        let warnings = Warnings::capture();
        let root = vite();
        let layer = builder(root.path()).development(is_development).build().unwrap();
        let first = layer.prefix();
        for (seconds, content, is_lost, why) in [
            (0, Some(CODE), false, "nothing has happened"),
            (1, Some(CODE), false, "only touched"),
            (2, None, false, "gone"),
            (3, Some(CODE), false, "back"),
            (4, Some(OTHER_CODE), true, "changed"),
            (5, Some(OTHER_CODE), true, "only touched"),
            (6, Some(CODE), true, "changed back"),
            (7, None, true, "gone"),
            (8, Some(CODE), true, "back"),
            (9, Some("third"), true, "changed again"),
        ] {
            put(root.path(), SCRIPT, content, seconds);
            let prefix = layer.reload().unwrap().after().clone();
            let (url, cache_control) = if is_lost || content.is_none() {
                (format!("{prefix}{SCRIPT}"), "no-cache")
            } else {
                (unversioned(SCRIPT), YEAR)
            };
            assert_eq!(prefix.url(SCRIPT), url, "{why}");
            if content.is_some() {
                let answer = fetch(&layer, root.path(), &unversioned(SCRIPT)).await;
                assert_eq!(answer.cache_control(), cache_control, "{why}");
                assert_eq!(fetch(&layer, root.path(), &url).await.cache_control(), YEAR, "{why}");
            }
            // Others are not concerned.
            assert_eq!(prefix.url(SHEET), unversioned(SHEET), "{why}");
            let mut lines = warnings.lines();
            // The sibling is older than an edited script.
            lines.retain(|line| !line.contains("pre-compressed"));
            assert_eq!(lines.len(), usize::from(is_lost), "{why}: {lines:?}");
            if is_lost && content == Some(CODE) {
                assert_eq!(prefix.version(), first.version(), "{why}");
                assert_ne!(prefix, first, "{why}: not the same URLs");
            }
        }
        let lines = warnings.lines();
        let line = lines.iter().find(|line| !line.contains("pre-compressed")).unwrap();
        let parts = ["WARN", SCRIPT, "rule=\"vite\"", "has kept its name and changed its bytes"];
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
}

/// Also while it was away, and one that was not there at the start.
#[test]
fn a_name_is_remembered_while_the_file_is_gone() {
    let root = vite();
    let layer = builder(root.path()).build().unwrap();
    let late = "assets/late-Cq1-F_xz.js";
    for (seconds, content, is_fingerprinted) in [
        (1, Some("first"), true),
        (2, None, false),
        (3, Some("second"), false),
        (4, Some("first"), false),
    ] {
        put(root.path(), late, content, seconds);
        // And a version in between that has neither.
        put(root.path(), LOGO, Some("<svg>, again"), seconds);
        layer.reload().unwrap();
        let url = layer.reload().unwrap().after().url(late);
        assert_eq!(url == unversioned(late), is_fingerprinted, "{seconds}");
    }
    // A new layer begins anew.
    let url = builder(root.path()).build().unwrap().prefix().url(late);
    assert_eq!(url, unversioned(late));
}

/// The bytes of a sibling are those of another compressor at most.
#[test]
fn a_sibling_may_change() {
    let root = vite();
    let layer = builder(root.path()).build().unwrap();
    put(root.path(), "assets/index-Bx7a91Zq.js.br", Some("compressed better"), 1);
    assert_eq!(layer.reload().unwrap().after().url(SCRIPT), unversioned(SCRIPT));
}

/// The names of a bundler that watches go and never come back.
#[test]
fn many_names_may_go() {
    let root = tree([("index.html", "")]);
    let layer = builder(root.path()).build().unwrap();
    let name = |build: usize| format!("assets/index-Ab{build:05}x.js");
    for build in 0..50 {
        put(root.path(), &name(build), Some("x"), 1);
        assert_eq!(layer.reload().unwrap().after().url(&name(build)), unversioned(&name(build)));
        put(root.path(), &name(build), None, 1);
    }
}
