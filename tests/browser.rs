//! A real browser visits the demo: what it fetches, and what it takes from its
//! cache.
//!
//! ```sh
//! sh tests/e2e/install.sh
//! cargo test --test browser -- --ignored
//! ```
//!
//! Between the browser and the demo stands a recorder, so that two witnesses must
//! agree: the page, which asks the browser (Resource Timing), and the network.
//! Its address also outlives a restart of the demo; another port would be another
//! origin, with a cache of its own.

#[path = "browser/cross_origin.rs"]
mod cross_origin;
#[cfg(unix)]
#[path = "browser/deltas.rs"]
mod deltas;
#[path = "browser/htmx.rs"]
mod htmx;
#[path = "browser/import_map.rs"]
mod import_map;
#[path = "browser/preload.rs"]
mod preload;
#[cfg(unix)]
#[path = "browser/releases.rs"]
mod releases;
#[path = "browser/service_worker.rs"]
mod service_worker;
#[path = "browser/spa.rs"]
mod spa;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header, uri::PathAndQuery},
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use http_body::Body as _;
use serde_json::{Value, json};
use support::demo::{Demo, HttpClient, Process, http_client};
use tempfile::{TempDir, tempdir};
use tokio::{
    net::TcpListener,
    runtime::{Handle, Runtime},
    time::timeout,
};
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer, axum::AxumStaticUrl};
use walkdir::WalkDir;

/// How long anything may take before the check has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs chromium and npm: tests/e2e/install.sh"]
fn only_a_changed_byte_makes_the_browser_fetch_again() {
    let site = third_party_site();
    let changed = site.path().join("css/bootstrap.css");
    let (original, profile) = (fs::read(&changed).unwrap(), tempdir().unwrap());
    let runtime = Runtime::new().unwrap();
    let demo = Demo::start(site.path());
    let recorder = Recorder::start(runtime.handle(), &demo);

    let browser = Browser::start(runtime.handle(), profile.path());
    let first = browser.visit(&recorder);
    assert_eq!(first.paths(), files_below(site.path()));
    first.assert_all_fetched();

    let second = browser.visit(&recorder);
    assert_eq!(second.version, first.version);
    second.assert_nothing_fetched();
    browser.reload(&recorder).assert_nothing_fetched();

    drop(browser);
    let browser = Browser::start(runtime.handle(), profile.path());
    browser.visit(&recorder).assert_nothing_fetched();

    fs::write(&changed, flip_last_byte(&original)).unwrap();
    let demo = demo.restart(site.path());
    recorder.forward_to(&demo);
    let deployed = browser.visit(&recorder);
    assert_ne!(deployed.version, first.version);
    assert_eq!(deployed.paths(), first.paths());
    deployed.assert_all_fetched();
    browser.visit(&recorder).assert_nothing_fetched();

    fs::write(&changed, &original).unwrap();
    let demo = demo.restart(site.path());
    recorder.forward_to(&demo);
    let rolled_back = browser.visit(&recorder);
    assert_eq!(rolled_back.version, first.version);
    rolled_back.assert_nothing_fetched();
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn relative_urls_stay_below_the_version() {
    let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/site");
    let demo = Demo::start(&site);
    let Stage { browser, recorder, .. } = &Stage::before(&demo);

    let visit = browser.visit(recorder);
    assert_eq!(visit.paths(), files_below(&site));
    visit.assert_all_fetched();
    let loaded = browser.loaded_by_the_page();
    let prefix = visit.prefix();
    for path in ["css/app.css", "css/base.css", "img/stamp.svg", "js/app.js", "js/greet.js"] {
        assert!(loaded.contains(&format!("{prefix}{path}")), "{path} is not in {loaded:?}");
    }
    assert_eq!(loaded.len(), 5, "{loaded:?}");
    browser.assert_greeted();
    assert_eq!(browser.run(SOURCE_MAP), json!([format!("{prefix}js/app.js.map"), "app.js"]));

    browser.open(&format!("{}{prefix}index.html", recorder.origin()));
    assert_eq!(browser.loaded_by_the_page(), loaded, "the site's own page");
    browser.assert_greeted();
    assert_eq!(recorder.take(), [], "all that the site needs is in the cache already");
}

/// Neither the sizes of the files nor their times tell, as in the layers of an image.
#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn the_first_page_after_a_deploy_is_all_new() {
    let site = copy_of_the_site();
    let demo = Demo::start(site.path());
    let Stage { browser, recorder, .. } = &Stage::before(&demo);
    browser.visit(recorder);
    let before = browser.run(INK_AND_FIRST_LETTER);

    edit_unnoticed(&site.path().join("css/base.css"), "ink: #2c2a24", "ink: #010203");
    edit_unnoticed(&site.path().join("js/greet.js"), "return \"", "return\"?");
    let demo = demo.restart(site.path());
    recorder.forward_to(&demo);
    browser.visit(recorder);
    let after = browser.run(INK_AND_FIRST_LETTER);
    assert_eq!(after, json!(["rgb(1, 2, 3)", "?"]));
    assert_ne!(before, after);
}

