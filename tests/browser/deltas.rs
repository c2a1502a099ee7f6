//! What travels after a deploy, if the demo sends deltas (RFC 9842).
//!
//! There is a third witness here, beside the page and the network: the network events of the
//! browser itself, as its developer tools show them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use axum::http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::{TempDir, tempdir};
use tokio::runtime::Handle;
use tower_static_url::{Fingerprinted, StaticPrefix, StaticUrlLayer};

use crate::{
    Browser, PATIENCE, Recorded, Stage, capabilities, edit, files_below,
    releases::Site,
    spa::{Builds, copy},
    support::{demo::Demo, write},
};

const DELTAS: &[&str] = &["--deltas"];

/// A delta of a file that has not changed, and no more than that.
const UNCHANGED: u64 = 70;

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn one_line_costs_the_visitor_one_line() {
    let site = thirty_files();
    let mut node = Site::publish(site.path(), DELTAS);
    let stage = &listening(&node.node);
    let first = visit(stage, site.path());
    first.assert_codings(30, "");
    let size = first.bodies();
    assert_eq!(size, bytes_below(site.path()));

    edit(&site.path().join(CHANGED), "value_7 = ", "value_7 = 1 + ");
    node.deploy(site.path(), &stage.recorder);
    let deployed = visit(stage, site.path());
    deployed.assert_codings(30, "dcz");
    deployed.assert_share_of(size, 0.5);
    for (path, came) in &deployed.0 {
        let most = if path.ends_with(CHANGED) { 130 } else { UNCHANGED };
        assert!(came.body <= most, "{path}: {came:?}");
    }
    assert_eq!(visit(stage, site.path()).0, BTreeMap::new(), "all is in the cache");
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn the_dictionary_is_what_the_visitor_has_seen_last() {
    let site = thirty_files();
    let changed = site.path().join(CHANGED);
    let mut node = Site::publish(site.path(), DELTAS);
    let stage = &listening(&node.node);
    visit(stage, site.path());
    let size = bytes_below(site.path());
    let seen = digits_of(&changed);

    let second = fs::read_to_string(&changed).unwrap().replace("value_7 = ", "value_7 = 1 + ");
    let third = second.replace("value_9 = ", "value_9 = 2 + ");
    let mut deploy = |text: &str| {
        fs::write(&changed, text).unwrap();
        node.deploy(site.path(), &stage.recorder);
    };
    // Two deploys behind.
    deploy(&second);
    deploy(&third);
    let returned = visit(stage, site.path());
    returned.assert_codings(30, "dcz");
    returned.assert_share_of(size, 0.5);
    assert_eq!(returned.dictionary_of(CHANGED), seen);
    let seen = digits_of(&changed);

    // A rollback to what this visitor has never seen, from what came as a delta.
    deploy(&second);
    let rolled_back = visit(stage, site.path());
    rolled_back.assert_codings(30, "dcz");
    rolled_back.assert_share_of(size, 0.5);
    assert_eq!(rolled_back.dictionary_of(CHANGED), seen);

    // And one to what is in the cache.
    deploy(&third);
    assert_eq!(visit(stage, site.path()).0, BTreeMap::new());
}

/// Nobody has the same names as before, and the page asks for all of them.
#[test]
#[ignore = "needs chromium and npm: tests/e2e/install.sh"]
fn chunks_of_vite_under_new_names() {
    let [first, second] = &vite_editions();
    assert!(chunks(first).is_disjoint(&chunks(second)), "{:?}", chunks(first));
    let count = files_below(first).len();
    let mut node = Site::publish(first, &["--deltas", "--fingerprinted", "vite"]);
    let stage = &listening(&node.node);
    visit(stage, first).assert_codings(count, "");

    node.deploy(second, &stage.recorder);
    let deployed = visit(stage, second);
    deployed.assert_codings(count, "dcz");
    deployed.assert_share_of(bytes_below(second), 2.0);
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn who_has_cleared_the_cache_has_no_dictionary() {
    let site = thirty_files();
    let mut node = Site::publish(site.path(), DELTAS);
    let stage = &listening(&node.node);
    visit(stage, site.path());
    edit(&site.path().join(CHANGED), "value_7 = ", "value_7 = 1 + ");
    node.deploy(site.path(), &stage.recorder);
    let clear = json!({ "cmd": "Network.clearBrowserCache", "params": {} });
    stage.browser.command(Method::POST, "/goog/cdp/execute", clear);
    let deployed = visit(stage, site.path());
    deployed.assert_codings(30, "");
    assert!(deployed.0.values().all(|came| !came.has_dictionary), "{deployed:?}");
}

/// Two ports of one host are one site, but two names of it are two.
#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn a_page_of_another_site_gets_no_delta() {
    let site = thirty_files();
    let mut node = Site::publish(site.path(), DELTAS);
    let other = Demo::start(site.path());
    let stage = &listening(&node.node);
    let own = stage.recorder.origin();
    // Each with a file of its own, since pages of one site share a cache.
    let pages = [
        ("of its own", &own, "js/part-0.js", "dcz"),
        ("of another port", &format!("http://{}", other.address), "js/part-1.js", "dcz"),
        ("of another site", &own.replace("127.0.0.1", "localhost"), "js/part-2.js", ""),
    ];
    let fetch = |version: &str, page: &str, file: &str| {
        let path = format!("/static/{version}/{file}");
        stage.open_empty(page);
        let hash = stage.browser.run(&format!("const urls = [{:?}]; {HASH}", own.clone() + &path));
        assert_eq!(hash, json!([sha256(&site.path().join(file))]), "{path}");
        came(&stage.browser, &stage.recorder.take()).remove(&path).expect(&path)
    };
    let version = node.version(&stage.recorder);
    for (name, page, file, _) in pages {
        assert_eq!(fetch(&version, page, file).coding, "", "the first visit of a page {name}");
    }
    edit(&site.path().join(CHANGED), "value_7 = ", "value_7 = 1 + ");
    node.deploy(site.path(), &stage.recorder);
    let version = node.version(&stage.recorder);
    for (name, page, file, coding) in pages {
        let came = fetch(&version, page, file);
        assert!(came.has_dictionary, "the browser would take one for a page {name}: {came:?}");
        assert_eq!(came.coding, coding, "for a page {name}: {came:?}");
    }
}

/// What HTML and modules load is a delta as well, and the browser compares the digest of what
/// it has made of it.
#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn integrity_is_that_of_the_whole_file() {
    let site = tempdir().unwrap();
    write_edition(site.path(), 1);
    let mut node = Site::publish(site.path(), DELTAS);
    let stage = &listening(&node.node);
    let files = ["app.css", "classic.js", "module.js", "part.js", "photo.svg"];
    let integrity = || StaticUrlLayer::new("/static", site.path()).unwrap().prefix();
    let load = |node: &Site, scanned: &StaticPrefix| {
        let prefix = format!("/static/{}/", node.version(&stage.recorder));
        let hashes = ["app.css", "classic.js", "module.js"].map(|it| scanned.integrity(it));
        stage.open_empty(&stage.recorder.origin());
        let given = format!("const [prefix, hashes] = {};", json!([prefix, hashes]));
        let done = stage.browser.run(&format!("{given} {LOAD_WITH_INTEGRITY}"));
        let mut came = came(&stage.browser, &stage.recorder.take());
        (done, files.map(|file| came.remove(&format!("{prefix}{file}")).map(|it| it.coding)))
    };
    let all = |coding: &str| files.map(|_| Some(coding.to_owned()));
    let first = json!(["rgb(1, 2, 3)", ["classic 1", "part 1"], []]);
    assert_eq!(load(&node, &integrity()), (first, all("")));

    write_edition(site.path(), 2);
    node.deploy(site.path(), &stage.recorder);
    let second = json!(["rgb(2, 2, 3)", ["classic 2", "part 2"], []]);
    let of_second = integrity();
    assert_eq!(load(&node, &of_second), (second, all("dcz")));

    write_edition(site.path(), 3);
    node.deploy(site.path(), &stage.recorder);
    let refused = json!(["rgb(0, 0, 0)", [], ["app.css", "classic.js", "module.js"]]);
    let (done, came) = load(&node, &of_second);
    assert_eq!((done, &came[..3]), (refused, &all("dcz")[..3]));
}

