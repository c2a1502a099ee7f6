//! The example of a single-page application, before and after a deploy.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::json;
use tempfile::{TempDir, tempdir};
use tokio::runtime::Runtime;

use crate::{
    Browser, IS_MARKED, Recorded, Recorder, Stage, files_below,
    support::{
        self, YEAR,
        demo::{Demo, Process, http_client},
    },
};

const HOME: &str = "Hello from the server.";
const PROFILE: &str = "Your profile.";
const ABOUT: &str = "About this example.";
const NEXT_ABOUT: &str = "About the next release.";
const FAILED: &str = "This page could not be loaded. Please try again later.";

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn a_second_visit_asks_only_for_the_page() {
    let demo = Demo::start_spa(&committed());
    let Stage { browser, recorder, .. } = &Stage::before(&demo);
    let files = Files::of(&committed());

    visit(browser, recorder, "/settings/profile", PROFILE);
    let page = ("/settings/profile", 200, "no-cache");
    let chunks = ["index.css", "index.js", "profile.js"].map(|name| (files.url(name), 200, YEAR));
    assert_requests(recorder, &[[page].as_slice(), &borrowed(&chunks)].concat());

    visit(browser, recorder, "/settings/profile", PROFILE);
    assert_requests(recorder, &[("/settings/profile", 304, "no-cache")]);

    visit(browser, recorder, "/about", ABOUT);
    let about = files.url("about.js");
    assert_requests(recorder, &[("/about", 200, "no-cache"), (&about, 200, YEAR)]);
}

#[test]
#[ignore = "needs chromium and npm: tests/e2e/install.sh"]
fn after_a_deploy_an_open_page_reloads_once() {
    let builds = Builds::get();
    let (old, new) = (Files::of(&committed()), Files::of(&builds.next));
    let demo = Demo::start_spa(&committed());
    let Stage { browser, recorder, .. } = &Stage::before(&demo);
    visit(browser, recorder, "/", HOME);
    browser.run("window.marker = true; done()");

    let next = Demo::start_spa(&builds.next);
    recorder.forward_to(&next);
    recorder.take_all();
    click(browser, "/about");
    browser.run_across_a_reload(&shows_without_marker(NEXT_ABOUT));
    // What has not changed is not asked for.
    assert_eq!(old.url("index.css"), new.url("index.css"));
    assert_requests(
        recorder,
        &[
            (&old.url("about.js"), 404, "no-store"),
            ("/about", 200, "no-cache"),
            (&new.url("index.js"), 200, YEAR),
            (&new.url("about.js"), 200, YEAR),
        ],
    );

    browser.run("window.marker = true; done()");
    click(browser, "/settings/profile");
    browser.run(&shows(PROFILE));
    assert_eq!(browser.run(IS_MARKED), true, "no other reload");
    assert_requests(recorder, &[(&new.url("profile.js"), 200, YEAR)]);
}

/// As with `build.emptyOutDir: false`.
#[test]
#[ignore = "needs chromium and npm: tests/e2e/install.sh"]
fn where_the_last_build_is_kept_an_open_page_goes_on() {
    let kept = copy_of(&committed());
    copy(&Builds::get().next, kept.path());
    let about = Files::of(&committed()).url("about.js");
    let demo = Demo::start_spa(&committed());
    let Stage { browser, recorder, .. } = &Stage::before(&demo);
    visit(browser, recorder, "/", HOME);
    browser.run("window.marker = true; done()");

    let next = Demo::start_spa(kept.path());
    recorder.forward_to(&next);
    recorder.take_all();
    click(browser, "/about");
    browser.run(&shows(ABOUT));
    assert_eq!(browser.run(IS_MARKED), true, "no reload");
    assert_requests(recorder, &[(&about, 200, YEAR)]);
    visit(browser, recorder, "/about", NEXT_ABOUT);
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn a_chunk_that_stays_missing_does_not_reload_the_page_for_ever() {
    let files = Files::of(&committed());
    let about = files.url("about.js");
    let incomplete = copy_of(&committed());
    fs::remove_file(incomplete.path().join(about.strip_prefix("/static/").unwrap())).unwrap();
    let demo = Demo::start_spa(incomplete.path());
    let Stage { browser, recorder, .. } = &Stage::before(&demo);
    visit(browser, recorder, "/", HOME);
    browser.run("window.marker = true; done()");
    recorder.take_all();

    click(browser, "/about");
    browser.run_across_a_reload(&shows_without_marker(FAILED));
    let missing = (&*about, 404, "no-store");
    assert_requests(recorder, &[missing, ("/about", 200, "no-cache"), missing]);

    browser.run("window.marker = true; done()");
    click(browser, "/");
    browser.run(&shows(HOME));
    click(browser, "/about");
    browser.run(&shows(FAILED));
    assert_eq!(browser.run(IS_MARKED), true, "not twice within a minute");
}

#[test]
#[ignore = "needs npm: tests/e2e/install.sh"]
fn the_committed_output_is_that_of_the_build() {
    let contents = |dist: &Path| {
        let read = |path: String| (path.clone(), fs::read(dist.join(path)).unwrap());
        files_below(dist).into_iter().map(read).collect::<BTreeMap<_, _>>()
    };
    let (built, committed) = (contents(&Builds::get().same), contents(&committed()));
    assert!(built.keys().eq(committed.keys()), "{:?}", built.keys());
    assert!(built == committed, "the bytes of a file differ: sh examples/spa/build.sh");
}

#[test]
#[ignore = "needs npm: tests/e2e/install.sh"]
fn in_development_vite_serves_the_pages_and_forwards_the_api() {
    let demo = Demo::start_spa(&committed());
    let web = &Builds::get().web;
    let mut vite = Command::new(web.join("node_modules/.bin/vite"));
    vite.args(["--port", "0"]).current_dir(web).env("NO_COLOR", "1");
    vite.env("BACKEND", format!("http://{}", demo.address));
    let mut vite = Process::start(&mut vite);
    let line = vite.read_line_with("Local:");
    let origin = line.split_whitespace().last().unwrap().trim_end_matches('/');

    let runtime = Runtime::new().unwrap();
    let get = |path: &str| {
        let request = support::request("GET", &format!("{origin}{path}"), &[]);
        runtime.block_on(support::ask(http_client(), request))
    };
    assert_eq!(get("/api/greeting").body, HOME);
    for (path, part) in [("/settings/profile", "/src/main.js"), ("/src/main.js", "/src/style.css")]
    {
        let answer = get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(String::from_utf8_lossy(&answer.body).contains(part), "{path}: {answer:?}");
    }
}

fn committed() -> PathBuf {
    example().join("web/dist")
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/spa")
}

/// The application built anew, from a copy of its sources.
pub(crate) struct Builds {
    /// The copy, with Vite installed.
    pub(crate) web: PathBuf,
    same: PathBuf,
    /// With another page, and the rest as before.
    next: PathBuf,
}

impl Builds {
    pub(crate) fn get() -> &'static Self {
        static BUILDS: OnceLock<Builds> = OnceLock::new();
        BUILDS.get_or_init(Self::build)
    }

    fn build() -> Self {
        let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("spa");
        let _ = fs::remove_dir_all(&work);
        copy(&example(), &work);
        let [same, next] = ["same", "next"].map(|name| work.join(name));
        run(Command::new("sh").arg(work.join("build.sh")).arg(&same));
        crate::edit(&work.join("web/src/pages/about.js"), ABOUT, NEXT_ABOUT);
        run(Command::new("sh").arg(work.join("build.sh")).arg(&next));
        Self { web: work.join("web"), same, next }
    }
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?} fails");
}