/// The layer goes by size and time, which do not tell here; the browser goes by bytes.
#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn integrity_admits_what_was_scanned_and_nothing_else() {
    let site = support::tree([
        ("app.css", "body { color: rgb(1, 2, 3) }"),
        ("classic.js", "window.ran.push('classic');"),
        ("module.js", "window.ran.push('module ');"),
    ]);
    let runtime = Runtime::new().unwrap();
    let page = serve_with_integrity(runtime.handle(), site.path());
    let visit_anew = || {
        let profile = tempdir().unwrap();
        let browser = Browser::start(runtime.handle(), profile.path());
        browser.open(&page);
        browser.run("done([getComputedStyle(document.body).color, ran, refused.sort()])")
    };
    assert_eq!(visit_anew(), json!(["rgb(1, 2, 3)", ["classic", "module "], []]));

    edit_unnoticed(&site.path().join("app.css"), "rgb(1, 2, 3)", "rgb(4, 5, 6)");
    edit_unnoticed(&site.path().join("classic.js"), "'classic'", "'refused'");
    edit_unnoticed(&site.path().join("module.js"), "'module '", "'refused'");
    let refused = json!(["app.css", "classic.js", "module.js"]);
    assert_eq!(visit_anew(), json!(["rgb(0, 0, 0)", [], refused]));
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn odd_names_are_linked_right() {
    let site = tempdir().unwrap();
    let names = [
        "<b>&\"'.txt",
        "100%.txt",
        "a+b;c.txt",
        "a=b&copy=c.txt",
        "colon:at@.txt",
        "empty.txt",
        "hash#tag.txt",
        "percent%20.txt",
        "query?x=1.txt",
        "two  spaces.txt",
        "two\nlines\r.txt",
        "ünïcödé 鳥.txt",
    ];
    for name in names {
        let content = if name == "empty.txt" { "" } else { name };
        fs::write(site.path().join(name), content).unwrap();
    }
    let demo = Demo::start(site.path());
    let Stage { browser, recorder, .. } = &Stage::before(&demo);

    let first = browser.visit(recorder);
    assert_eq!(first.paths(), names.map(String::from).into());
    first.assert_all_fetched();
    browser.visit(recorder).assert_nothing_fetched();
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn a_saved_style_is_shown_without_a_reload() {
    let site = copy_of_the_site();
    let demo = Demo::start_watching(site.path());
    let Stage { browser, recorder, .. } = &Stage::before(&demo);
    let before = browser.visit(recorder);
    browser.run(MARK_THE_PAGE);

    // Linked by no page, but imported by `css/app.css`.
    edit(&site.path().join("css/base.css"), "--postcard-ink: #2c2a24", "--postcard-ink: #010203");
    browser.run(STYLE_IS_SWAPPED);
    browser.run(PAGE_IS_DONE);
    assert_eq!(browser.run(IS_MARKED), true, "the page was loaded anew");

    let after = browser.read_page(recorder);
    assert_ne!(after.version, before.version);
    assert_eq!(after.paths(), before.paths());
    after.assert_all_linked_below_the_prefix();
    assert_eq!(browser.run(STYLE_LINKS), json!([format!("{}css/app.css", after.prefix())]));
    browser.visit(recorder).assert_nothing_fetched();
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn a_saved_script_reloads_the_page() {
    let site = copy_of_the_site();
    let demo = Demo::start_watching(site.path());
    let Stage { browser, recorder, .. } = &Stage::before(&demo);
    browser.visit(recorder);
    browser.run(MARK_THE_PAGE);

    edit(&site.path().join("js/greet.js"), "return \"", "return \"P.S. ");
    browser.run_across_a_reload(POSTSCRIPT_IS_SHOWN);
    assert_eq!(browser.run(IS_MARKED), false, "new scripts need a new page");
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn an_open_page_follows_the_next_server() {
    let (site, edited) = (copy_of_the_site(), copy_of_the_site());
    edit(&edited.path().join("js/greet.js"), "return \"", "return \"P.S. ");
    let [first, same, other] =
        [&site, &site, &edited].map(|site| Demo::start_watching(site.path()));
    let Stage { browser, recorder, .. } = &Stage::before(&first);
    browser.visit(recorder);
    browser.run(MARK_THE_PAGE);

    recorder.forward_to(&same);
    drop(first);
    browser.run(IS_TOLD_AGAIN);
    assert_eq!(browser.run(IS_MARKED), true, "nothing has changed");

    recorder.forward_to(&other);
    drop(same);
    browser.run_across_a_reload(POSTSCRIPT_IS_SHOWN);
    assert_eq!(browser.run(IS_MARKED), false, "the page is an old one");
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn without_watching_a_page_does_not_listen() {
    let site = copy_of_the_site();
    let demo = Demo::start(site.path());
    let Stage { browser, recorder, .. } = &Stage::before(&demo);
    browser.visit(recorder);
    assert_eq!(
        browser.run("done(document.documentElement.outerHTML.includes('EventSource'))"),
        false
    );
    assert_eq!(browser.run("fetch('/changes').then(({ status }) => done(status))"), 404);
}

/// All files are linked, but not all are loaded before somebody asks for that.
#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn a_tree_of_thousands_is_loaded_when_asked_for() {
    const ALL: usize = 5_000;
    const FEW: usize = 500;
    let site = tempdir().unwrap();
    for i in 0..ALL {
        fs::write(site.path().join(format!("{i:04}.txt")), "").unwrap();
    }
    let demo = Demo::start(site.path());
    let Stage { browser, recorder, .. } = &Stage::before(&demo);
    browser.open(&recorder.origin());
    browser.run(PAGE_IS_DONE);
    assert_eq!(browser.run("done(document.querySelectorAll('#files a').length)"), ALL);
    assert_eq!(recorder.take().len(), FEW);
    assert_eq!(
        browser.run("done(document.querySelector('#rest').textContent)"),
        "Load all 5,000 files"
    );
    let clicked = "delete document.documentElement.dataset.done;
        document.querySelector('#rest').click();";
    browser.run(&format!("{clicked} {PAGE_IS_DONE}"));
    assert_eq!(recorder.take().len(), ALL - FEW);
    assert_eq!(browser.run("done(document.querySelector('#rest').hidden)"), true);
}

/// The bundled one, to be changed.
fn copy_of_the_site() -> TempDir {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/site");
    let site = tempdir().unwrap();
    for path in files_below(&original) {
        let copy = site.path().join(&path);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(original.join(&path), copy).unwrap();
    }
    site
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from:?} is not in {}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

/// Keeps the size and the time.
fn edit_unnoticed(file: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len(), "{from:?}, {to:?}");
    let modified = fs::metadata(file).unwrap().modified().unwrap();
    edit(file, from, to);
    support::set_modified(file, modified);
}

/// Gives the URL of a page that takes from its files only the bytes that were scanned.
fn serve_with_integrity(runtime: &Handle, root: &Path) -> String {
    let layer = StaticUrlLayer::new("/static", root).unwrap();
    let router = Router::new()
        .route("/", get(page_with_integrity))
        .nest_service("/static", ServeDir::new(root));
    serve(runtime, layer.wrap(router))
}

/// Gives the URL of the page at the root.
fn serve(runtime: &Handle, app: AxumStaticUrl<Router>) -> String {
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let page = format!("http://{}/", listener.local_addr().unwrap());
    runtime.spawn(async { axum::serve(listener, app.into_make_service()).await });
    page
}

async fn page_with_integrity(files: StaticPrefix) -> Html<String> {
    let attributes = |name: &str, url: &str| {
        let integrity = files.integrity(name).unwrap();
        format!(
            "{url}={:?} integrity={integrity:?} onerror='refused.push({name:?})'",
            files.url(name)
        )
    };
    Html(format!(
        "<!doctype html><title>Integrity</title>
        <script>window.ran = []; window.refused = [];</script>
        <link rel='stylesheet' {}><script {}></script><script type='module' {}></script>",
        attributes("app.css", "href"),
        attributes("classic.js", "src"),
        attributes("module.js", "src"),
    ))
}

fn third_party_site() -> TempDir {
    let site = tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/fetch_site.sh");
    let fetched = Command::new("sh").arg(script).arg(site.path()).status().unwrap();
    assert!(fetched.success(), "fetch_site.sh: {fetched}");
    site
}

fn files_below(root: &Path) -> BTreeSet<String> {
    let entries = WalkDir::new(root).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    let relative = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    files.map(|entry| relative(entry.path())).collect()
}

/// Of the same length, which is the hardest change to notice.
fn flip_last_byte(bytes: &[u8]) -> Vec<u8> {
    let (last, rest) = bytes.split_last().unwrap();
    [rest, &[last ^ 1]].concat()
}

/// What one visit of the demo's page came to.
#[derive(Debug)]
struct Visit {
    version: String,
    rows: BTreeMap<String, Row>,
    requests: Vec<Recorded>,
}

#[derive(Debug)]
struct Row {
    url: String,
    /// `network`, `cache`, …: what the browser says.
    from: String,
    /// In which coding it came over the network.
    coding: String,
}

impl Visit {
    fn prefix(&self) -> String {
        format!("/static/{}/", self.version)
    }

    fn paths(&self) -> BTreeSet<String> {
        self.rows.keys().cloned().collect()
    }

    fn assert_all_fetched(&self) {
        self.assert_all_from("network");
        let mut asked = self.requests.iter().map(|it| it.path.as_str()).collect::<Vec<_>>();
        let mut linked = self.rows.values().map(|row| row.url.as_str()).collect::<Vec<_>>();
        asked.sort_unstable();
        linked.sort_unstable();
        assert_eq!(asked, linked, "each file is asked for once");
        for request in &self.requests {
            assert!(request.path.starts_with(&self.prefix()), "{request:?}");
            assert_eq!(request.cache_control, support::YEAR, "{request:?}");
        }
    }

    fn assert_all_linked_below_the_prefix(&self) {
        for (path, Row { url, .. }) in &self.rows {
            assert!(url.starts_with(&self.prefix()), "{path} is linked as {url}");
        }
    }

    fn assert_nothing_fetched(&self) {
        self.assert_all_from("cache");
        assert_eq!(self.requests, [], "nothing below the prefix is asked for");
    }

    fn assert_all_from(&self, from: &str) {
        assert!(!self.rows.is_empty(), "the page has no files");
        let others = self.rows.iter().filter(|(_, row)| row.from != from);
        let others = others.collect::<BTreeMap<_, _>>();
        assert!(others.is_empty(), "not from the {from}: {others:#?}");
    }
}

/// A browser that has seen nothing yet, and a recorder between it and a demo. It is taken
/// down from the top: the browser before the folder that it writes to.
struct Stage {
    browser: Browser,
    recorder: Recorder,
    _profile: TempDir,
    _runtime: Runtime,
}

impl Stage {
    fn before(demo: &Demo) -> Self {
        Self::with(demo, Browser::start)
    }

    fn with(demo: &Demo, start: impl FnOnce(&Handle, &Path) -> Browser) -> Self {
        let (runtime, profile) = (Runtime::new().unwrap(), tempdir().unwrap());
        let recorder = Recorder::start(runtime.handle(), demo);
        let browser = start(runtime.handle(), profile.path());
        Self { browser, recorder, _profile: profile, _runtime: runtime }
    }
}

/// Forwards every request, and remembers what was asked for.
#[derive(Clone)]
struct Recorder {
    address: SocketAddr,
    client: HttpClient,
    upstream: Arc<Mutex<SocketAddr>>,
    recorded: Arc<Mutex<Vec<Recorded>>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Recorded {
    path: String,
    status: u16,
    cache_control: String,
    /// Whether the browser has said that it has a dictionary.
    has_dictionary: bool,
    coding: String,
    /// Of the body. None of an event stream.
    length: Option<u64>,
}

impl Recorder {
    fn start(runtime: &Handle, demo: &Demo) -> Self {
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let recorder = Self {
            address: listener.local_addr().unwrap(),
            client: http_client(),
            upstream: Arc::new(Mutex::new(demo.address)),
            recorded: Arc::default(),
        };
        let router = Router::new().fallback(forward).with_state(recorder.clone());
        runtime.spawn(async { axum::serve(listener, router).await });
        recorder
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    fn forward_to(&self, demo: &Demo) {
        *self.upstream.lock().unwrap() = demo.address;
    }

    /// What was asked for below the mount since the last time.
    fn take(&self) -> Vec<Recorded> {
        let mut recorded = self.take_all();
        recorded.retain(|request| request.path.starts_with("/static"));
        recorded
    }

    fn take_all(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.recorded.lock().unwrap())
    }
}

async fn forward(State(recorder): State<Recorder>, mut request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
    let upstream = *recorder.upstream.lock().unwrap();
    *request.uri_mut() = format!("http://{upstream}{path}").parse::<Uri>().unwrap();
    let has_dictionary = request.headers().contains_key("available-dictionary");
    let mut response = recorder.client.request(request).await.expect("the demo answers");
    let field = |name| response.headers().get(name).map_or("", |it| it.to_str().unwrap());
    let recorded = Recorded {
        path,
        status: response.status().as_u16(),
        cache_control: field(header::CACHE_CONTROL).to_owned(),
        has_dictionary,
        coding: field(header::CONTENT_ENCODING).to_owned(),
        length: response.body().size_hint().exact(),
    };
    recorder.recorded.lock().unwrap().push(recorded);
    // As a CDN has it. It matters to nothing but the pages of other origins.
    let everybody = HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, everybody);
    response.into_response()
}

/// A headless Chromium, led by its WebDriver.
struct Browser {
    runtime: Handle,
    client: HttpClient,
    session: String,
    _driver: Process,
}

impl Browser {
    /// `profile` is the folder in which the browser keeps its cache.
    fn start(runtime: &Handle, profile: &Path) -> Self {
        Self::with(runtime, capabilities(profile))
    }

    fn with(runtime: &Handle, capabilities: Value) -> Self {
        let mut driver = Process::start(Command::new("chromedriver").arg("--port=0"));
        let line = driver.read_line_with("successfully on port ");
        let port = line.rsplit(' ').next().unwrap().trim_end_matches('.');
        let sessions = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self {
            runtime: runtime.clone(),
            client: http_client(),
            session: sessions,
            _driver: driver,
        };
        let session = browser.command(Method::POST, "", capabilities);
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        browser
    }

    /// As somebody who types the address: no reload, which would ask anew for more.
    fn visit(&self, recorder: &Recorder) -> Visit {
        self.open("about:blank");
        recorder.take();
        self.open(&recorder.origin());
        self.run(PAGE_IS_DONE);
        self.read_page(recorder)
    }

    /// As somebody who presses the button: what is fresh is not asked about.
    fn reload(&self, recorder: &Recorder) -> Visit {
        recorder.take();
        self.command(Method::POST, "/refresh", json!({}));
        self.run(PAGE_IS_DONE);
        self.read_page(recorder)
    }

    fn read_page(&self, recorder: &Recorder) -> Visit {
        let page = self.run(READ_PAGE);
        let row = |(path, row): (&String, &Value)| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            (path.clone(), Row { url: text("url"), from: text("from"), coding: text("coding") })
        };
        Visit {
            version: page["version"].as_str().unwrap().to_owned(),
            rows: page["rows"].as_object().unwrap().iter().map(row).collect(),
            requests: recorder.take(),
        }
    }

    /// The paths of all that the page's own HTML, CSS and modules have asked for.
    fn loaded_by_the_page(&self) -> BTreeSet<String> {
        let names = self.run(LOADED_BY_THE_PAGE);
        names.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// Whether the modules not only came, but ran.
    fn assert_greeted(&self) {
        let greeting = self.run("done(document.querySelector('[data-greeting]').textContent)");
        assert!(!greeting.as_str().unwrap().starts_with("Dear reader"), "{greeting}");
    }

    /// Returns when the page has fired its `load` event.
    fn open(&self, url: &str) {
        self.command(Method::POST, "/url", json!({ "url": url }));
    }

    /// Runs a script until it calls `done`.
    fn run(&self, script: &str) -> Value {
        self.try_run(script).unwrap_or_else(|why| panic!("{script}: {why}"))
    }

    /// As [`run`](Self::run), once more if a reload ends the page with its script.
    fn run_across_a_reload(&self, script: &str) -> Value {
        self.try_run(script).unwrap_or_else(|_| self.run(script))
    }

    fn try_run(&self, script: &str) -> Result<Value, String> {
        let script = format!("const done = arguments[0]; {script}");
        let parameters = json!({ "script": script, "args": [] });
        self.try_command(Method::POST, "/execute/async", parameters)
    }

    fn command(&self, method: Method, path: &str, parameters: Value) -> Value {
        let what = format!("{method} {path} {parameters}");
        self.try_command(method, path, parameters).unwrap_or_else(|why| panic!("{what}: {why}"))
    }

    fn try_command(&self, method: Method, path: &str, parameters: Value) -> Result<Value, String> {
        let body = if parameters.is_null() { Body::empty() } else { parameters.to_string().into() };
        let request = Request::builder().method(method).uri(format!("{}{path}", self.session));
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap();
        let exchange = async { timeout(2 * PATIENCE, exchange(&self.client, request)).await };
        let answer = self.runtime.block_on(exchange).map_err(|_| "no answer in time")?;
        let (status, mut answer) = answer?;
        if status.is_success() { Ok(answer["value"].take()) } else { Err(format!("{answer:#}")) }
    }
}

async fn exchange(client: &HttpClient, request: Request) -> Result<(StatusCode, Value), String> {
    let response = client.request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), usize::MAX).await;
    let body = body.map_err(|error| error.to_string())?;
    Ok((status, serde_json::from_slice(&body).map_err(|error| error.to_string())?))
}

