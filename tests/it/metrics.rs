//! What the layer does is counted, once.

use std::{collections::BTreeMap, fs};

use axum::{Router, body::Body, http::Request, routing::get as on_get};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;
use tower_static_url::{Deltas, StaticUrlLayer, metrics, releases::Releases};
use tracing::Instrument as _;

use crate::support::{Site, Warnings, ask, counters::Counters, etag_of, get, request, tree, write};

/// Returns what is counted while `run` runs.
fn counted<T>(run: impl Future<Output = T>) -> BTreeMap<String, u64> {
    let counters = Counters::new();
    counters.count(run);
    counters.read()
}

fn expected<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}

#[test]
fn requests_by_outcome() {
    let site = Site::new();
    let seen = counted(async {
        for path in ["v/css/app.css", "v/missing", "css/app.css", "stale/css/app.css", "stale/x"] {
            site.get(path).await;
        }
        site.send(request("POST", &site.url("css/app.css"), &[])).await;
        site.send(request("OPTIONS", &site.url("v/css/app.css"), &[])).await;
        site.send(get("/")).await;
    });
    let requests = [
        (r#"requests_total{outcome="current"}"#, 3),
        (r#"requests_total{outcome="stale"}"#, 2),
        (r#"requests_total{outcome="unversioned"}"#, 2),
    ];
    assert_eq!(seen, expected(requests));
}

#[test]
fn what_needs_no_inner_service() {
    let site = Site::with(|builder| builder.memory_budget(1 << 20));
    let url = site.url("v/css/app.css");
    let content = fs::read(site.root.path().join("css/app.css")).unwrap();
    let seen = counted(async {
        site.get("v/css/app.css").await;
        site.get("v/css/app.css").await;
        site.send(request("HEAD", &url, &[])).await;
        site.send(request("GET", &url, &[("range", "bytes=0-1")])).await;
        let named = [("if-none-match", &*etag_of(&content))];
        assert_eq!(site.send(request("GET", &url, &named)).await.status, 304);
        let other = [("if-none-match", "\"other\"")];
        assert_eq!(site.send(request("GET", &url, &other)).await.status, 200);
    });
    let counts = [
        ("memory_bytes_total", 2 * content.len() as u64 + 2),
        ("memory_hits_total", 4),
        ("not_modified_total", 1),
        (r#"requests_total{outcome="current"}"#, 6),
    ];
    assert_eq!(seen, expected(counts));
}

#[test]
fn what_is_not_as_it_was_scanned() {
    let root = tree([("page.html", "page"), ("app.css", "p {}"), ("gone.js", "gone")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    write(root.path(), "app.css", "another length");
    fs::remove_file(root.path().join("gone.js")).unwrap();
    let streamed = || async {
        let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>("for one visitor")]);
        Body::from_stream(pieces)
    };
    let files = ServeDir::new(root.path());
    let router = Router::new().route("/static/page.html", on_get(streamed));
    let app = layer.wrap(router.fallback_service(Router::new().nest_service("/static", files)));
    let seen = counted(async {
        for path in ["page.html", "app.css", "app.css", "gone.js", "gone.js"] {
            ask(app.clone(), get(&layer.prefix().url(path))).await;
        }
    });
    let counts = [
        ("changed_files_total", 1),
        ("missing_files_total", 1),
        (r#"requests_total{outcome="current"}"#, 5),
        ("unproven_responses_total", 1),
    ];
    assert_eq!(seen, expected(counts));
}

#[test]
fn reloads() {
    let counters = Counters::new();
    let root = tree([("app.css", "p {}")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    counters.count(async {
        metrics::describe();
        layer.reload().unwrap();
        write(root.path(), "app.css", "p { color: teal }");
        layer.reload().unwrap();
        layer.reload().unwrap();
        fs::remove_file(root.path().join("app.css")).unwrap();
        layer.reload().unwrap_err();
    });
    let counts = [
        (r#"reloads_total{result="failed"}"#, 1),
        (r#"reloads_total{result="new"}"#, 1),
        (r#"reloads_total{result="same"}"#, 2),
    ];
    assert_eq!(counters.read(), expected(counts));
    let text = counters.text();
    assert!(text.contains("static_url_reload_seconds_count 3"), "{text}");
    assert!(text.contains("# HELP static_url_reloads_total Snapshots that were made"), "{text}");
}

/// Two releases of a site, of which the second is current.
struct Fleet {
    folder: tempfile::TempDir,
    root: tempfile::TempDir,
    layer: StaticUrlLayer,
    old: String,
}

impl Fleet {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let releases = Releases::folder(folder.path().join("releases")).unwrap();
        let layer = |root: &tempfile::TempDir| {
            let files = ServeDir::new(releases.files());
            let builder = StaticUrlLayer::builder("/static").root(root.path());
            let layer = builder.releases(releases.clone(), files).deltas(Deltas::new());
            let layer = layer.build().unwrap();
            layer.publish().unwrap();
            layer
        };
        let old = layer(&tree([("app.js", &*script("old")), ("gone.js", "gone")]));
        let root = tree([("app.js", script("new").as_str())]);
        Self { layer: layer(&root), root, folder, old: old.prefix().to_string() }
    }

    async fn send(&self, request: Request<Body>) -> crate::support::Answer {
        let router = Router::new().nest_service("/static", ServeDir::new(self.root.path()));
        ask(self.layer.wrap(router), request).await
    }

    async fn get(&self, url: &str) -> u16 {
        self.send(get(url)).await.status.as_u16()
    }
}

fn script(line: &str) -> String {
    let lines = (0..500_u32).map(|i| format!("let value{i} = {};\n", i * 7919 % 1000));
    lines.chain([format!("let line = {line:?};\n")]).collect()
}

#[test]
fn kept_releases() {
    let fleet = Fleet::new();
    let version = fleet.old.rsplit('/').nth(1).unwrap();
    let files = fleet.folder.path().join("releases/files").join(version);
    let seen = counted(async {
        assert_eq!(fleet.get(&format!("{}gone.js", fleet.old)).await, 200);
        assert_eq!(fleet.get(&format!("{}missing.js", fleet.old)).await, 404);
        assert_eq!(fleet.get("/static/00000000000000aa/app.js").await, 200);
        fs::write(files.join("app.js"), "spoilt").unwrap();
        assert_eq!(fleet.get(&format!("{}app.js", fleet.old)).await, 502);
    });
    let counts = [
        (r#"release_responses_total{from="directory"}"#, 1),
        (r#"release_responses_total{from="failed"}"#, 1),
        (r#"requests_total{outcome="kept"}"#, 3),
        (r#"requests_total{outcome="stale"}"#, 1),
        ("dictionaries_total", 1),
    ];
    assert_eq!(seen, expected(counts));
}

#[test]
fn deltas() {
    let fleet = Fleet::new();
    let url = fleet.layer.prefix().url("app.js");
    let asked = |old: &str| {
        let dictionary = data_encoding::BASE64.encode(&Sha256::digest(old));
        let dictionary = format!(":{dictionary}:");
        request("GET", &url, &[("accept-encoding", "dcz"), ("available-dictionary", &dictionary)])
    };
    let counters = Counters::new();
    let saved = counters.count(async {
        let mut saved = 0;
        for is_known in [true, true, false] {
            let old = if is_known { script("old") } else { "unknown".into() };
            let answer = fleet.send(asked(&old)).await;
            saved += script("new").len() as u64 - answer.body.len() as u64;
        }
        saved
    });
    let mut seen = counters.read();
    seen.remove("dictionaries_total");
    let counts = [
        ("delta_saved_bytes_total", saved),
        (r#"deltas_total{result="made"}"#, 1),
        (r#"deltas_total{result="refused"}"#, 1),
        (r#"deltas_total{result="reused"}"#, 1),
        (r#"requests_total{outcome="current"}"#, 3),
    ];
    assert_eq!(seen, expected(counts));
}

#[test]
fn reloads_in_the_log() {
    let root = tree([("app.css", "p {}")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let log = Warnings::capture();
    layer.reload().unwrap();
    assert_eq!(log.all(), [""; 0], "nothing has changed");
    write(root.path(), "app.css", "p { color: teal }");
    layer.reload().unwrap();
    let all = log.all();
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("DEBUG") && all[0].contains("a new version"), "{all:?}");
}

/// The log has the same facts: a line at DEBUG, and fields of the request's span.
#[tokio::test]
async fn requests_in_the_log() {
    let (site, log) = (Site::new(), Warnings::capture());
    let span = tracing::info_span!(
        "request",
        static_url.outcome = tracing::field::Empty,
        static_url.version = tracing::field::Empty
    );
    let app = site.layer.wrap(site.router());
    let url = site.url("v/css/app.css?secret=1");
    app.oneshot(get(&url)).instrument(span).await.unwrap();
    let version = site.layer.prefix().version().to_owned();
    let line = log.all().into_iter().find(|line| line.contains("DEBUG")).unwrap();
    for wanted in [
        format!(r#"request{{static_url.outcome="current" static_url.version="{version}"}}"#),
        format!(r#"outcome="current" version="{version}" path="/static/{version}/css/app.css""#),
    ] {
        assert!(line.contains(&wanted), "{line}");
    }
    assert!(!line.contains("secret"), "{line}");
}