/// A visit of the demo's page, about which all witnesses agree.
#[derive(Debug)]
struct Travelled(BTreeMap<String, Came>);

/// How a file came over the network, by the browser's network events.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    coding: String,
    etag: String,
    has_dictionary: bool,
    head: u64,
    body: u64,
}

impl Came {
    /// What the network tells as well.
    fn witnessed(&self) -> (&str, Option<u64>, bool) {
        (&self.coding, Some(self.body), self.has_dictionary)
    }
}

impl Travelled {
    fn assert_codings(&self, count: usize, coding: &str) {
        let others = self.0.iter().filter(|(_, came)| came.coding != coding).collect::<Vec<_>>();
        assert!(others.is_empty(), "not as {coding:?}: {others:#?}");
        assert_eq!(self.0.len(), count, "{:?}", self.0.keys());
    }

    fn bodies(&self) -> u64 {
        self.0.values().map(|came| came.body).sum()
    }

    fn assert_share_of(&self, size: u64, percent: f64) {
        let heads = self.0.values().map(|came| came.head).sum::<u64>();
        let (count, bodies) = (self.0.len(), self.bodies());
        let share = 100.0 * bodies as f64 / size as f64;
        eprintln!("{count} files: {bodies} of {size} bytes ({share:.2} %), and {heads} of heads");
        assert!(share <= percent, "{share:.2} %: {:#?}", self.0);
    }