/// The browser is a child of its driver, and would outlive it. Nothing can fail
/// here: it is also the way out of a failed assertion.
impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.try_command(Method::DELETE, "", Value::Null);
    }
}

fn capabilities(profile: &Path) -> Value {
    let profile = format!("--user-data-dir={}", profile.to_str().unwrap());
    let patience = PATIENCE.as_millis() as u64;
    // Nothing but our own pages is visited, and no sandbox starts as root.
    let args = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", &profile];
    json!({ "capabilities": { "alwaysMatch": {
        "goog:chromeOptions": { "args": args },
        "timeouts": { "pageLoad": patience, "script": patience },
    } } })
}

const PAGE_IS_DONE: &str = "
    const root = document.documentElement;
    const look = () => root.dataset.done === 'true' && done();
    new MutationObserver(look).observe(root, { attributeFilter: ['data-done'] });
    look();
";

const READ_PAGE: &str = "
    const rows = [...document.querySelectorAll('#files tr')].map((row) => {
        const { path, from, coding } = row.dataset;
        return [path, { url: row.querySelector('a').getAttribute('href'), from, coding }];
    });
    const version = document.querySelector('#version').textContent;
    done({ version, rows: Object.fromEntries(rows) });
";

/// Once the page listens to its server.
const MARK_THE_PAGE: &str = "
    const isLost = new Promise((resolve) => changes.addEventListener('error', resolve));
    const isTold = () => new Promise((resolve) => changes.addEventListener('message', resolve));
    window.marker = { isToldAgain: isLost.then(isTold) };
    if (changes.readyState === EventSource.OPEN) done();
    else changes.addEventListener('open', () => done());