pub(crate) fn copy(from: &Path, to: &Path) {
    let is_installed = |path: &String| path.contains("node_modules/");
    for path in files_below(from).iter().filter(|path| !is_installed(path)) {
        let copy = to.join(path);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(from.join(path), copy).unwrap();
    }
}

fn copy_of(dist: &Path) -> TempDir {
    let directory = tempdir().unwrap();
    copy(dist, directory.path());
    directory
}

/// The files of a build, by their names without the hash.
pub(crate) struct Files(BTreeMap<String, String>);

impl Files {
    pub(crate) fn of(dist: &Path) -> Self {
        let named = |path: String| {
            let name = path.strip_prefix("assets/")?;
            let (stem, extension) = name.rsplit_once('.')?;
            let stem = stem.get(..stem.len() - "-Bx7a91Zq".len())?;
            Some((format!("{stem}.{extension}"), format!("/static/{path}")))
        };
        Self(files_below(dist).into_iter().filter_map(named).collect())
    }

    pub(crate) fn url(&self, name: &str) -> String {
        self.0[name].clone()
    }
}

/// As somebody who types the address.
fn visit(browser: &Browser, recorder: &Recorder, path: &str, text: &str) {
    browser.open("about:blank");
    recorder.take_all();
    browser.open(&format!("{}{path}", recorder.origin()));
    browser.run(&shows(text));
}

pub(crate) fn click(browser: &Browser, path: &str) {
    browser.run(&format!("document.querySelector('nav a[href={path:?}]').click(); done()"));
}

pub(crate) fn shows(text: &str) -> String {
    waits_for(&format!("document.querySelector('main').textContent === {}", json!(text)))
}

/// In a page that was loaded after the one that was marked.
fn shows_without_marker(text: &str) -> String {
    waits_for(&format!(
        "window.marker === undefined && document.querySelector('main')?.textContent === {}",
        json!(text)
    ))
}

fn waits_for(condition: &str) -> String {
    format!(
        "const look = () => {condition} && done();
        new MutationObserver(look).observe(document, {{ childList: true, subtree: true }});
        look();"
    )
}

type Expected<'a> = (&'a str, u16, &'a str);

fn borrowed<'a>(requests: &'a [(String, u16, &'a str)]) -> Vec<Expected<'a>> {
    requests.iter().map(|(path, status, field)| (path.as_str(), *status, *field)).collect()
}

/// Whether these were asked for since the last time, in whatever order. When a browser asks for
/// its icon is its own business, and calls of the API are not about files.
fn assert_requests(recorder: &Recorder, expected: &[Expected<'_>]) {
    let mut requests = recorder.take_all();
    requests.retain(|it| !it.path.contains("favicon") && !it.path.starts_with("/api/"));
    let summary = |it: &Recorded| (it.path.clone(), it.status, it.cache_control.clone());
    let mut requests = requests.iter().map(summary).collect::<Vec<_>>();
    let owned =
        |(path, status, field): &Expected<'_>| (path.to_string(), *status, field.to_string());
    let mut expected = expected.iter().map(owned).collect::<Vec<_>>();
    requests.sort();
    expected.sort();
    assert_eq!(requests, expected);
}