    /// The first digits of its SHA-256.
    fn dictionary_of(&self, path: &str) -> &str {
        let (_, came) = self.0.iter().find(|(url, _)| url.ends_with(path)).expect(path);
        let (_, digits) = came.etag.trim_end_matches('"').split_once("-dcz-").expect(&came.etag);
        digits
    }
}

fn visit(stage: &Stage, root: &Path) -> Travelled {
    let Stage { browser, recorder, .. } = stage;
    browser.events();
    let visit = browser.visit(recorder);
    let came = came(browser, &visit.requests);
    let seen = came.iter().map(|(path, it)| (&**path, it.witnessed()));
    let sent =
        visit.requests.iter().map(|it| (&*it.path, (&*it.coding, it.length, it.has_dictionary)));
    assert_eq!(seen.collect::<BTreeMap<_, _>>(), sent.collect(), "the browser and the network");
    let shown = visit.rows.values().filter(|row| row.from != "cache");
    let shown = shown.map(|row| (&*row.url, (&*row.from, &*row.coding))).collect();
    let seen = came.iter().map(|(path, it)| (&**path, ("network", &*it.coding)));
    assert_eq!(seen.collect::<BTreeMap<_, _>>(), shown, "the browser and the page");
    let total = browser.run("done(document.querySelector('#totals').dataset.deltas)");
    let deltas = came.values().filter(|it| it.coding == "dcz").count();
    assert_eq!(total, json!(deltas.to_string()));
    assert_eq!(visit.paths(), files_below(root));
    let urls = visit.rows.values().map(|row| &*row.url).collect::<Vec<_>>();
    let hashes = visit.rows.keys().map(|path| sha256(&root.join(path))).collect::<Vec<_>>();
    assert_eq!(browser.run(&format!("const urls = {}; {HASH}", json!(urls))), json!(hashes));
    assert_eq!(recorder.take(), [], "all of it is in the cache");
    Travelled(came)
}

/// With a log of its network events.
fn listening(demo: &Demo) -> Stage {
    Stage::with(demo, |runtime: &Handle, profile: &Path| {
        let mut capabilities = capabilities(profile);
        let logged = json!({ "performance": "ALL" });
        let options = &mut capabilities["capabilities"]["alwaysMatch"];
        options["goog:loggingPrefs"] = logged;
        // Debian has it block cookies of third parties, and with them their dictionaries.
        options["goog:chromeOptions"]["prefs"] = json!({ "profile.cookie_controls_mode": 0 });
        Browser::with(runtime, capabilities)
    })
}

impl Stage {
    /// Opens a page that loads nothing, and forgets what has travelled before.
    fn open_empty(&self, origin: &str) {
        self.browser.open(&format!("{origin}/static/empty.html"));
        self.recorder.take();
        self.browser.events();
    }
}

impl Browser {
    /// The network events since the last time, oldest first.
    fn events(&self) -> Vec<Value> {
        let entries = self.command(Method::POST, "/se/log", json!({ "type": "performance" }));
        let messages = entries.as_array().unwrap().iter().map(|it| it["message"].as_str().unwrap());
        messages
            .map(|text| serde_json::from_str::<Value>(text).unwrap()["message"].take())
            .collect()
    }
}