";

const IS_MARKED: &str = "done(window.marker !== undefined)";

const IS_TOLD_AGAIN: &str = "marker.isToldAgain.then(() => done())";

const STYLE_IS_SWAPPED: &str = "
    const postcard = document.querySelector('.postcard');
    const links = () => document.querySelectorAll('link[rel=stylesheet]').length;
    const look = () => {
        const isNew = getComputedStyle(postcard).color === 'rgb(1, 2, 3)';
        if (isNew && links() === 1) done();
        else requestAnimationFrame(look);
    };
    look();
";

const STYLE_LINKS: &str = "
    const links = [...document.querySelectorAll('link[rel=stylesheet]')];
    done(links.map((link) => link.getAttribute('href')));
";

const POSTSCRIPT_IS_SHOWN: &str = "
    const greeting = document.querySelector('[data-greeting]');
    const look = () => greeting.textContent.startsWith('P.S. ') && done();
    new MutationObserver(look).observe(greeting, { childList: true });
    look();
";

/// What a page looks like before anything has been waited for.
const INK_AND_FIRST_LETTER: &str = "
    const { color } = getComputedStyle(document.querySelector('.postcard'));
    done([color, document.querySelector('[data-greeting]').textContent[0]]);
";

/// Where a debugger finds the source map, and what this is the map of.
const SOURCE_MAP: &str = "
    const { src } = document.querySelector('script[type=module]');
    const load = async () => {
        const script = await (await fetch(src)).text();
        const [, name] = script.match(/^\\/\\/# sourceMappingURL=(.*)$/m);
        const url = new URL(name, src);
        const map = await (await fetch(url)).json();
        return [url.pathname, map.file];
    };
    load().then(done, (error) => done(String(error)));
";

const LOADED_BY_THE_PAGE: &str = "
    const entries = performance.getEntriesByType('resource');
    const own = entries.filter((entry) => entry.initiatorType !== 'fetch');
    const urls = own.map((entry) => new URL(entry.name));
    done(urls.filter((url) => url.protocol === 'http:').map((url) => url.pathname));
";
