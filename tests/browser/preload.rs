//! Preload links: a browser fetches each file once, and has nothing to complain of.

use std::{net::Ipv4Addr, path::Path, sync::Arc, time::Instant};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{
        Method,
        header::{CONTENT_LENGTH, LINK},
        response::Parts,
    },
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tempfile::{TempDir, tempdir};
use tokio::{
    net::TcpListener,
    runtime::{Handle, Runtime},
    sync::watch,
};
use tower_http::{
    cors::{Any, CorsLayer},
    services::ServeDir,
};
use tower_static_url::{Preload, PreloadAs, StaticPrefix, StaticUrlLayer};

use crate::{Browser, PATIENCE, capabilities, edit_unnoticed, support::tree};

/// One of each kind, and the last that no page uses.
const PRELOADS: [Preload<'_>; 8] = [
    Preload::new("app.css"),
    Preload::new("body,na;me'.woff2"),
    Preload::new("classic.js"),
    Preload::module("module.js"),
    Preload::module("dep.js"),
    Preload::new("photo.svg"),
    Preload::new("data").load_as(PreloadAs::Fetch),
    Preload::new(UNUSED),
];

/// When the browser has complained of this one, it would have complained of others.
const UNUSED: &str = "unused.svg";

fn site() -> TempDir {
    tree([
        (
            "app.css",
            "@font-face { font-family: F; src: url(\"body,na;me%27.woff2\") }
            body { font-family: F; color: rgb(1, 2, 3) }",
        ),
        ("body,na;me'.woff2", "not really a font"),
        ("classic.js", "ran.push('classic');"),
        ("module.js", "import 'dep'; ran.push('module');"),
        ("dep.js", "ran.push('dep');"),
        ("photo.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("data", "{}"),
        (UNUSED, "<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ])
}

#[derive(Clone, Copy, Debug)]
enum By {
    Field,
    Elements,
}

/// What the elements of the page have.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Integrity {
    Same,
    None,
}

fn page(files: &StaticPrefix, by: By, integrity: Integrity) -> Response {
    let map = files.import_map([("dep", "dep.js")]).unwrap().to_html();
    let preloads = files.preloads(PRELOADS).unwrap().budget(2048);
    assert_eq!(preloads.left_out().count(), 0);
    let (field, elements) = match by {
        By::Field => (preloads.header(), String::new()),
        By::Elements => (None, preloads.to_html()),
    };
    let crossorigin = if files.as_str().starts_with("http:") { "crossorigin" } else { "" };
    let url = |path: &str| match (integrity, files.integrity(path)) {
        (Integrity::Same, Some(digest)) => {
            format!("\"{}\" integrity=\"{digest}\" {crossorigin}", files.url(path))
        }
        _ => format!("\"{}\" {crossorigin}", files.url(path)),
    };
    let html = format!(
        "<!doctype html><title>Preload</title><script>window.ran = [];</script>{map}{elements}
        <link rel=stylesheet href={}><body>Some text
        <script src={}></script><script type=module src={}></script><img src=\"{}\">
        <script>fetch(\"{}\").then((it) => it.text()).then(() => ran.push('data'));</script>",
        url("app.css"),
        url("classic.js"),
        url("module.js"),
        files.url("photo.svg"),
        files.url("data"),
    );
    (field.map(|field| [(LINK, field)]), Html(html)).into_response()
}

/// A server with a page, with files, or with both.
struct Server {
    origin: String,
    asked: Asked,
}

type Asked = Arc<watch::Sender<Vec<String>>>;

impl Server {
    fn bind(runtime: &Handle) -> (TcpListener, Self) {
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        (listener, Self { origin, asked: Arc::default() })
    }

    fn serve(&self, runtime: &Handle, listener: TcpListener, layer: StaticUrlLayer, root: &Path) {
        let show =
            |by, integrity| get(async move |files: StaticPrefix| page(&files, by, integrity));
        let router = Router::new()
            .route("/field", show(By::Field, Integrity::Same))
            .route("/elements", show(By::Elements, Integrity::Same))
            .route("/field-only", show(By::Field, Integrity::None))
            .route("/no-names", get(page_without_names))
            .route("/slow", get(slow_page).with_state(self.asked.clone()))
            .nest_service("/static", ServeDir::new(root).redirect_path_prefix("/static"));
        let app = Router::new()
            .fallback_service(layer.wrap(router))
            .layer(CorsLayer::new().allow_origin(Any))
            .layer(from_fn_with_state(self.asked.clone(), record));
        runtime.spawn(async { axum::serve(listener, app).await });
    }

    /// The files that were asked for since the last time, as often as they were.
    fn take(&self) -> Vec<String> {
        let mut asked = self.asked.send_replace(Vec::new());
        asked.retain(|path| path.starts_with("/static/"));
        asked.sort();
        asked
    }
}

async fn page_without_names(files: StaticPrefix) -> impl IntoResponse + use<> {
    let preloads = [Preload::module("dep.js"), Preload::new(UNUSED)];
    let field = files.preloads(preloads).unwrap().without_import_map().header().unwrap();
    assert!(field.to_str().unwrap().contains("rel=modulepreload"));
    let html = format!(
        "<!doctype html><title>No names</title><script>window.ran = [];</script>
        <script type=module src=\"{}\"></script>",
        files.url("dep.js")
    );
    ([(LINK, field)], Html(html))
}

/// A page whose import map comes when its modules have been asked for.
async fn slow_page(State(asked): State<Asked>, files: StaticPrefix) -> Response {
    let (head, body) = page(&files, By::Field, Integrity::Same).into_parts();
    let are_modules_there = |asked: &Vec<String>| {
        ["/module.js", "/dep.js"].iter().all(|name| asked.iter().any(|path| path.ends_with(name)))
    };
    let rest = async move {
        asked.subscribe().wait_for(are_modules_there).await.unwrap();
        to_bytes(body, usize::MAX).await
    };
    let start = stream::iter([Ok("<!doctype html>".into())]);
    Response::from_parts(without_length(head), Body::from_stream(start.chain(stream::once(rest))))
}

fn without_length(mut head: Parts) -> Parts {
    head.headers.remove(CONTENT_LENGTH);
    head
}

async fn record(State(asked): State<Asked>, request: Request, next: Next) -> Response {
    asked.send_modify(|asked| asked.push(request.uri().path().to_owned()));
    next.run(request).await
}

impl Browser {
    /// A browser whose console can be read, and that has no cache to hide a second request.
    fn with_console(runtime: &Handle, profile: &Path) -> Self {
        let mut capabilities = capabilities(profile);
        let logged = json!({ "browser": "ALL" });
        capabilities["capabilities"]["alwaysMatch"]["goog:loggingPrefs"] = logged;
        let browser = Self::with(runtime, capabilities);
        for (command, parameters) in [
            ("Network.enable", json!({})),
            ("Network.setCacheDisabled", json!({ "cacheDisabled": true })),
        ] {
            let command = json!({ "cmd": command, "params": parameters });
            browser.command(Method::POST, "/goog/cdp/execute", command);
        }
        browser
    }

    /// What the console says of preloads and integrity, until it says that `UNUSED` is not used.
    fn complaints(&self) -> Vec<String> {
        let (mut said, end) = (Vec::new(), Instant::now() + PATIENCE);
        while !said.iter().any(|line: &String| line.contains(UNUSED)) {
            assert!(Instant::now() < end, "{said:#?}");
            let entries = self.command(Method::POST, "/se/log", json!({ "type": "browser" }));
            let lines =
                entries.as_array().unwrap().iter().map(|it| it["message"].as_str().unwrap());
            said.extend(lines.map(str::to_owned));
            self.run("setTimeout(done, 100)");
        }
        let is_one = |line: &str| {
            let line = line.to_lowercase();
            !line.contains(UNUSED) && (line.contains("preload") || line.contains("integrity"))
        };
        said.retain(|line| is_one(line));
        said
    }
}

const RAN: &str = "
    const look = () => ran.includes('data') && document.readyState === 'complete'
        ? done([getComputedStyle(document.body).color, ran.sort()])
        : setTimeout(look, 20);
    look();
";

fn assert_each_fetched_once(browser: &Browser, page: &str, prefix: &StaticPrefix, files: &Server) {
    browser.open("about:blank");
    files.take();
    browser.open(page);
    let ran = json!(["rgb(1, 2, 3)", ["classic", "data", "dep", "module"]]);
    assert_eq!(browser.run(RAN), ran, "{page}");
    assert_eq!(browser.complaints(), [""; 0], "{page}");
    let mut all = prefix.paths().map(|path| prefix.path(path)).collect::<Vec<_>>();
    all.sort();
    assert_eq!(files.take(), all, "{page}");
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn each_file_is_fetched_once() {
    let (site, profile, runtime) = (site(), tempdir().unwrap(), Runtime::new().unwrap());
    let layer = StaticUrlLayer::new("/static", site.path()).unwrap();
    let (listener, server) = Server::bind(runtime.handle());
    server.serve(runtime.handle(), listener, layer.clone(), site.path());
    let browser = Browser::with_console(runtime.handle(), profile.path());
    for path in ["field", "elements", "field-only"] {
        let page = format!("{}/{path}", server.origin);
        assert_each_fetched_once(&browser, &page, &layer.prefix(), &server);
    }
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn each_file_of_another_origin_is_fetched_once() {
    let (site, profile, runtime) = (site(), tempdir().unwrap(), Runtime::new().unwrap());
    let (files_listener, files) = Server::bind(runtime.handle());
    let (page_listener, pages) = Server::bind(runtime.handle());
    let builder = || StaticUrlLayer::builder("/static").root(site.path());
    let layer = builder().build().unwrap();
    files.serve(runtime.handle(), files_listener, layer.clone(), site.path());
    let with_origin = builder().origin(&files.origin).build().unwrap();
    pages.serve(runtime.handle(), page_listener, with_origin, site.path());
    let browser = Browser::with_console(runtime.handle(), profile.path());
    for path in ["field", "elements", "field-only"] {
        let page = format!("{}/{path}", pages.origin);
        assert_each_fetched_once(&browser, &page, &layer.prefix(), &files);
        assert_eq!(pages.take(), [""; 0], "{page}");
    }
}

/// The field precedes the map, with a slow page by far.
#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn the_field_leaves_names_to_an_import_map_that_comes_late() {
    let (site, profile, runtime) = (site(), tempdir().unwrap(), Runtime::new().unwrap());
    let layer = StaticUrlLayer::new("/static", site.path()).unwrap();
    let (listener, server) = Server::bind(runtime.handle());
    server.serve(runtime.handle(), listener, layer.clone(), site.path());
    let browser = Browser::with_console(runtime.handle(), profile.path());
    let page = format!("{}/slow", server.origin);
    assert_each_fetched_once(&browser, &page, &layer.prefix(), &server);
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn without_an_import_map_the_field_may_have_modules_compiled() {
    let (site, profile, runtime) = (site(), tempdir().unwrap(), Runtime::new().unwrap());
    let layer = StaticUrlLayer::new("/static", site.path()).unwrap();
    let (listener, server) = Server::bind(runtime.handle());
    server.serve(runtime.handle(), listener, layer.clone(), site.path());
    let browser = Browser::with_console(runtime.handle(), profile.path());
    browser.open(&format!("{}/no-names", server.origin));
    assert_eq!(browser.run("done(ran)"), json!(["dep"]));
    assert_eq!(browser.complaints(), [""; 0]);
    assert_eq!(server.take(), ["dep.js", UNUSED].map(|path| layer.prefix().path(path)));
}

/// Even where only the link has the digest.
#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn other_bytes_than_those_of_the_link_are_refused() {
    let (site, profile, runtime) = (site(), tempdir().unwrap(), Runtime::new().unwrap());
    let layer = StaticUrlLayer::new("/static", site.path()).unwrap();
    let (listener, server) = Server::bind(runtime.handle());
    server.serve(runtime.handle(), listener, layer, site.path());
    for (path, from, to) in [
        ("app.css", "rgb(1, 2, 3)", "rgb(4, 5, 6)"),
        ("classic.js", "'classic'", "'refused'"),
        ("module.js", "'module'", "'denied'"),
    ] {
        edit_unnoticed(&site.path().join(path), from, to);
    }
    let browser = Browser::with_console(runtime.handle(), profile.path());
    browser.open(&format!("{}/field-only", server.origin));
    assert_eq!(browser.run(RAN), json!(["rgb(0, 0, 0)", ["data"]]));
}