/// What has come over the network, by path: all that the recorder has seen. The browser may
/// tell of it a moment after the page.
fn came(browser: &Browser, requests: &[Recorded]) -> BTreeMap<String, Came> {
    let (mut events, end) = (Vec::new(), Instant::now() + PATIENCE);
    loop {
        events.extend(browser.events());
        let came = Exchange::all(&events).into_values().filter_map(Exchange::came);
        let came = came.collect::<BTreeMap<_, _>>();
        if requests.iter().all(|it| came.contains_key(&it.path)) {
            return came;
        }
        assert!(Instant::now() < end, "the browser tells only of {came:?}: {requests:?}");
    }
}

/// What the events say of one request.
#[derive(Default)]
struct Exchange<'a> {
    request: Option<&'a Value>,
    response: Option<&'a Value>,
    /// Head and body.
    length: Option<u64>,
}

impl<'a> Exchange<'a> {
    fn all(events: &'a [Value]) -> HashMap<&'a str, Self> {
        let mut exchanges = HashMap::<_, Self>::new();
        for event in events {
            let parameters = &event["params"];
            let Some(id) = parameters["requestId"].as_str() else { continue };
            let exchange = exchanges.entry(id).or_default();
            match event["method"].as_str().unwrap() {
                "Network.requestWillBeSentExtraInfo" => exchange.request = Some(parameters),
                "Network.responseReceived" => exchange.response = Some(&parameters["response"]),
                "Network.loadingFinished" => {
                    exchange.length =
                        Some(parameters["encodedDataLength"].as_f64().unwrap() as u64);
                }
                _ => {}
            }
        }
        exchanges
    }

    /// `None` as long as it is not at its end, or if it is of no interest.
    fn came(self) -> Option<(String, Came)> {
        let (request, response, length) = (self.request?, self.response?, self.length?);
        let (_, path) = response["url"].as_str()?.split_once("//")?.1.split_once('/')?;
        if !path.starts_with("static/") || response["fromDiskCache"] == true {
            return None;
        }
        let head = response["encodedDataLength"].as_f64().unwrap() as u64;
        let field = |name| field(&response["headers"], name).unwrap_or_default().to_owned();
        let came = Came {
            coding: field("content-encoding"),
            etag: field("etag"),
            has_dictionary: self::field(&request["headers"], "available-dictionary").is_some(),
            head,
            body: length - head,
        };
        Some((format!("/{path}"), came))
    }
}

fn field<'a>(fields: &'a Value, name: &str) -> Option<&'a str> {
    let mut fields = fields.as_object()?.iter();
    fields.find(|(own, _)| own.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.as_str())
}

const HASH: &str = "
    const hash = async (url) => {
        const bytes = await (await fetch(url)).arrayBuffer();
        const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
        return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
    };
    Promise.all(urls.map(hash)).then(done, (error) => done(String(error)));
";

fn sha256(file: &Path) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(fs::read(file).unwrap()))
}

/// As the tag of a delta names its dictionary.
fn digits_of(file: &Path) -> String {
    sha256(file)[..16].to_owned()
}

fn bytes_below(root: &Path) -> u64 {
    files_below(root).iter().map(|path| fs::metadata(root.join(path)).unwrap().len()).sum()
}

const CHANGED: &str = "js/part-3.js";

/// A site of about a megabyte: scripts, style sheets, and images, which no coding makes smaller.
fn thirty_files() -> TempDir {
    let (site, mut random) = (tempdir().unwrap(), Random(1));
    write(site.path(), "empty.html", EMPTY);
    for number in 0..19 {
        let line = |line| format!("export const value_{line} = {:?};\n", random.text());
        let lines = (0..200 + 60 * number).map(line).collect::<String>();
        write(site.path(), &format!("js/part-{number}.js"), lines);
    }
    for number in 0..4 {
        let line = |line| format!(".rule-{line} {{ content: {:?} }}\n", random.text());
        write(site.path(), &format!("css/{number}.css"), (0..300).map(line).collect::<String>());
    }
    for number in 0..6 {
        let bytes = (0..30_000).map(|_| random.next() as u8).collect::<Vec<_>>();
        write(site.path(), &format!("img/{number}.webp"), bytes);
    }
    site
}

/// The same numbers each time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self) -> String {
        const WORDS: [&str; 8] =
            ["tree", "file", "deploy", "cache", "page", "name", "byte", "link"];
        let count = 2 + self.next() % 4;
        let words = (0..count).map(|_| WORDS[self.next() as usize % WORDS.len()]);
        words.collect::<Vec<_>>().join(" ")
    }

    fn sentences(&mut self, count: usize) -> String {
        (0..count).map(|_| self.text()).collect::<Vec<_>>().join(". ")
    }
}

/// The example with twelve more pages, built twice. All chunks have the release of the build in
/// them, or import one that has it.
fn vite_editions() -> [PathBuf; 2] {
    let installed = &Builds::get().web;
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("spa-deltas");
    let _ = fs::remove_dir_all(&work);
    let web = work.join("web");
    copy(installed, &web);
    symlink(installed.join("node_modules"), web.join("node_modules")).unwrap();
    write_pages(&web.join("src"));
    let style = fs::read_to_string(web.join("src/style.css")).unwrap();
    let mut editions = (1..).map(|number| {
        let release = json!({ "release": number, "words": Random(3).sentences(50) });
        fs::write(web.join("src/release.js"), format!("export default {release};\n")).unwrap();
        let style = format!("{style}\nbody {{ --release: {number} }}\n");
        fs::write(web.join("src/style.css"), style).unwrap();
        let dist = work.join(number.to_string());
        let mut vite = Command::new(web.join("node_modules/.bin/vite"));
        vite.args(["build", "--logLevel", "error", "--outDir"]).arg(&dist).current_dir(&web);
        assert!(vite.status().unwrap().success(), "{vite:?}");
        dist
    });
    // One hash in fifty looks like a word. Such a chunk is like any other file: not of interest
    // here.
    let rule = Fingerprinted::vite();
    let are_hashes = |dist: &PathBuf| chunks(dist).iter().all(|path| rule.hash(path).is_some());
    [(); 2].map(|()| editions.find(are_hashes).unwrap())
}

fn chunks(dist: &Path) -> BTreeSet<String> {
    files_below(dist).into_iter().filter(|path| path.starts_with("assets/")).collect()
}

fn write_pages(source: &Path) {
    let mut random = Random(2);
    let more = |number| format!("\"/{number}\": () => import(\"./pages/topic-{number}.js\"),");
    let more = (0..12).map(more).collect::<String>();
    edit(&source.join("main.js"), "const pages = {", &format!("const pages = {{ {more}"));
    let names = (0..12).map(|number| format!("topic-{number}"));
    for name in names.chain(["home", "about", "profile"].map(String::from)) {
        let page = format!(
            "import words from \"../release.js\";
            export const content = () => {:?} + words.release;",
            random.sentences(500)
        );
        fs::write(source.join("pages").join(name + ".js"), page).unwrap();
    }
}

/// Nothing but one number is another one in each edition.
fn write_edition(root: &Path, number: u8) {
    let padding = "/* Something that stays as it is, so that a delta is worth it. */\n".repeat(9);
    for (path, text) in [
        ("app.css", format!("body {{ color: rgb({number}, 2, 3) }}")),
        ("classic.js", format!("window.ran.push('classic {number}');")),
        ("module.js", "import { part } from './part.js'; window.ran.push(part);".into()),
        ("part.js", format!("export const part = 'part {number}';")),
    ] {
        write(root, path, format!("{padding}{text} /* {number} */"));
    }
    let photo = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'>";
    write(root, "photo.svg", format!("{photo}<!-- {padding} --></svg>"));
    write(root, "empty.html", EMPTY);
}

const EMPTY: &str = "<!doctype html><title>Empty</title><link rel=icon href='data:,'>";

/// What they have done, and which were refused.
const LOAD_WITH_INTEGRITY: &str = "
    window.ran = [];
    const refused = [];
    const load = (name, integrity, element) => new Promise((resolve) => {
        element.integrity = integrity;
        element.onload = resolve;
        element.onerror = () => resolve(refused.push(name));
        document.body.append(element);
    });
    const make = (name, fields) => Object.assign(document.createElement(name), fields);
    const [style, classic, module] = hashes;
    Promise.all([
        load('photo.svg', '', make('img', { src: prefix + 'photo.svg' })),
        load('app.css', style, make('link', { rel: 'stylesheet', href: prefix + 'app.css' })),
        load('classic.js', classic, make('script', { src: prefix + 'classic.js' })),
        load('module.js', module, make('script', { type: 'module', src: prefix + 'module.js' })),
    ]).then(() => done([getComputedStyle(document.body).color, ran.sort(), refused.sort()]));
";
